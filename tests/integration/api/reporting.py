"""The sandbox as a provider that reports: calls signed with an account's secret, made as anybody would make them."""

from __future__ import annotations

import hashlib
import hmac
from datetime import timedelta
from typing import Any

import httpx
from pydantic import SecretStr

from devstack.sandbox.entry import Entry
from devstack.sandbox.providers.contract import Call, Target
from devstack.sandbox.providers.sandbox import SandboxProvider
from hermod.contracts.notifications.content import Channel
from hermod.contracts.tenants.accounts import AccountInput
from tests.integration.api.conftest import Api

SECRET = {"webhook_secret": "shared-with-the-sandbox"}
ORIGIN = "http://hermod.test"


async def give_secret(api: Api, name: str = "main-email", provider: str = "sandbox") -> None:
    account = AccountInput(
        channel=Channel.EMAIL,
        provider=provider,
        credentials={"api_key": SecretStr("key")} | {key: SecretStr(value) for key, value in SECRET.items()},
        base_url="http://127.0.0.1:9/sandbox",
    )
    core = api.hermod.core
    await core.storage.accounts.put(api.tenant, name, account, actor="test", now=core.clock.now())


def place(api: Api, name: str = "main-email", provider: str = "sandbox", tenant: str | None = None) -> str:
    return f"/ingress/receipts/{provider}/{tenant or api.tenant}/{name}"


def call(api: Api, happening: str = "delivered", *, message: str = "msg_x", late: float = 0, path: str = "") -> Call:
    entry = Entry(
        provider="sandbox",
        channel="email",
        message_id=message,
        provider_message_id="sbx_1",
        sender=None,
        to=("ada@example.com",),
    )
    now = api.hermod.core.clock.now() - timedelta(seconds=late)
    made = SandboxProvider().report(entry, happening, Target(ORIGIN + (path or place(api)), SECRET, now))
    assert made is not None
    return made


async def make(api: Api, report: Call, **changes: Any) -> httpx.Response:
    parts: dict[str, Any] = {"url": report.path, "headers": dict(report.headers), "content": report.body} | changes
    client = httpx.AsyncClient(transport=httpx.ASGITransport(api.app), base_url=ORIGIN)
    async with client:
        return await client.request(report.method, **parts)


def signed(api: Api, body: bytes) -> Call:
    """Any body, with a signature that is right."""
    at = str(int(api.hermod.core.clock.now().timestamp()))
    signature = hmac.new(SECRET["webhook_secret"].encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return Call("POST", ORIGIN + place(api), {"sandbox-timestamp": at, "sandbox-signature": signature}, body)
