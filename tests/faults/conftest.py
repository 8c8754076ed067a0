"""A whole product as processes of its own, so that parts of it can be killed: for a test, or for those of a module."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import httpx
import pytest
from sqlalchemy import text
from temporalio.client import Client

from devstack.cluster import Cluster, temporary_cluster
from devstack.servers.process import Child
from starter import Hermod
from starter.temporal.connection import connect
from tests.faults.messages import SLOW, CutOff, behind_proxies
from tests.faults.webhooks import Ground
from tests.support.hostile import Hostile
from tests.support.lost_workers import miss_worker
from tests.support.product import ProductFixture, new_house

Record = Callable[[str, object], None]
"""pytest's `record_property`."""

_ATTEMPTS: Final = text("""
    SELECT message_id, array_agg(coalesce(outcome, 'under way') ORDER BY number) AS outcomes
      FROM attempts WHERE tenant_id = :tenant GROUP BY message_id
""")


@dataclass(frozen=True)
class Scene:
    """A tenant of a product made of processes, and what the providers have received."""

    cluster: Cluster
    house: ProductFixture
    temporal: Client

    async def worker(self) -> Child:
        """A worker at work: one that an earlier test has left, or a new one."""
        living = [worker for worker in self.cluster.workers if worker.exit_code is None]
        return living[-1] if living else await self.cluster.start_worker()

    async def no_worker(self) -> None:
        """End those that earlier tests have left."""
        await asyncio.gather(*(worker.stop(within=15) for worker in self.cluster.workers))

    async def no_worker_any_more(self) -> None:
        """None is at work, but one has been: the first one registers the search attributes of workflows."""
        await self.worker()
        await self.no_worker()

    async def kill(self, worker: Child, *workflow_ids: str) -> None:
        """SIGKILL. What the worker had at hand of the deliveries of these workflows is ready for another one."""
        worker.kill()
        await worker.until_exit()
        await miss_worker(self.temporal, workflow_ids)

    async def fault(self, provider: str, **fault: Any) -> None:
        async with httpx.AsyncClient(base_url=self.cluster.sandbox.url) as sandbox:
            (await sandbox.put(f"/_sandbox/faults/{provider}", json=fault)).raise_for_status()

    async def received(self, provider: str) -> dict[str, int]:
        """How often the provider took each message, by message id."""
        async with httpx.AsyncClient(base_url=self.cluster.sandbox.url) as sandbox:
            answer = await sandbox.get("/_sandbox/inbox/ids", params={"provider": provider})
        ids: dict[str, int] = answer.raise_for_status().json()["ids"]
        return ids

    async def no_faults(self) -> None:
        async with httpx.AsyncClient(base_url=self.cluster.sandbox.url) as sandbox:
            (await sandbox.delete("/_sandbox/faults")).raise_for_status()

    async def requests(self, provider: str, messages: Collection[str]) -> Counter[str]:
        """How many requests for each of these messages have come to the provider, those that it answers later among
        them."""
        async with httpx.AsyncClient(base_url=self.cluster.sandbox.url) as sandbox:
            answer = await sandbox.get("/_sandbox/inbox/requests", params={"provider": provider})
        counted = answer.raise_for_status().json()["ids"]
        return Counter({message: counted[message] for message in messages if message in counted})

    async def add_sandbox_account(
        self, name: str = "main", provider: str = "sandbox", *, rate: float | None = None
    ) -> None:
        """An account at the sandbox provider, which knows idempotency keys, or at SendGrid's, which knows none."""
        key = "SG.key.secret" if provider == "sendgrid" else "key"
        await self.house.add_account(
            name,
            provider=provider,
            credentials={"api_key": key},
            base_url=f"{self.cluster.sandbox.url}/{provider}",
            rate=rate,
        )

    async def counted(self) -> dict[str, int]:
        """The tenant's messages by status."""
        rows = await self.house.hermod.core.storage.database.rows(
            text("SELECT status, count(*) AS n FROM messages WHERE tenant_id = :tenant GROUP BY status"),
            {"tenant": self.house.hermod.tenant},
        )
        return {row.status: row.n for row in rows}

    async def outcomes(self) -> dict[str, tuple[str, ...]]:
        """What became of the requests for each of the tenant's messages, in their order."""
        house = self.house
        rows = await house.hermod.core.storage.database.rows(_ATTEMPTS, {"tenant": house.hermod.tenant})
        return {row.message_id: tuple(row.outcomes) for row in rows}


@asynccontextmanager
async def promises_kept(house: ProductFixture) -> AsyncIterator[None]:
    """Fails where the tenant's records break a promise in the end."""
    core = house.hermod.core
    since = core.clock.now()
    yield
    found = await core.storage.promises.audit(core.clock.now(), since=since)
    broken = [
        (name, violation)
        for name, violations in found.items()
        for violation in violations
        if violation.tenant == house.hermod.tenant
    ]
    assert broken == []


@asynccontextmanager
async def _product() -> AsyncIterator[Scene]:
    async with (
        temporary_cluster() as running,
        await Hermod.connect(settings=running.settings, tenant="default") as hermod,
    ):
        temporal = await connect(running.settings, lazy=False)
        yield Scene(running, await new_house(hermod, temporal), temporal)


@pytest.fixture
async def scene(quiet_exit: None) -> AsyncIterator[Scene]:
    async with _product() as product, promises_kept(product.house):
        yield product


@pytest.fixture(scope="module")
async def _lasting_product(quiet_exit: None) -> AsyncIterator[Scene]:
    async with _product() as product:
        yield product


@pytest.fixture
async def lasting(_lasting_product: Scene) -> AsyncIterator[Scene]:
    """A tenant of its own in a product that the tests of a module share. What a test takes away, it brings back."""
    product = _lasting_product
    house = await new_house(product.house.hermod, product.temporal)
    async with promises_kept(house):
        yield Scene(product.cluster, house, product.temporal)
    await product.no_faults()


@pytest.fixture
async def slow(lasting: Scene) -> Scene:
    """A tenant whose provider can be told to take its time, and that no rate holds back."""
    await lasting.add_sandbox_account(provider=SLOW, rate=1_000)
    return lasting


@pytest.fixture
async def apart(slow: Scene) -> AsyncIterator[CutOff]:
    """The only worker, behind proxies."""
    await slow.no_worker()
    async with behind_proxies(slow) as worker:
        yield worker


@pytest.fixture
async def receiver() -> AsyncIterator[Hostile]:
    async with Hostile() as running:
        yield running


@pytest.fixture
async def ground(house: ProductFixture, receiver: Hostile, record_property: Record) -> AsyncIterator[Ground]:
    async with promises_kept(house):
        yield Ground(house.hermod, receiver, record_property)


@pytest.fixture
def killable(lasting: Scene, receiver: Hostile, record_property: Record) -> Ground:
    return Ground(lasting.house.hermod, receiver, record_property)
