"""Accounts at the sandbox: what an account of each provider looks like when its vendor is played here, and whom it
can write to. The demo tenant has some of them, `make demo` all."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from devstack.sandbox.providers.webpush import subscription
from devstack.servers.ports import LOOPBACK
from hermod.channels.registry import CAPABILITIES, KITS
from hermod.contracts.notifications.content import AnyContent, Channel, Email, Push, Sms, WhatsApp, WhatsAppTemplate

_NUMBER: Final = "+14155550123"


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxAddresses:
    """Where the sandbox listens."""

    url: str
    smtp_port: int
    apns_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxAccount:
    """An account whose provider is the sandbox."""

    channel: Channel
    provider: str
    credentials: dict[str, str]
    base_url: str | None
    sender: str | None


def sandbox_account(provider: str, at: SandboxAddresses) -> SandboxAccount:
    """The account of the kit's example, with the sandbox in the vendor's place."""
    example = KITS[provider].example
    credentials, base_url = dict(example.credentials), f"{at.url}/{provider}"
    special: dict[str, tuple[dict[str, str], str | None]] = {
        "smtp": ({"host": LOOPBACK, "port": str(at.smtp_port), "tls": "none"}, None),
        "apns": (credentials, at.apns_url),
        "webpush": (credentials, None),
    }
    if provider == "fcm":
        key_file = json.loads(credentials["service_account"]) | {"token_uri": f"{base_url}/token"}
        special["fcm"] = ({"service_account": json.dumps(key_file)}, base_url)
    found, url = special.get(provider, (credentials, base_url))
    channel = min(CAPABILITIES[provider].channels)
    return SandboxAccount(
        channel=channel, provider=provider, credentials=found, base_url=url, sender=_sender(channel, example.sender)
    )


def sample(provider: str, at: SandboxAddresses) -> AnyContent:
    """A message that this provider can carry."""
    title, channel = CAPABILITIES[provider].title, min(CAPABILITIES[provider].channels)
    words = f"This one went out through the adapter for {title}."
    if channel is Channel.EMAIL:
        html = f"<h1>Hello</h1><p>{words}</p>"
        return Email(to="Ada Lovelace <ada@example.com>", subject=f"Hello by {title}", text=words, html=html)
    if channel is Channel.SMS:
        return Sms(to=_NUMBER, body=words)
    if provider == "twilio_whatsapp":
        return WhatsApp(to=_NUMBER, body=words)
    if channel is Channel.WHATSAPP:
        parameters = [{"type": "text", "text": "Ada"}]
        components = ({"type": "body", "parameters": parameters},)
        return WhatsApp(to=_NUMBER, template=WhatsAppTemplate(name="hello", language="en", components=components))
    return Push(to=_device(provider, at), title=f"Hello by {title}", body=words, data={"order": "42"})


def _device(provider: str, at: SandboxAddresses) -> str | dict[str, Any]:
    tokens: dict[str, str | dict[str, Any]] = {
        "apns": "0123456789abcdef" * 4,
        "expo": "ExponentPushToken[demo-device]",
        "webpush": subscription(f"{at.url}/webpush", "demo-device"),
    }
    return tokens.get(provider, "cXk3:APA91b" + "Zq-_7" * 20)


def _sender(channel: Channel, example: str | None) -> str | None:
    return "Hermod <hermod@example.com>" if channel is Channel.EMAIL else example
