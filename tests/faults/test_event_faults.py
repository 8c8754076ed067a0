"""A worker or ClickHouse is gone at the wrong moment: every acknowledged event is in ClickHouse, and once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import text

from hermod.contracts.ids import events_workflow
from hermod.storage.analytics.event_claims import MOST_INSERTS
from tests.faults.conftest import Scene
from tests.support.analytics.clickhouse import clear_faults, fail
from tests.support.analytics.event_rows import arrived, events_of
from tests.support.polling import eventually


class Load:
    """Calls without a pause, of one event and of several, and the ids that were acknowledged."""

    def __init__(self, scene: Scene) -> None:
        self._hermod = scene.house.hermod
        self.acknowledged: list[str] = []
        self.stopped = False

    async def run(self, visitor: int) -> None:
        call = 0
        while not self.stopped:
            call += 1
            ids = [f"v{visitor}.c{call}.e{number}" for number in range(1 if call % 4 else 50)]
            events = [{"type": f"type_{visitor}", "event_id": id} for id in ids]
            receipt = await self._hermod.track_many(events)
            assert (receipt.accepted, receipt.duplicates) == (len(ids), 0)
            self.acknowledged += ids
            await asyncio.sleep(0.03)

    async def reached(self, count: int) -> None:
        await eventually(lambda: len(self.acknowledged) >= count)


@asynccontextmanager
async def load(scene: Scene) -> AsyncIterator[Load]:
    own = Load(scene)
    async with asyncio.TaskGroup() as group:
        for visitor in range(8):
            group.create_task(own.run(visitor))
        try:
            yield own
        finally:
            own.stopped = True


async def under_way(scene: Scene) -> list[str]:
    """The workflows that have taken events and not yet let go of them."""
    statement = text("""
        SELECT DISTINCT insert_id FROM event_batches WHERE tenant_id = :tenant AND insert_id IS NOT NULL
    """)
    tenant = scene.house.hermod.tenant
    rows = await scene.house.hermod.core.storage.database.rows(statement, {"tenant": tenant})
    return [events_workflow(tenant, row.insert_id) for row in rows]


async def all_there(scene: Scene, own: Load) -> None:
    rows = await arrived(scene.house.hermod, len(own.acknowledged), within=60)
    assert sorted(row["event_id"] for row in rows) == sorted(own.acknowledged)


async def test_worker_killed_in_mid_load_every_acknowledged_event_is_there_once(lasting: Scene) -> None:
    scene, database = lasting, lasting.cluster.settings.clickhouse_database
    worker = await scene.worker()
    async with load(scene) as own:
        await own.reached(300)
        # When the worker dies, ClickHouse has the rows of some inserts, and nobody knows of it; of others it has none.
        for name in ("run_then_reset", "slow", "gateway", "slow", "gateway", "gateway"):
            await fail(scene.cluster.clickhouse, name, database=database, delay=3)

        async def several() -> list[str] | None:
            found = await under_way(scene)
            return found if len(found) > 1 else None

        held = await eventually(several)
        await own.reached(len(own.acknowledged) + 300)
        await scene.kill(worker, *(held or ()))
        await own.reached(len(own.acknowledged) + 300)
    await clear_faults(scene.cluster.clickhouse)
    await scene.cluster.start_worker()
    await all_there(scene, own)


async def test_clickhouse_away_nothing_is_lost_and_all_of_it_comes_after(lasting: Scene) -> None:
    scene = lasting
    await scene.worker()
    async with load(scene) as own:
        await own.reached(200)
        scene.cluster.clickhouse.child.kill()
        await scene.cluster.clickhouse.child.until_exit()
        known = len(own.acknowledged)
        await own.reached(known + 2_000)
    assert len(await under_way(scene)) <= MOST_INSERTS
    of_tenant = f"HermodTenant = '{scene.house.hermod.tenant}' AND ExecutionStatus = 'Running'"
    running = [workflow async for workflow in scene.temporal.list_workflows(of_tenant)]
    assert len(running) <= MOST_INSERTS + 1
    assert await events_of(scene.house.hermod) == []
    await scene.cluster.clickhouse.start()
    await all_there(scene, own)
