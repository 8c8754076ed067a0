"""SendGrid's v3 Mail Send API.

    POST https://api.sendgrid.com/v3/mail/send     202, no body, `X-Message-Id`
    {"errors": [{"message", "field", "help"}]}     everything else; nginx's own HTML for 413

Our message id travels as the custom argument `hermod_message_id`, which comes back at the top level of every event.
There is no idempotency key: after an unknown outcome, a repeat may be a second mail.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

import httpx
import orjson

from hermod.channels.email.mime import mailbox
from hermod.channels.email.sendgrid.receipts import MESSAGE_ID_ARGUMENT, verification_key
from hermod.channels.http_sender import HttpSender, json_object, text_of
from hermod.contracts.errors import FieldError
from hermod.contracts.notifications.content import AnyContent, Attachment, Channel, Email
from hermod.contracts.notifications.outcomes import AccountHalted, AnyOutcome, Fault, RecipientRejected, Throttled
from hermod.contracts.tenants.accounts import Account
from hermod.outbound.addresses.guard import AddressGuard
from hermod.outbound.http.client import Reply
from hermod.outbound.http.retry_after import clamp
from hermod.outbound.wiring import AdapterContext
from hermod.ports.notifications.sender import Capability, Outgoing

_SENT: Final = frozenset({200, 202})
"""202; 200 is the answer in sandbox mode, which an operator can switch on for a whole account."""
_RECIPIENT_FIELD: Final = re.compile(r"^personalizations\.\d+\.to(\.|$)")
_SENDER_FIELD: Final = re.compile(r"^from(\.|$)")
_WRONG_REGION: Final = 451
_OWN_HEADERS: Final = frozenset({"x-sg-id", "x-sg-eid"})
_RATE_RESET: Final = re.compile(r"^\d{1,12}$", re.ASCII)


class SendGridSender(HttpSender):
    capability = Capability(
        provider="sendgrid",
        title="SendGrid",
        channels=frozenset({Channel.EMAIL}),
        attachments=True,
        inline_images=True,
        custom_headers=True,
        max_recipients=1000,
        max_bytes=20 * 1024 * 1024,
        default_rate=10.0,
        credentials=("api_key", "webhook_public_key"),
        optional_credentials=("webhook_public_key",),
        base_url="https://api.sendgrid.com",
    )

    def __init__(self, account: Account, wiring: AdapterContext) -> None:
        super().__init__(account, wiring)
        self._url = httpx.URL(f"{self._base_url}/v3/mail/send")
        self._headers = [
            ("content-type", "application/json"),
            ("accept", "application/json"),
            ("authorization", f"Bearer {account.credentials['api_key']}"),
        ]

    @classmethod
    def check(cls, credentials: Mapping[str, str], base_url: str | None, guard: AddressGuard) -> Iterator[FieldError]:
        yield from super().check(credentials, base_url, guard)
        key = credentials.get("webhook_public_key")
        if key and verification_key(key) is None:
            yield FieldError(
                "credentials.webhook_public_key", "must be the verification key that SendGrid shows: base64"
            )

    def cannot_express(self, content: AnyContent) -> str | None:
        if not isinstance(content, Email):
            return "it sends email only"
        if not (content.from_ or self.account.from_):
            return "neither the message nor the account names a sender (from)"
        for name in content.headers:
            if name.lower() in _OWN_HEADERS:
                return f"the header {name} belongs to SendGrid"
        if any(not file.content_base64 for file in content.attachments):
            return "it takes no empty attachments"
        if any(";" in file.content_type for file in content.attachments):
            return "it takes no files whose type has parameters"
        size = sum(len(file.content_base64) for file in content.attachments)
        size += len((content.html or "").encode()) + len((content.text or "").encode())
        if self.capability.max_bytes is not None and size > self.capability.max_bytes:
            return f"it takes {self.capability.max_bytes // 1024 // 1024} MiB at most, encoded"
        return None

    def request(self, message: Outgoing) -> httpx.Request:
        return self.post(self._url, self._headers, orjson.dumps(_mail(message)), message)

    def outcome(self, reply: Reply, message: Outgoing) -> AnyOutcome:
        if reply.status in _SENT:
            return self.accepted(reply, reply.headers.get("x-message-id"))
        field, text = _first_error(reply)
        if reply.status == 400 and field and _RECIPIENT_FIELD.match(field):
            # It looked at the syntax only: an address that it cannot take may well exist (`jörg@…`).
            error = self.line(text or "the address is not valid")
            return RecipientRejected(status_code=400, error_code=field, error=error, fault=Fault.UNREACHABLE)
        if reply.status in (400, 403) and field and _SENDER_FIELD.match(field):
            return self.sender_refused(reply, message, code=field, text=text)
        if reply.status == _WRONG_REGION:
            error = self.line(text or "wrong region: set base_url to https://api.eu.sendgrid.com")
            return AccountHalted(status_code=reply.status, error_code=field, error=error)
        if reply.status == 429:
            error = self.line(text or "too many requests")
            return Throttled(status_code=429, error_code=field, error=error, retry_after=self._rate_wait(reply))
        return self.by_status(reply, code=field, text=text)

    def _rate_wait(self, reply: Reply) -> float | None:
        """SendGrid documents no Retry-After, but the unix second at which the rate window ends."""
        wait, reset = self.wait(reply), reply.headers.get("x-ratelimit-reset", "")
        if wait is None and _RATE_RESET.match(reset):
            wait = clamp(float(reset) - self._clock.now().timestamp())
        return wait


def _mail(message: Outgoing) -> dict[str, Any]:
    email = cast(Email, message.content)
    mail: dict[str, Any] = {
        "personalizations": [_personalization(email)],
        "from": _person(message.sender or ""),
        "subject": email.subject,
        "content": [
            {"type": kind, "value": value}
            for kind, value in (("text/plain", email.text), ("text/html", email.html))
            if value
        ],
        "custom_args": {MESSAGE_ID_ARGUMENT: message.id},
    }
    if len(email.reply_addresses) == 1:
        mail["reply_to"] = _person(email.reply_addresses[0])
    elif email.reply_addresses:
        mail["reply_to_list"] = [_person(address) for address in email.reply_addresses]
    if email.headers:
        mail["headers"] = email.headers
    if email.attachments:
        mail["attachments"] = [_file(file, shown=bool(email.html)) for file in email.attachments]
    return mail


def _personalization(email: Email) -> dict[str, Any]:
    """One envelope. SendGrid refuses an address that stands twice in it, so the first mention counts."""
    lines: dict[str, Any] = {}
    seen: set[str] = set()
    for line, addresses in (("to", (email.to,)), ("cc", email.cc), ("bcc", email.bcc)):
        people = []
        for address in addresses:
            person = _person(address)
            if person["email"].lower() not in seen:
                seen.add(person["email"].lower())
                people.append(person)
        if people:
            lines[line] = people
    return lines


def _person(address: str) -> dict[str, str]:
    person = mailbox(address)
    return {"email": person.address, "name": person.name} if person.name else {"email": person.address}


def _file(file: Attachment, *, shown: bool) -> dict[str, str]:
    item = {"content": file.content_base64, "filename": file.filename, "type": file.content_type}
    if file.content_id and shown:
        return item | {"disposition": "inline", "content_id": file.content_id}
    return item | {"disposition": "attachment"}


def _first_error(reply: Reply) -> tuple[str | None, str | None]:
    """Field and message of the first error. SendGrid lists all faults of a request; the first is the one to mend."""
    errors = json_object(reply).get("errors")
    if not isinstance(errors, list):
        return None, None
    for error in errors:
        if isinstance(error, dict) and (text := text_of(error.get("message"))):
            return text_of(error.get("field")), text
    return None, None
