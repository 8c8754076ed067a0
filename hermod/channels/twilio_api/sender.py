"""Twilio's Messages resource, as all channels use it: one request, one table of codes. A channel gives the form.

    POST https://api.twilio.com/2010-04-01/Accounts/{AccountSid}/Messages.json     form encoded, Basic auth
    201 {"sid": "SM…", "status": "queued", …}
    4xx {"code": 21211, "message": "…", "more_info": "…", "status": 400}

There is no idempotency key: our id travels in the status callback's query, where it tells what became of a message
whose answer was lost. The callback is the credential `status_callback`, else our own address for receipts.
"""

from __future__ import annotations

import base64
import re
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import urlencode, urlsplit

import httpx

from hermod.channels.http_sender import HttpSender, json_object, text_of
from hermod.channels.twilio_api.codes import MEANINGS, WAITS, Meaning
from hermod.contracts.errors import FieldError
from hermod.contracts.notifications.outcomes import (
    AccountHalted,
    AnyOutcome,
    Fault,
    MessageRejected,
    RecipientRejected,
    Throttled,
    Transient,
)
from hermod.contracts.tenants.accounts import Account
from hermod.outbound.addresses.guard import AddressGuard
from hermod.outbound.http.client import Reply
from hermod.outbound.wiring import AdapterContext
from hermod.ports.notifications.sender import Outgoing

BASE_URL: Final = "https://api.twilio.com"
CREDENTIALS: Final = ("account_sid", "auth_token", "api_key_sid", "api_key_secret", "status_callback")
"""`auth_token` signs what Twilio tells us, so without it an account sends, and its receipts are refused."""
OPTIONAL_CREDENTIALS: Final = ("auth_token", "api_key_sid", "api_key_secret", "status_callback")
MESSAGE_ID_PARAMETER: Final = "hermod_message_id"
_LONGEST_NAME: Final = 11
"""Characters of an alphanumeric sender, so that a name that begins with MG is not taken for a Messaging Service."""
_ACCOUNT_SID: Final = re.compile(r"AC[0-9A-Za-z]{1,62}")

Form = list[tuple[str, str]]


class TwilioMessagesSender(HttpSender):
    """An account at Twilio. Channels say in `form` what is sent to whom."""

    def __init__(self, account: Account, wiring: AdapterContext) -> None:
        super().__init__(account, wiring)
        credentials = account.credentials
        sid = credentials["account_sid"]
        if "api_key_sid" in credentials:
            pair = f"{credentials['api_key_sid']}:{credentials['api_key_secret']}"
        else:
            pair = f"{sid}:{credentials['auth_token']}"
        self._status_callback = credentials.get("status_callback") or self._own_callback()
        self._url = httpx.URL(f"{self._base_url}/2010-04-01/Accounts/{sid}/Messages.json")
        self._headers = [
            ("content-type", "application/x-www-form-urlencoded"),
            ("accept", "application/json"),
            ("authorization", "Basic " + base64.b64encode(pair.encode()).decode("ascii")),
        ]

    @classmethod
    def check(cls, credentials: Mapping[str, str], base_url: str | None, guard: AddressGuard) -> Iterator[FieldError]:
        yield from super().check(credentials, base_url, guard)
        sid = credentials.get("account_sid")
        if sid and not _ACCOUNT_SID.fullmatch(sid):
            yield FieldError("credentials.account_sid", "must be the account's SID: AC and 32 hex digits")
        if ("api_key_sid" in credentials) != ("api_key_secret" in credentials):
            missing = "api_key_secret" if "api_key_sid" in credentials else "api_key_sid"
            yield FieldError(f"credentials.{missing}", "missing: api_key_sid and api_key_secret go together")
        elif "api_key_sid" not in credentials and "auth_token" not in credentials:
            yield FieldError("credentials.auth_token", "missing; or give api_key_sid and api_key_secret")
        callback = credentials.get("status_callback")
        if callback is not None and (
            urlsplit(callback).scheme not in ("http", "https") or not urlsplit(callback).netloc
        ):
            yield FieldError("credentials.status_callback", "must be an absolute http or https URL")

    def _own_callback(self) -> str | None:
        """Our address for receipts, unless it is one for which Twilio itself would refuse the whole message (21609).

        What stands at a `base_url` of the account, the sandbox say, may well reach a private address.
        """
        host = urlsplit(self.receipts_url or "").hostname or ""
        if self.account.base_url is None and ("_" in host or AddressGuard().host_fault(host)):
            return None
        return self.receipts_url

    @abstractmethod
    def form(self, message: Outgoing) -> Form:
        """The parameters of the message, all but the callback. Pure."""

    def request(self, message: Outgoing) -> httpx.Request:
        form = self.form(message)
        if self._status_callback:
            joint = "&" if urlsplit(self._status_callback).query else "?"
            form.append(("StatusCallback", f"{self._status_callback}{joint}{MESSAGE_ID_PARAMETER}={message.id}"))
        return self.post(self._url, self._headers, urlencode(form).encode("ascii"), message)

    def outcome(self, reply: Reply, message: Outgoing) -> AnyOutcome:
        body = json_object(reply)
        if 200 <= reply.status < 300:
            return self.accepted(reply, body.get("sid"))
        code, text = text_of(body.get("code")), text_of(body.get("message")) or text_of(body.get("detail"))
        meaning = MEANINGS.get(code) if code and reply.status < 500 else None
        if code is None or meaning is None:
            return self.by_status(reply, code=code, text=text)
        return self._coded(meaning, reply, message, code=code, text=text or f"Twilio error {code}")

    def _coded(self, meaning: Meaning | Fault, reply: Reply, message: Outgoing, *, code: str, text: str) -> AnyOutcome:
        status, error = reply.status, self.line(text)
        match meaning:
            case Fault():
                return RecipientRejected(status_code=status, error_code=code, error=error, fault=meaning)
            case Meaning.MESSAGE:
                return MessageRejected(status_code=status, error_code=code, error=error)
            case Meaning.SENDER:
                return self.sender_refused(reply, message, code=code, text=text)
            case Meaning.ACCOUNT:
                return AccountHalted(status_code=status, error_code=code, error=error)
            case Meaning.THROTTLED:
                return Throttled(status_code=status, error_code=code, error=error, retry_after=self.wait(reply))
            case Meaning.TRANSIENT:
                wait = WAITS.get(code) or self.wait(reply)
                return Transient(status_code=status, error_code=code, error=error, retry_after=wait)


def is_service(sender: str) -> bool:
    """Whether the sender is the `MG…` of a Messaging Service, which has a parameter of its own."""
    return sender.startswith("MG") and len(sender) > _LONGEST_NAME
