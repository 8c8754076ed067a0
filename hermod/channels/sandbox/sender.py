"""The provider `sandbox`: the simplest provider there can be, for every channel, with an idempotency key.

    POST {base_url}/v1/messages            Authorization: Bearer <api_key>, Idempotency-Key: <message id>
    {"id", "channel", "to", "from", "content": {…}, "attempt"}
    202 {"id": "sbx_…"}
    4xx {"error": {"code": "invalid_recipient", "message": "…"}}

The dev stack speaks its other side. It is also the adapter to read first, and the one the benchmarks run.
"""

from __future__ import annotations

from typing import Final

import httpx
import orjson

from hermod.channels.http_sender import HttpSender, json_object, text_of
from hermod.contracts.notifications.content import Channel
from hermod.contracts.notifications.outcomes import AnyOutcome, RecipientRejected
from hermod.contracts.tenants.accounts import Account
from hermod.outbound.http.client import Reply
from hermod.outbound.wiring import AdapterContext
from hermod.ports.notifications.sender import Capability, Outgoing

_RECIPIENT_CODES: Final = frozenset({"invalid_recipient"})
_OUTSIDE_CONTENT: Final = {"channel", "to", "from_"}


class SandboxSender(HttpSender):
    capability = Capability(
        provider="sandbox",
        title="Sandbox",
        channels=frozenset(Channel),
        idempotency_key=True,
        retry_after=True,
        attachments=True,
        inline_images=True,
        media=True,
        custom_headers=True,
        max_recipients=101,
        credentials=("api_key", "webhook_secret"),
        optional_credentials=("webhook_secret",),
    )

    def __init__(self, account: Account, wiring: AdapterContext) -> None:
        super().__init__(account, wiring)
        self._url = httpx.URL(f"{self._base_url}/v1/messages")
        self._headers = [
            ("content-type", "application/json"),
            ("authorization", f"Bearer {account.credentials['api_key']}"),
        ]

    def request(self, message: Outgoing) -> httpx.Request:
        content = message.content
        body = orjson.dumps(
            {
                "id": message.id,
                "channel": content.channel,
                "to": content.to,
                "from": message.sender,
                "content": orjson.Fragment(content.model_dump_json(exclude=_OUTSIDE_CONTENT, exclude_defaults=True)),
                "attempt": message.attempt,
            }
        )
        return self.post(self._url, [*self._headers, ("idempotency-key", message.id)], body, message)

    def outcome(self, reply: Reply, message: Outgoing) -> AnyOutcome:
        if reply.status == 202:
            return self.accepted(reply, json_object(reply).get("id"))
        fault = json_object(reply).get("error")
        code = text_of(fault.get("code")) if isinstance(fault, dict) else None
        text = text_of(fault.get("message")) if isinstance(fault, dict) else None
        if reply.status == 422 and code in _RECIPIENT_CODES:
            return RecipientRejected(status_code=422, error_code=code, error=self.line(text) if text else code)
        return self.by_status(reply, code=code, text=text)
