"""Accounts, messages and answers for the adapters' tests."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

import httpx
import orjson

from hermod.channels.registry import CAPABILITIES, KITS
from hermod.contracts.notifications.content import AnyContent, Attachment, Channel, Email, Sms, WhatsApp
from hermod.contracts.notifications.messages import Category
from hermod.contracts.tenants.accounts import Account
from hermod.outbound.addresses.guard import AddressGuard
from hermod.outbound.http.client import Reply
from hermod.outbound.wiring import AdapterContext
from hermod.ports.notifications.sender import Outgoing

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
CREDENTIALS = {name: dict(kit.example.credentials) for name, kit in KITS.items()}
CHANNELS = {name: min(capability.channels) for name, capability in CAPABILITIES.items()}
SENDERS = {Channel.EMAIL: "News <news@example.com>", Channel.SMS: "+15005550006", Channel.WHATSAPP: "+15005550006"}


class FixedClock:
    def now(self) -> datetime:
        return NOW


def wiring(*, allow_private: bool = False) -> AdapterContext:
    return AdapterContext(guard=AddressGuard(allow_private=allow_private), clock=FixedClock())


def account(provider: str, **changes: Any) -> Account:
    channel = changes.pop("channel", CHANNELS[provider])
    example = KITS[provider].example
    fields: dict[str, Any] = {
        "tenant": "demo",
        "name": "main",
        "channel": channel,
        "provider": provider,
        "credentials": CREDENTIALS[provider],
        "base_url": example.base_url,
        "from_": example.sender,
        "order": 10,
        "rate_per_second": None,
        "enabled": True,
        "blocked_until": None,
        "blocked_reason": None,
        "blocked_count": 0,
        "revision": 1,
    }
    return Account(**(fields | changes))


def email(**changes: Any) -> Email:
    return Email(**({"to": "ada@example.com", "subject": "Hello", "text": "Hi Ada"} | changes))


def sms(**changes: Any) -> Sms:
    return Sms(**({"to": "+14155550100", "body": "Hi Ada"} | changes))


def whatsapp(**changes: Any) -> WhatsApp:
    return WhatsApp(**({"to": "+14155550100", "body": "Hi Ada"} | changes))


def file(
    name: str = "a.pdf", kind: str = "application/pdf", data: bytes = b"%PDF", cid: str | None = None
) -> Attachment:
    encoded = base64.b64encode(data).decode()
    return Attachment(filename=name, content_type=kind, content_base64=encoded, content_id=cid)


def outgoing(content: AnyContent, **changes: Any) -> Outgoing:
    channel = Channel(content.channel)
    fields: dict[str, Any] = {
        "id": "msg_1",
        "tenant": "demo",
        "content": content,
        "sender": getattr(content, "from_", None) or SENDERS.get(channel),
        "category": Category.TRANSACTIONAL,
        "attempt": 1,
    }
    return Outgoing(**(fields | changes))


def reply(status: int, body: object = b"", kind: str | None = "application/json", **headers: str) -> Reply:
    """An answer. A body that is not bytes is sent as JSON; header names are written with underscores."""
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if kind is not None:
        named["content-type"] = kind
    return Reply(status, httpx.Headers(named), raw)
