"""A whole product as processes of its own for each test, so that parts of it can be killed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from temporalio.client import Client

from devstack.cluster import Cluster, temporary_cluster
from starter import Hermod
from starter.connection import connect
from tests.faults.webhooks import Ground
from tests.support.hostile import Hostile
from tests.support.product import House, new_house

Record = Callable[[str, object], None]
"""pytest's `record_property`."""


@dataclass(frozen=True)
class Scene:
    """A tenant of a product made of processes, and what the providers have received."""

    cluster: Cluster
    house: House
    temporal: Client

    async def fault(self, provider: str, **fault: Any) -> None:
        async with httpx.AsyncClient(base_url=self.cluster.sandbox.url) as sandbox:
            (await sandbox.put(f"/_sandbox/faults/{provider}", json=fault)).raise_for_status()

    async def received(self, provider: str) -> dict[str, int]:
        """How often the provider took each message, by message id."""
        async with httpx.AsyncClient(base_url=self.cluster.sandbox.url) as sandbox:
            answer = await sandbox.get("/_sandbox/inbox/ids", params={"provider": provider})
        ids: dict[str, int] = answer.raise_for_status().json()["ids"]
        return ids

    async def add_sandbox_account(self, name: str = "main", provider: str = "sandbox") -> None:
        """An account at the sandbox provider, which knows idempotency keys, or at SendGrid's, which knows none."""
        key = "SG.key.secret" if provider == "sendgrid" else "key"
        await self.house.add_account(
            name,
            provider=provider,
            credentials={"api_key": key},
            base_url=f"{self.cluster.sandbox.url}/{provider}",
        )

    async def counted(self) -> dict[str, int]:
        """The tenant's messages by status."""
        rows = await self.house.hermod.core.storage.database.rows(
            text("SELECT status, count(*) AS n FROM messages WHERE tenant_id = :tenant GROUP BY status"),
            {"tenant": self.house.hermod.tenant},
        )
        return {row.status: row.n for row in rows}


@pytest.fixture
async def scene(quiet_exit: None) -> AsyncIterator[Scene]:
    async with (
        temporary_cluster() as running,
        await Hermod.connect(settings=running.settings, tenant="default") as hermod,
    ):
        temporal = await connect(running.settings, lazy=False)
        house = await new_house(hermod, temporal)
        yield Scene(running, house, temporal)


@pytest.fixture
async def receiver() -> AsyncIterator[Hostile]:
    async with Hostile() as running:
        yield running


@pytest.fixture
def ground(house: House, receiver: Hostile, record_property: Record) -> Ground:
    return Ground(house.hermod, receiver, record_property)


@pytest.fixture
def killable(scene: Scene, receiver: Hostile, record_property: Record) -> Ground:
    return Ground(scene.house.hermod, receiver, record_property)
