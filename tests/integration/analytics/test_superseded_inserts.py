"""A round of IngestEvents whose executor was frozen, and goes on when another one has long done its work."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from sqlalchemy import text
from temporalio.testing import ActivityEnvironment

from activities.analytics.events import EventActivities
from hermod.analytics.client import ClickHouse
from hermod.analytics.sink import ClickHouseSink
from hermod.bootstrap import Storage, open_storage
from hermod.contracts.analytics.events import IngestInput, IngestReport
from hermod.ports.analytics import EventSink
from hermod.storage.analytics.event_outbox import EventRow, event_line
from tests.support.product import settings_for

TENANT = "shop"
ORDER = IngestInput(tenant=TENANT, insert="evb_1")


@dataclass
class FrozenSink:
    """Stops before each insert, or after it, until it is let go on."""

    sink: EventSink
    after: bool
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)

    async def insert(self, table: str, lines: bytes, *, token: str) -> None:
        if self.after:
            await self.sink.insert(table, lines, token=token)
        self.reached.set()
        await self.go_on.wait()
        if not self.after:
            await self.sink.insert(table, lines, token=token)


@pytest.fixture
async def storage(database_url: str) -> AsyncIterator[Storage]:
    async with open_storage(settings_for(database_url, "127.0.0.1:1")) as opened:
        await opened.tenants.create(TENANT, TENANT, datetime.now(UTC))
        yield opened


async def take(storage: Storage, *ids: str) -> None:
    now = datetime.now(UTC)
    for own in ids:
        row = EventRow(type="page.viewed", occurred_at=now, source="api", event_id=own)
        line = event_line(TENANT, row, "2026-11-21 10:00:00.000")
        assert await storage.event_acceptance.take(TENANT, [line], now) == [True]


async def ingest(storage: Storage, sink: EventSink) -> IngestReport:
    return await ActivityEnvironment().run(EventActivities(storage.event_outbox, sink).ingest_events, ORDER)


async def arrived(clickhouse: ClickHouse) -> list[str]:
    return [row["event_id"] for row in await clickhouse.rows("SELECT event_id FROM events ORDER BY event_id")]


async def waiting(storage: Storage) -> list[str | None]:
    statement = text("SELECT insert_id FROM event_batches WHERE tenant_id = :tenant ORDER BY id")
    return [row.insert_id for row in await storage.database.rows(statement, {"tenant": TENANT})]


@pytest.mark.parametrize("after", [False, True], ids=["frozen-before-its-insert", "frozen-after-its-insert"])
async def test_frozen_executor_adds_nothing_twice_and_lets_go_of_nothing_of_the_next_round(
    storage: Storage, sink: ClickHouseSink, empty: ClickHouse, after: bool
) -> None:
    frozen = FrozenSink(sink, after)
    await take(storage, "a", "b")
    slow = asyncio.create_task(ingest(storage, frozen))
    await asyncio.wait_for(frozen.reached.wait(), 20)
    assert (await ingest(storage, sink)).events == 2
    # The next round of the same workflow takes other rows under the same name.
    await take(storage, "c")
    assert len((await storage.event_outbox.claim(TENANT, ORDER.insert, datetime.now(UTC))).batches) == 1
    frozen.go_on.set()
    await slow
    assert await waiting(storage) == [ORDER.insert]
    assert await ingest(storage, sink) == IngestReport(events=1, inserts=1, more=False)
    assert (await arrived(empty), await waiting(storage)) == (["a", "b", "c"], [])


async def test_superseded_executor_that_is_first_to_let_go_leaves_its_successor_with_nothing_to_do_wrong(
    storage: Storage, sink: ClickHouseSink, empty: ClickHouse
) -> None:
    first, second = FrozenSink(sink, after=True), FrozenSink(sink, after=False)
    await take(storage, "a", "b")
    slow = asyncio.create_task(ingest(storage, first))
    await asyncio.wait_for(first.reached.wait(), 20)
    successor = asyncio.create_task(ingest(storage, second))
    await asyncio.wait_for(second.reached.wait(), 20)
    first.go_on.set()
    await slow
    await take(storage, "c")
    second.go_on.set()
    assert (await successor).more, "the row that came meanwhile is the next round's"
    assert await waiting(storage) == [None]
    await ingest(storage, sink)
    assert (await arrived(empty), await waiting(storage)) == (["a", "b", "c"], [])
