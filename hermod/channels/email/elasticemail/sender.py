"""Elastic Email's v4 transactional API.

    POST https://api.elasticemail.com/v4/emails/transactional     X-ElasticEmail-ApiKey
    200 {"TransactionID", "MessageID"}
    4xx {"Error": "one sentence"}      400 for nearly everything, a wrong key included

Our message id is the `Idempotency-Key`, remembered for 24 hours, and the `Postback`, which every webhook call brings
back.

409 means that an earlier request with the key is still being worked on, and 503 that the key could not be looked up:
both leave the outcome open, and a repeat with the same key is safe. 422 is the answer to a key that was used for
another body. On a first attempt nothing was sent under the key yet, so it refuses the message; later, the earlier
request may have been taken, and the outcome is unknown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

import httpx
import orjson

from hermod.channels.email.elasticemail.codes import HALTING_WORDS, IN_FLIGHT, KEY_MISUSED, PLAN_LIMIT
from hermod.channels.email.elasticemail.mail import mail
from hermod.channels.email.envelope import misfit
from hermod.channels.http_sender import HttpSender, json_object, text_of
from hermod.contracts.errors import FieldError
from hermod.contracts.notifications.content import AnyContent, Channel, Email
from hermod.contracts.notifications.outcomes import AccountHalted, AnyOutcome, OutcomeUnknown
from hermod.contracts.tenants.accounts import Account
from hermod.outbound.addresses.guard import AddressGuard
from hermod.outbound.http.client import Reply
from hermod.outbound.wiring import AdapterContext
from hermod.ports.notifications.sender import Capability, Outgoing

_SENT: Final = 200
_CONNECTIONS: Final = 20
"""Connections that Elastic Email allows an account at once."""
_SHORTEST_TOKEN: Final = 16


class ElasticEmailSender(HttpSender):
    capability = Capability(
        provider="elasticemail",
        title="Elastic Email",
        channels=frozenset({Channel.EMAIL}),
        idempotency_key=True,
        attachments=True,
        inline_images=True,
        custom_headers=True,
        max_recipients=50,
        max_bytes=20 * 1024 * 1024,
        default_rate=10.0,
        credentials=("api_key", "webhook_secret", "webhook_token"),
        optional_credentials=("webhook_secret", "webhook_token"),
        base_url="https://api.elasticemail.com",
    )

    def __init__(self, account: Account, wiring: AdapterContext) -> None:
        limited = replace(wiring.http, connections=min(wiring.http.connections, _CONNECTIONS))
        super().__init__(account, replace(wiring, http=limited))
        self._url = httpx.URL(f"{self._base_url}/v4/emails/transactional")
        self._headers = [
            ("content-type", "application/json"),
            ("accept", "application/json"),
            ("x-elasticemail-apikey", account.credentials["api_key"]),
        ]

    @classmethod
    def check(cls, credentials: Mapping[str, str], base_url: str | None, guard: AddressGuard) -> Iterator[FieldError]:
        yield from super().check(credentials, base_url, guard)
        token = credentials.get("webhook_token")
        if token and len(token) < _SHORTEST_TOKEN:
            yield FieldError(
                "credentials.webhook_token", f"too easy to guess: use {_SHORTEST_TOKEN} characters or more"
            )

    def cannot_express(self, content: AnyContent) -> str | None:
        fault = misfit(content, self.account.from_, self.capability)
        if fault is None and isinstance(content, Email) and len(content.reply_addresses) > 1:
            return "it takes one address for replies"
        return fault

    def request(self, message: Outgoing) -> httpx.Request:
        headers = [*self._headers, ("idempotency-key", message.id)]
        return self.post(self._url, headers, orjson.dumps(mail(message)), message)

    def outcome(self, reply: Reply, message: Outgoing) -> AnyOutcome:
        body, status = json_object(reply), reply.status
        if status == _SENT:
            return self.accepted(reply, body.get("MessageID"))
        text = text_of(body.get("Error"))
        error = self.line(text) if text else f"HTTP {status}"
        if status == PLAN_LIMIT or (status == 400 and text in HALTING_WORDS):
            return AccountHalted(status_code=status, error_code=text if text in HALTING_WORDS else None, error=error)
        if status == IN_FLIGHT or (status == KEY_MISUSED and message.attempt > 1):
            return OutcomeUnknown(status_code=status, error=error)
        return self.by_status(reply, text=text)
