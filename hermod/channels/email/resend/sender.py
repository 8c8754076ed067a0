"""Resend's Emails API.

    POST https://api.resend.com/emails            200 {"id": "<uuid>"}
    POST https://api.resend.com/emails/batch      200 {"data": [{"id": "<uuid>"}, …]}, in the order of the request
    {"statusCode": 422, "name": "validation_error", "message": "…"}     everything else

Our message id is the `Idempotency-Key`, which Resend remembers for 24 hours, and the tag `hermod_message_id`, which
comes back in every event. A `User-Agent` is mandatory; the HTTP client sends one.

Two answers are about the key. `concurrent_idempotent_requests`: an earlier request of ours is still being worked on, so
the outcome is unknown, and the repeat under the same key is safe. `invalid_idempotent_request`: an email was sent under
this key, but from another body (the account's `from` was edited in between, say). The key is the message's own id, so
that email was this message: it counts as accepted, without an id, and its events still find it by the tag. Anything
else would send it once more.

A batch has a key of its own, made of its messages' ids in their order. Keys are kept per endpoint: Resend recognises
the same batch, but not one of its messages that is later sent alone.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import httpx
import orjson

from hermod.channels.email.envelope import encoded_size, misfit
from hermod.channels.email.resend.codes import MEANINGS, QUOTA_WAITS, Meaning
from hermod.channels.email.resend.mail import mail
from hermod.channels.email.resend.receipts import signing_key
from hermod.channels.http_sender import HttpSender, is_html, json_object, text_of
from hermod.contracts.errors import FieldError
from hermod.contracts.notifications.content import AnyContent, Channel, Email
from hermod.contracts.notifications.outcomes import (
    Accepted,
    AccountHalted,
    AnyOutcome,
    MessageRejected,
    OutcomeUnknown,
    Throttled,
)
from hermod.contracts.tenants.accounts import Account
from hermod.outbound.addresses.guard import AddressGuard
from hermod.outbound.http.client import Reply
from hermod.outbound.http.retry_after import clamp
from hermod.outbound.wiring import AdapterContext
from hermod.ports.notifications.sender import Capability, Outgoing

_SENT: Final = 200
_LARGEST_IN_BATCH: Final = 100_000
"""Bytes of one message in a batch. Resend names no limit for the whole request, so a hundred stay below 10 MB."""
_RATE_RESET: Final = re.compile(r"^\d{1,9}$", re.ASCII)


class ResendSender(HttpSender):
    """Implements `hermod.ports.notifications.sender.BatchSender`."""

    capability = Capability(
        provider="resend",
        title="Resend",
        channels=frozenset({Channel.EMAIL}),
        idempotency_key=True,
        retry_after=True,
        attachments=True,
        inline_images=True,
        custom_headers=True,
        max_recipients=101,  # 50 in each line; a message of ours has one in `to`
        max_bytes=40 * 1024 * 1024,
        max_batch=100,
        default_rate=2.0,
        rate_counts_requests=True,
        credentials=("api_key", "webhook_secret"),
        optional_credentials=("webhook_secret",),
        base_url="https://api.resend.com",
    )

    def __init__(self, account: Account, wiring: AdapterContext) -> None:
        super().__init__(account, wiring)
        self._url = httpx.URL(f"{self._base_url}/emails")
        self._batch_url = httpx.URL(f"{self._base_url}/emails/batch")
        self._headers = [
            ("content-type", "application/json"),
            ("accept", "application/json"),
            ("authorization", f"Bearer {account.credentials['api_key']}"),
        ]

    @classmethod
    def check(cls, credentials: Mapping[str, str], base_url: str | None, guard: AddressGuard) -> Iterator[FieldError]:
        yield from super().check(credentials, base_url, guard)
        secret = credentials.get("webhook_secret")
        if secret and signing_key(secret) is None:
            yield FieldError("credentials.webhook_secret", "must be the webhook's signing secret: whsec_ and base64")

    def cannot_express(self, content: AnyContent) -> str | None:
        return misfit(content, self.account.from_, self.capability)

    def batchable(self, content: AnyContent) -> bool:
        return isinstance(content, Email) and not content.attachments and encoded_size(content) <= _LARGEST_IN_BATCH

    def request(self, message: Outgoing) -> httpx.Request:
        headers = [*self._headers, ("idempotency-key", message.id)]
        return self.post(self._url, headers, orjson.dumps(mail(message)), message)

    def batch_request(self, messages: Sequence[Outgoing]) -> httpx.Request:
        """All or nothing (`strict`), under a key that stands for exactly these messages in this order."""
        key = "batch/" + hashlib.sha256("\n".join(message.id for message in messages).encode()).hexdigest()
        headers = [*self._headers, ("idempotency-key", key), ("x-batch-validation", "strict")]
        return self.post(self._batch_url, headers, orjson.dumps([mail(message) for message in messages]), messages[0])

    async def send_batch(self, messages: Sequence[Outgoing]) -> Sequence[AnyOutcome]:
        return await self.send_together(messages, self.batch_request, self.batch_outcomes)

    def outcome(self, reply: Reply, message: Outgoing) -> AnyOutcome:
        body = json_object(reply)
        if reply.status == _SENT:
            return self.accepted(reply, body.get("id"))
        name, text = text_of(body.get("name")), text_of(body.get("message"))
        meaning = MEANINGS.get((reply.status, name)) if name else None
        if name is None or meaning is None:
            return self.by_status(reply, code=name, text=text)
        return self._named(meaning, reply, message, name=name, text=text or name)

    def batch_outcomes(self, reply: Reply, messages: Sequence[Outgoing]) -> list[AnyOutcome]:
        """One outcome for each message, from one answer. Pure, like `outcome`.

        A batch is refused as a whole, and Resend does not say for whose sake: then each has the same refusal.
        """
        if reply.status != _SENT:
            outcomes = [self.outcome(reply, message) for message in messages]
            # A sender was refused, and not all have the account's own: it may be another's, so no account is halted.
            refused = [outcome for outcome in outcomes if isinstance(outcome, MessageRejected)]
            return [refused[0]] * len(messages) if refused else outcomes
        data = json_object(reply).get("data")
        if not isinstance(data, list) or is_html(reply):
            return [self.accepted(reply, None) for _ in messages]
        if len(data) != len(messages):
            error = f"the answer names {len(data)} of {len(messages)} messages"
            return [OutcomeUnknown(status_code=_SENT, error_code="batch", error=error) for _ in messages]
        return [self.accepted(reply, item.get("id") if isinstance(item, dict) else None) for item in data]

    def _named(self, meaning: Meaning, reply: Reply, message: Outgoing, *, name: str, text: str) -> AnyOutcome:
        said: dict[str, Any] = {"status_code": reply.status, "error_code": name, "error": self.line(text)}
        match meaning:
            case Meaning.MESSAGE:
                return MessageRejected(**said)
            case Meaning.SENDER:
                return self.sender_refused(reply, message, code=name, text=text)
            case Meaning.ACCOUNT:
                return AccountHalted(**said)
            case Meaning.RATE:
                return Throttled(**said, retry_after=self._rate_wait(reply))
            case Meaning.QUOTA:
                return Throttled(**said, retry_after=max(QUOTA_WAITS[name], self.wait(reply) or 0.0))
            case Meaning.IN_FLIGHT:
                return OutcomeUnknown(**said)
            case Meaning.TAKEN:
                return Accepted(**said)

    def _rate_wait(self, reply: Reply) -> float | None:
        """`retry-after`, else `ratelimit-reset`: the seconds until the rate window ends."""
        wait, reset = self.wait(reply), reply.headers.get("ratelimit-reset", "")
        if wait is None and _RATE_RESET.match(reset):
            wait = clamp(float(reset))
        return wait
