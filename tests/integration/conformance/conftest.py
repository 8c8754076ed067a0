"""One provider sandbox for all adapters; every test leaves it without faults and with an empty inbox."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from devstack.sandbox import Sandbox


class Counterpart:
    """The other side of an adapter: where it listens, what it took, and what is to go wrong."""

    def __init__(self, sandbox: Sandbox, client: httpx.AsyncClient) -> None:
        self.url = sandbox.url
        self.smtp_port = sandbox.smtp_port
        self.apns_url = sandbox.apns_url
        self._client = client

    async def fail(self, provider: str, fault: str, **order: Any) -> None:
        """Order a fault for the provider's next requests (`times`, `retry_after`, `delay`)."""
        response = await self._client.put(f"/_sandbox/faults/{provider}", json={"fault": fault, **order})
        response.raise_for_status()

    async def mend(self) -> None:
        (await self._client.delete("/_sandbox/faults")).raise_for_status()

    async def inbox(self, provider: str) -> list[dict[str, Any]]:
        response = await self._client.get("/_sandbox/inbox", params={"provider": provider, "limit": 1000})
        items: list[dict[str, Any]] = response.raise_for_status().json()["items"]
        return items

    async def clear(self) -> None:
        (await self._client.delete("/_sandbox/inbox")).raise_for_status()


@pytest.fixture(scope="session")
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox(http_port=0, smtp_port=0) as sandbox:
        yield sandbox


@pytest.fixture
async def counterpart(sandbox: Sandbox) -> AsyncIterator[Counterpart]:
    async with httpx.AsyncClient(base_url=sandbox.url) as client:
        counterpart = Counterpart(sandbox, client)
        await counterpart.mend()
        await counterpart.clear()
        yield counterpart
        await counterpart.mend()
