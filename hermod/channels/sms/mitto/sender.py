"""Mitto's SMS API (docs.mitto.ch).

    POST https://rest.mittoapi.net/sms       X-Mitto-API-Key: <key>
    {"from": "Brand", "to": "41791234567", "text": "Hi", "type": "GSM", "reference": "msg_…", "callback": "https://…"}
    200 {"id": "…", "responseCode": 0, "responseText": "…", …}

A message was taken where the status is 200 and the `responseCode` 0, so an answer that cannot be read leaves it open.
There is no idempotency key. Regional hosts, which Mitto names when an account is opened, are the account's `base_url`.

Mitto signs nothing. So that nobody else can report in its name, the callback's query holds the credential
`callback_token`; an account without one asks for no reports.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final, cast
from urllib.parse import urlencode

import httpx
import orjson

from hermod.channels.http_sender import HttpSender, json_object, provider_id, text_of
from hermod.channels.sms.mitto.codes import MEANINGS, Meaning
from hermod.contracts.errors import FieldError
from hermod.contracts.notifications.content import AnyContent, Channel, Sms
from hermod.contracts.notifications.outcomes import (
    Accepted,
    AnyOutcome,
    Fault,
    MessageRejected,
    OutcomeUnknown,
    RecipientRejected,
)
from hermod.contracts.tenants.accounts import Account
from hermod.domain.notifications.segments import Encoding, encoding
from hermod.outbound.addresses.guard import AddressGuard
from hermod.outbound.http.client import Reply
from hermod.outbound.wiring import AdapterContext
from hermod.ports.notifications.sender import Capability, Outgoing

TOKEN_PARAMETER: Final = "token"
MESSAGE_ID_PARAMETER: Final = "hermod_message_id"
SHORTEST_TOKEN: Final = 16
_SENDER: Final = re.compile(r"[0-9]{3,14}|(?=.*[A-Za-z])[A-Za-z0-9]{3,11}")
_TYPES: Final = {Encoding.GSM_7: "GSM", Encoding.UCS_2: "Unicode"}


class MittoSender(HttpSender):
    capability = Capability(
        provider="mitto",
        title="Mitto",
        channels=frozenset({Channel.SMS}),
        credentials=("api_key", "callback_token"),
        optional_credentials=("callback_token",),
        base_url="https://rest.mittoapi.net",
    )

    def __init__(self, account: Account, wiring: AdapterContext) -> None:
        super().__init__(account, wiring)
        self._callback_token = account.credentials.get("callback_token")
        self._url = httpx.URL(f"{self._base_url}/sms")
        self._headers = [
            ("content-type", "application/json"),
            ("accept", "application/json"),
            ("x-mitto-api-key", account.credentials["api_key"]),
        ]

    @classmethod
    def check(cls, credentials: Mapping[str, str], base_url: str | None, guard: AddressGuard) -> Iterator[FieldError]:
        yield from super().check(credentials, base_url, guard)
        token = credentials.get("callback_token")
        if token and len(token) < SHORTEST_TOKEN:
            yield FieldError("credentials.callback_token", f"must have {SHORTEST_TOKEN} characters or more")

    def cannot_express(self, content: AnyContent) -> str | None:
        if not isinstance(content, Sms):
            return "it sends SMS only"
        if content.media_urls:
            return "it sends no pictures"
        sender = content.from_ or self.account.from_
        if not sender:
            return "neither the message nor the account names a sender (from)"
        if not _SENDER.fullmatch(sender.removeprefix("+")):
            return "the sender (from) must be a number of 3 to 14 digits, or a name of 3 to 11 letters and digits"
        return None

    def request(self, message: Outgoing) -> httpx.Request:
        sms = cast(Sms, message.content)
        text = sms.body or ""
        body = {
            "from": (message.sender or "").removeprefix("+"),
            "to": sms.to.removeprefix("+"),
            "text": text,
            "type": _TYPES[encoding(text)],
            "reference": message.id,
        }
        if self.receipts_url and self._callback_token:
            query = urlencode({TOKEN_PARAMETER: self._callback_token, MESSAGE_ID_PARAMETER: message.id})
            body["callback"] = f"{self.receipts_url}?{query}"
        return self.post(self._url, self._headers, orjson.dumps(body), message)

    def outcome(self, reply: Reply, message: Outgoing) -> AnyOutcome:
        body = json_object(reply)
        status, code, text = reply.status, text_of(body.get("responseCode")), text_of(body.get("responseText"))
        meaning = MEANINGS.get(code, Meaning.UNKNOWN) if code is not None else None
        if meaning is None or status in (401, 403, 429) or not 200 <= status < 500:
            return self.by_status(reply, code=code, text=text)
        error = self.line(text or f"Mitto code {code}")
        match meaning:
            case Fault():
                return RecipientRejected(status_code=status, error_code=code, error=error, fault=meaning)
            case Meaning.TAKEN if status == 200:
                return Accepted(status_code=status, provider_id=provider_id(text_of(body.get("id"))))
            case Meaning.MESSAGE:
                return MessageRejected(status_code=status, error_code=code, error=error)
            case Meaning.SENDER:
                return self.sender_refused(reply, message, code=code, text=text)
            case _:
                return OutcomeUnknown(status_code=status, error_code=code, error=error)
