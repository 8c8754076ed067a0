"""Events from the call to ClickHouse, in a running product."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import orjson
import pytest
from sqlalchemy import text
from temporalio.client import WorkflowExecutionStatus

from hermod.contracts.analytics.events import TrackedEvent
from hermod.contracts.errors import InvalidInput
from hermod.contracts.ids import events_workflow, new_id
from hermod.storage.analytics.event_outbox import EventLine, EventRow, add
from starter.analytics.ingest import EventIngest
from starter.temporal.starts import Starts
from tests.support.analytics.event_rows import arrived, events_of
from tests.support.polling import eventually
from tests.support.product import ProductFixture


async def nothing_waits(house: ProductFixture) -> None:
    async def none() -> bool:
        statement = text("SELECT count(*) AS n FROM event_batches WHERE tenant_id = :tenant")
        (row,) = await house.hermod.core.storage.database.rows(statement, {"tenant": house.hermod.tenant})
        return not row.n

    await eventually(none)


async def test_event_is_in_clickhouse_as_it_was_told(house: ProductFixture) -> None:
    at = datetime.now(UTC).replace(microsecond=123_000) - timedelta(days=3)
    receipt = await house.hermod.track(
        "order.paid",
        {"total": 49.99, "lines": [{"sku": "a", "n": 2}], "deep": {"er": True}},
        occurred_at=at,
        event_id="order-42",
        contact="customer-7",
        session="s-81",
    )
    assert (receipt.accepted, receipt.duplicates, receipt.rejected) == (1, 0, ())
    (row,) = await arrived(house.hermod, 1)
    assert (row["type"], row["occurred_at"], row["event_id"]) == ("order.paid", at, "order-42")
    assert (row["contact"], row["session"], row["source"]) == ("customer-7", "s-81", "api")
    assert orjson.loads(row["properties"]) == {
        "total": 49.99,
        "lines": [{"sku": "a", "n": 2}],
        "deep": {"er": True},
    }
    await nothing_waits(house)


async def test_events_of_many_calls_and_types_come_together_and_are_there_once(house: ProductFixture) -> None:
    single = [house.hermod.track(f"type_{n % 40}", {"n": n}, event_id=f"e{n}") for n in range(300)]
    many = house.hermod.track_many([TrackedEvent(type="many", event_id=f"m{n}") for n in range(1_000)])
    again = [house.hermod.track("type_0", event_id=f"e{n}") for n in range(100)]
    receipts = await asyncio.gather(*single, many, *again)
    assert sum(receipt.accepted for receipt in receipts) == 1_400
    assert sum(receipt.duplicates for receipt in receipts) == 100
    rows = await arrived(house.hermod, 1_300)
    assert len({row["event_id"] for row in rows}) == 1_300
    await nothing_waits(house)


async def test_bad_events_are_rejected_and_the_good_ones_kept(house: ProductFixture) -> None:
    with pytest.raises(InvalidInput, match="properties"):
        await house.hermod.track("a", {"x": float("nan")})
    receipt = await house.hermod.track_many([{"type": "a"}, {"type": "b c"}, {"type": "c", "contact": "a@b"}])
    assert receipt.accepted == 1
    assert [rejected.index for rejected in receipt.rejected] == [1, 2]
    assert [row["type"] for row in await arrived(house.hermod, 1)] == ["a"]


async def test_events_that_were_added_in_a_transaction_are_found_by_the_sweeper(house: ProductFixture) -> None:
    core, tenant = house.hermod.core, house.hermod.tenant
    async with core.storage.database.begin() as connection:
        seal = await core.storage.contents.sealing(tenant)
        row = EventRow(type="form.abandoned", occurred_at=core.clock.now(), source="partial")
        await add(connection, tenant, [row], seal, core.clock.now())
        older = text("UPDATE event_batches SET id = 'evb_00' || substr(id, 7) WHERE tenant_id = :tenant")
        await connection.execute(older, {"tenant": tenant})
    await eventually(_swept(house))
    assert [row["source"] for row in await arrived(house.hermod, 1)] == ["partial"]


async def test_insert_whose_workflow_is_gone_is_begun_again_with_what_it_had_taken(house: ProductFixture) -> None:
    core, tenant, insert = house.hermod.core, house.hermod.tenant, new_id("evb")
    async with core.storage.database.begin() as connection:
        seal = await core.storage.contents.sealing(tenant)
        rows = [EventRow(type="a", occurred_at=core.clock.now(), source="api") for _ in range(3)]
        await add(connection, tenant, rows, seal, core.clock.now())
    long_ago = core.clock.now() - timedelta(minutes=20)
    assert len((await core.storage.event_outbox.claim(tenant, insert, long_ago)).batches) == 1
    await eventually(_swept(house))
    await arrived(house.hermod, 3)
    description = await house.client.get_workflow_handle(events_workflow(tenant, insert)).describe()
    assert description.status in (WorkflowExecutionStatus.RUNNING, WorkflowExecutionStatus.COMPLETED)


async def test_lines_that_clickhouse_cannot_take_are_set_aside(house: ProductFixture) -> None:
    core, tenant = house.hermod.core, house.hermod.tenant
    good = [{"type": "a", "event_id": f"e{n}"} for n in range(20)]
    bad = orjson.dumps({"tenant": tenant, "type": "a", "occurred_at": "yesterday"}) + b"\n"
    await core.storage.event_acceptance.take(tenant, [EventLine("a", bad, None)], core.clock.now())
    await house.hermod.track_many(good)
    await arrived(house.hermod, 20)
    await nothing_waits(house)
    statement = text("SELECT type, events, body, reason FROM event_refusals WHERE tenant_id = :tenant")
    (row,) = await core.storage.database.rows(statement, {"tenant": tenant})
    assert (row.type, row.events, bytes(row.body)) == ("a", 1, bad)
    assert "(" in row.reason


async def test_encrypted_events_arrive_in_the_clear(house: ProductFixture) -> None:
    core = house.hermod.core
    await core.storage.contents.set_policy(
        house.hermod.tenant, encrypts=True, days=None, actor="test", now=core.clock.now()
    )
    await house.hermod.track("a", {"x": 1}, contact="customer-7")
    assert [row["contact"] for row in await arrived(house.hermod, 1)] == ["customer-7"]


def _swept(house: ProductFixture) -> Callable[[], Awaitable[bool]]:
    core = house.hermod.core
    ingest = EventIngest(Starts(house.client, core.storage.limits), core.storage.event_outbox, core.clock)

    async def swept() -> bool:
        return (await ingest.sweep()).restarted > 0 or bool(await events_of(house.hermod))

    return swept
