"""Acme's SMS API.

    POST https://api.acme.example/v1/sms      Authorization: Bearer <api_key>
    {"to", "from", "text", "reference", "report_to"}
    202 {"id": "…"}                           everything else: {"error": {"code", "message"}}

`reference` is our message id; Acme gives it back in its reports. There is no idempotency key.
"""

from __future__ import annotations

from typing import Final, cast

import httpx
import orjson

from hermod.channels.http_sender import HttpSender, json_object, text_of
from hermod.contracts.notifications.content import AnyContent, Channel, Sms
from hermod.contracts.notifications.outcomes import AnyOutcome, Fault, RecipientRejected
from hermod.contracts.tenants.accounts import Account
from hermod.outbound.http.client import Reply
from hermod.outbound.wiring import AdapterContext
from hermod.ports.notifications.sender import Capability, Outgoing

RECIPIENT_FAULTS: Final = {
    "no_such_number": Fault.INVALID,
    "opted_out": Fault.OPTED_OUT,
    "handset_off": Fault.UNREACHABLE,
}
"""Acme's codes that are about the number. All others are read by their HTTP status."""


class AcmeSender(HttpSender):
    capability = Capability(
        provider="acme",
        title="Acme",
        channels=frozenset({Channel.SMS}),
        retry_after=True,
        credentials=("api_key", "webhook_secret"),
        optional_credentials=("webhook_secret",),
        base_url="https://api.acme.example",
    )

    def __init__(self, account: Account, wiring: AdapterContext) -> None:
        super().__init__(account, wiring)
        self._url = httpx.URL(f"{self._base_url}/v1/sms")
        self._headers = [
            ("content-type", "application/json"),
            ("authorization", f"Bearer {account.credentials['api_key']}"),
        ]

    def cannot_express(self, content: AnyContent) -> str | None:
        if not isinstance(content, Sms) or not content.body:
            return "it sends SMS with a text only"
        if content.media_urls:
            return "it sends no pictures"
        if not (content.from_ or self.account.from_):
            return "neither the message nor the account names a sender (from)"
        return None

    def request(self, message: Outgoing) -> httpx.Request:
        sms = cast(Sms, message.content)
        body = {"to": sms.to, "from": message.sender, "text": sms.body, "reference": message.id}
        if self.receipts_url:
            body["report_to"] = self.receipts_url
        return self.post(self._url, self._headers, orjson.dumps(body), message)

    def outcome(self, reply: Reply, message: Outgoing) -> AnyOutcome:
        if reply.status == 202:
            return self.accepted(reply, json_object(reply).get("id"))
        error = json_object(reply).get("error")
        code = text_of(error.get("code")) if isinstance(error, dict) else None
        text = text_of(error.get("message")) if isinstance(error, dict) else None
        fault = RECIPIENT_FAULTS.get(code or "")
        if reply.status == 422 and fault is not None:
            line = self.line(text or "the number was refused")
            return RecipientRejected(status_code=422, error_code=code, error=line, fault=fault)
        return self.by_status(reply, code=code, text=text)
