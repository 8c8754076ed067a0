"""Postmark's Email API.

    POST https://api.postmarkapp.com/email          200 {"MessageID", "ErrorCode": 0, "Message": "OK", …}
    POST https://api.postmarkapp.com/email/batch    200 [the same, for each message, in their order]
    {"ErrorCode": 406, "Message": "…"}              the reason of a refusal, whatever the status (mostly 422)

Our message id travels as metadata, which comes back in every webhook. There is no idempotency key: after an unknown
outcome, a repeat may be a second mail. Of a mail with copies, Postmark leaves out inactive recipients with ErrorCode 0
and says so in its words only; what became of each is told by the webhooks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, cast

import httpx
import orjson

from hermod.channels.email.envelope import encoded_size, misfit
from hermod.channels.email.postmark.codes import MEANINGS, Meaning
from hermod.channels.email.postmark.mail import mail
from hermod.channels.http_sender import HttpSender, is_html, json_object, text_of
from hermod.contracts.errors import FieldError
from hermod.contracts.notifications.content import AnyContent, Channel, Email
from hermod.contracts.notifications.outcomes import (
    AccountHalted,
    AnyOutcome,
    Fault,
    MessageRejected,
    OutcomeUnknown,
    RecipientRejected,
    Transient,
)
from hermod.contracts.tenants.accounts import Account
from hermod.outbound.addresses.guard import AddressGuard
from hermod.outbound.http.client import Reply
from hermod.outbound.wiring import AdapterContext
from hermod.ports.notifications.sender import Capability, Outgoing

_MAX_BODY: Final = 5 * 1024 * 1024
"""Bytes of HtmlBody, and of TextBody."""
_MAX_BATCH: Final = 500
_SHARE: Final = 50_000_000 // _MAX_BATCH - 200
"""Bytes that one message of a batch may have, so that 500 of them stay below the 50 MB of a request."""
_STREAM: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}", re.ASCII | re.IGNORECASE)


class PostmarkSender(HttpSender):
    """Implements `hermod.ports.notifications.sender.BatchSender`."""

    capability = Capability(
        provider="postmark",
        title="Postmark",
        channels=frozenset({Channel.EMAIL}),
        attachments=True,
        inline_images=True,
        custom_headers=True,
        max_recipients=50,
        max_bytes=10 * 1024 * 1024,
        max_batch=_MAX_BATCH,
        default_rate=10.0,
        credentials=("server_token", "message_stream", "webhook_username", "webhook_password", "webhook_secret"),
        optional_credentials=("message_stream", "webhook_username", "webhook_password", "webhook_secret"),
        base_url="https://api.postmarkapp.com",
    )

    def __init__(self, account: Account, wiring: AdapterContext) -> None:
        super().__init__(account, wiring)
        credentials = account.credentials
        self._stream = credentials.get("message_stream", "outbound")
        self._secrets = tuple(value for name, value in credentials.items() if name != "message_stream")
        self._url = httpx.URL(f"{self._base_url}/email")
        self._batch_url = httpx.URL(f"{self._base_url}/email/batch")
        self._headers = [
            ("content-type", "application/json"),
            ("accept", "application/json"),
            ("x-postmark-server-token", credentials["server_token"]),
        ]

    @classmethod
    def check(cls, credentials: Mapping[str, str], base_url: str | None, guard: AddressGuard) -> Iterator[FieldError]:
        yield from super().check(credentials, base_url, guard)
        stream = credentials.get("message_stream")
        if stream and not _STREAM.fullmatch(stream):
            yield FieldError("credentials.message_stream", "must be the id of a message stream, like outbound")
        if ("webhook_username" in credentials) != ("webhook_password" in credentials):
            missing = "webhook_password" if "webhook_username" in credentials else "webhook_username"
            yield FieldError(f"credentials.{missing}", "missing: webhook_username and webhook_password go together")

    def cannot_express(self, content: AnyContent) -> str | None:
        fault = misfit(content, self.account.from_, self.capability)
        if fault is None and isinstance(content, Email):
            largest = max(len((body or "").encode()) for body in (content.html, content.text))
            if largest > _MAX_BODY:
                return f"it takes {_MAX_BODY // 1024 // 1024} MiB of html and of text at most"
        return fault

    def batchable(self, content: AnyContent) -> bool:
        """Whatever is small enough. The size is that of the JSON, in which a quote or a line break counts twice."""
        if not isinstance(content, Email) or encoded_size(content) > _SHARE:
            return False
        try:
            return len(orjson.dumps(self._mail(content, content.from_ or self.account.from_ or "", ""))) <= _SHARE
        except (TypeError, ValueError):
            return False

    def request(self, message: Outgoing) -> httpx.Request:
        return self.post(self._url, self._headers, orjson.dumps(self._mail_of(message)), message)

    def batch_request(self, messages: Sequence[Outgoing]) -> httpx.Request:
        body = orjson.dumps([self._mail_of(message) for message in messages])
        return self.post(self._batch_url, self._headers, body, messages[0])

    async def send_batch(self, messages: Sequence[Outgoing]) -> Sequence[AnyOutcome]:
        fresh = any(message.attempt > 1 for message in messages)
        return await self.send_together(messages, self.batch_request, self.batch_outcomes, fresh=fresh)

    def outcome(self, reply: Reply, message: Outgoing) -> AnyOutcome:
        return self._judged(reply, json_object(reply), message)

    def batch_outcomes(self, reply: Reply, messages: Sequence[Outgoing]) -> list[AnyOutcome]:
        """One outcome for each message. Pure, like `outcome`.

        A 200 only says that each message was looked at, so what cannot be read of it leaves those messages unknown.
        """
        if reply.status != 200:
            return [self.outcome(reply, message) for message in messages]
        items = _json_list(reply)
        if len(items) != len(messages):
            error = f"the answer names {len(items)} of {len(messages)} messages"
            return [OutcomeUnknown(status_code=200, error_code="batch", error=error) for _ in messages]
        return [self._item(reply, item, message) for item, message in zip(items, messages, strict=True)]

    def _item(self, reply: Reply, item: object, message: Outgoing) -> AnyOutcome:
        if not isinstance(item, dict) or text_of(item.get("ErrorCode")) is None:
            return OutcomeUnknown(status_code=200, error_code="batch", error="no answer for this message of the batch")
        return self._judged(reply, item, message)

    def _judged(self, reply: Reply, body: dict[str, Any], message: Outgoing) -> AnyOutcome:
        code, text = text_of(body.get("ErrorCode")), text_of(body.get("Message"))
        if reply.status == 200 and code in (None, "0"):
            return self.accepted(reply, body.get("MessageID"))
        meaning = MEANINGS.get(code or "")
        if meaning is Meaning.TRANSIENT:
            error = self.line(text or "maintenance")
            return Transient(status_code=reply.status, error_code=code, error=error, retry_after=self.wait(reply))
        if meaning is None or reply.status == 429 or reply.status >= 500:
            return self._by_status(reply, code, text)
        said: dict[str, Any] = {"status_code": reply.status, "error_code": code}
        said["error"] = self.line(text or f"Postmark error {code}")
        match meaning:
            case Meaning.LISTED:
                return RecipientRejected(**said, fault=Fault.LISTED)
            case Meaning.MESSAGE:
                return MessageRejected(**said)
            case Meaning.SENDER:
                return self.sender_refused(reply, message, code=code, text=text)
            case Meaning.ACCOUNT:
                return AccountHalted(**said)

    def _by_status(self, reply: Reply, code: str | None, text: str | None) -> AnyOutcome:
        """A code that is not known, in a 200 too: of a batch, whose messages are refused within it."""
        if reply.status == 200:
            error = self.line(text or f"Postmark error {code}")
            return MessageRejected(status_code=200, error_code=code, error=error)
        return self.by_status(reply, code=code, text=text)

    def _mail_of(self, message: Outgoing) -> dict[str, Any]:
        return self._mail(cast(Email, message.content), message.sender or "", message.id)

    def _mail(self, email: Email, sender: str, message_id: str) -> dict[str, Any]:
        return mail(email, sender=sender, message_id=message_id, stream=self._stream)


def _json_list(reply: Reply) -> list[object]:
    """The body as a JSON array, or an empty one for anything else."""
    if is_html(reply):
        return []
    try:
        value = orjson.loads(reply.body)
    except orjson.JSONDecodeError:
        return []
    return value if isinstance(value, list) else []
