"""Mailgun's Messages API.

    POST https://api.mailgun.net/v3/{domain}/messages     multipart/form-data, Basic `api:key`
    200 {"id": "<2026….1@example.com>", "message": "Queued. Thank you."}
    4xx {"message": "…"}

Refusals have a status and a sentence, and no code: which recipient or sender was wrong is not told, so a 400 refuses
the message and nothing more. A 200 without an id is no acceptance either, because a wrong URL is answered 200 by the
server's front page. Our id travels as the variable `hermod_message_id`, which comes back in every webhook. There is no
idempotency key: after an unknown outcome, a repeat may be a second mail.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from typing import Final, cast

import httpx

from hermod.channels.email.envelope import envelope, misfit, written
from hermod.channels.email.mailgun.form import Field, File, encode
from hermod.channels.http_sender import HttpSender, is_html, json_object, provider_id, text_of
from hermod.contracts.errors import FieldError
from hermod.contracts.notifications.content import AnyContent, Attachment, Channel, Email
from hermod.contracts.notifications.outcomes import AnyOutcome, OutcomeUnknown, Throttled
from hermod.contracts.tenants.accounts import Account
from hermod.outbound.addresses.guard import AddressGuard
from hermod.outbound.http.client import Reply
from hermod.outbound.http.retry_after import parse_retry_after
from hermod.outbound.wiring import AdapterContext
from hermod.ports.notifications.sender import Capability, Outgoing

MESSAGE_ID_VARIABLE: Final = "hermod_message_id"
REGIONS: Final = {"us": "https://api.mailgun.net", "eu": "https://api.eu.mailgun.net"}
_MAX_EXTRAS: Final = 16 * 1024
"""Bytes of all headers, variables and options together."""
_DOMAIN: Final = re.compile(r"(?=.{4,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{2,63}", re.IGNORECASE)
_WAIT: Final = re.compile(r"try again after (\d{1,6}(?= seconds)|\w{3}, \d{1,2} \w{3} \d{4} [\d:]{8} \w{3})", re.ASCII)


class MailgunSender(HttpSender):
    capability = Capability(
        provider="mailgun",
        title="Mailgun",
        channels=frozenset({Channel.EMAIL}),
        attachments=True,
        inline_images=True,
        custom_headers=True,
        max_recipients=1000,
        max_bytes=25 * 1024 * 1024,
        default_rate=10.0,
        credentials=("api_key", "domain", "region", "webhook_signing_key"),
        optional_credentials=("region", "webhook_signing_key"),
        base_url=REGIONS["us"],
    )

    def __init__(self, account: Account, wiring: AdapterContext) -> None:
        super().__init__(account, wiring)
        credentials = account.credentials
        if account.base_url is None:
            self._base_url = REGIONS[credentials.get("region", "us")]
        self._secrets = tuple(credentials[name] for name in ("api_key", "webhook_signing_key") if name in credentials)
        self._url = httpx.URL(f"{self._base_url}/v3/{credentials['domain']}/messages")
        login = base64.b64encode(f"api:{credentials['api_key']}".encode()).decode("ascii")
        self._headers = [("accept", "application/json"), ("authorization", f"Basic {login}")]

    @classmethod
    def check(cls, credentials: Mapping[str, str], base_url: str | None, guard: AddressGuard) -> Iterator[FieldError]:
        yield from super().check(credentials, base_url, guard)
        domain, region = credentials.get("domain"), credentials.get("region")
        if domain and not _DOMAIN.fullmatch(domain):
            yield FieldError("credentials.domain", "must be the name of the sending domain, like mail.example.com")
        if region and region not in REGIONS:
            yield FieldError("credentials.region", "must be us or eu")

    def cannot_express(self, content: AnyContent) -> str | None:
        fault = misfit(content, self.account.from_, self.capability)
        if fault is None and isinstance(content, Email):
            extras = sum(len(name) + len(str(value).encode()) for name, value in _extras(content, "m" * 64))
            if extras > _MAX_EXTRAS:
                return f"it takes {_MAX_EXTRAS // 1024} KiB of headers at most"
        return fault

    def request(self, message: Outgoing) -> httpx.Request:
        email = cast(Email, message.content)
        content_type, body = encode([*_fields(email, message.sender or ""), *_extras(email, message.id)])
        return self.post(self._url, [("content-type", content_type), *self._headers], body, message)

    def outcome(self, reply: Reply, message: Outgoing) -> AnyOutcome:
        body = json_object(reply)
        if reply.status == 200:
            identity = provider_id(body.get("id"))
            if identity is None or is_html(reply):
                error = "an answer without a message id; is base_url that of the API?"
                return OutcomeUnknown(status_code=200, error_code="no_id", error=error)
            # Webhooks tell the same id without its brackets.
            return self.accepted(reply, identity.removeprefix("<").removesuffix(">"))
        text = text_of(body.get("message")) or text_of(body.get("Error"))
        if reply.status == 429:
            error = self.line(text or "too many requests")
            return Throttled(status_code=429, error=error, retry_after=self._told_wait(reply, text or ""))
        return self.by_status(reply, text=text)

    def _told_wait(self, reply: Reply, text: str) -> float | None:
        """Retry-After is not documented; the sentence names the seconds, or the date."""
        wait, found = self.wait(reply), _WAIT.search(text)
        return parse_retry_after(found[1], self._clock.now()) if wait is None and found else wait


def _fields(email: Email, sender: str) -> Iterator[Field]:
    lines = envelope(email)
    yield "from", written(sender)
    for name, people in (("to", lines.to), ("cc", lines.cc), ("bcc", lines.bcc)):
        for address in people:
            yield name, str(address)
    yield "subject", email.subject or ""
    if email.text:
        yield "text", email.text
    if email.html:
        yield "html", email.html
    for file in email.attachments:
        yield _file(file, shown=bool(email.html))


def _file(file: Attachment, *, shown: bool) -> Field:
    """An image in the page has no name but its content id: the HTML shows it as `cid:{filename}`."""
    if file.content_id and shown:
        return "inline", File(file.content_id, file.content_type, file.content())
    return "attachment", File(file.filename, file.content_type, file.content())


def _extras(email: Email, message_id: str) -> Iterator[Field]:
    """Headers and variables, which share a limit."""
    if email.reply_addresses:
        yield "h:Reply-To", ", ".join(map(written, email.reply_addresses))
    for name, value in email.headers.items():
        yield f"h:{name}", value
    yield f"v:{MESSAGE_ID_VARIABLE}", message_id
