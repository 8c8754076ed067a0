"""Events between their acknowledgement and ClickHouse: each row is in one insert, and stays in it until it is done."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from hermod.bootstrap import Storage, open_storage
from hermod.contracts.ids import new_id
from hermod.ports.analytics import Claimed, RefusedLines
from hermod.storage.analytics import event_claims
from hermod.storage.analytics.event_claims import MOST_INSERTS, StillInsert
from hermod.storage.analytics.event_outbox import EventLine, EventRow, add, event_line
from tests.support.product import settings_for

TENANT = "shop"


@dataclass(frozen=True)
class Shelf:
    storage: Storage

    @property
    def now(self) -> datetime:
        return datetime.now(UTC)

    async def take(self, *rows: EventRow) -> list[bool]:
        lines = [event_line(TENANT, row, "2026-11-21 10:00:00.000") for row in rows]
        return await self.storage.event_acceptance.take(TENANT, lines, self.now)

    async def take_batches(self, count: int, *, size: int = 1) -> None:
        for number in range(count):
            await self.take(*(row(f"t{number}") for _ in range(size)))

    async def claim(self, insert: str) -> Claimed:
        return await self.storage.event_outbox.claim(TENANT, insert, self.now)

    async def done(self, claimed: Claimed, *refused: RefusedLines) -> bool:
        return await self.storage.event_outbox.done(TENANT, [batch.id for batch in claimed.batches], refused)

    async def count(self, table: str) -> int:
        (found,) = await self.storage.database.rows(text(f"SELECT count(*) AS n FROM {table}"), {})
        return int(found.n)


@pytest.fixture
async def shelf(database_url: str) -> AsyncIterator[Shelf]:
    async with open_storage(settings_for(database_url, "127.0.0.1:1")) as storage:
        await storage.tenants.create(TENANT, TENANT, datetime.now(UTC))
        yield Shelf(storage)


def row(kind: str = "page.viewed", event_id: str | None = None, **more: Any) -> EventRow:
    return EventRow(type=kind, occurred_at=datetime.now(UTC), source="api", event_id=event_id, **more)


def lines_of(claimed: Claimed) -> list[tuple[str, int]]:
    return sorted((kind, lines.count(b"\n")) for batch in claimed.batches for kind, lines in batch.lines.items())


async def test_events_of_a_call_are_one_row_by_type(shelf: Shelf) -> None:
    assert await shelf.take(row("a", properties={"x": "\n"}), row("b"), row("a")) == [True] * 3
    claimed = await shelf.claim("evb_1")
    assert len(claimed.batches) == 1
    assert claimed.batches[0].events == 3
    assert lines_of(claimed) == [("a", 2), ("b", 1)]


async def test_large_call_is_several_rows(shelf: Shelf) -> None:
    large = [EventLine("a", b"x" * 300_000 + b"\n", None) for _ in range(10)]
    assert all(await shelf.storage.event_acceptance.take(TENANT, large, shelf.now))
    claimed = await shelf.claim("evb_1")
    assert sorted(batch.events for batch in claimed.batches) == [2, 4, 4]
    assert lines_of(claimed) == [("a", 2), ("a", 4), ("a", 4)]


async def test_event_id_is_taken_once_by_source_and_tenant(shelf: Shelf) -> None:
    assert await shelf.take(row("a", "1"), row("a", "1"), row("a", "2"), row("a")) == [True, False, True, True]
    assert await shelf.take(row("a", "2"), row("a", "3")) == [False, True]
    assert await shelf.take(row("a", "1")) == [False]
    async with shelf.storage.database.begin() as connection:
        form = EventRow(type="a", occurred_at=shelf.now, source="form", event_id="1")
        assert await add(connection, TENANT, [form], lambda _, body: body, shelf.now) == 1
        assert await add(connection, "other", [form], lambda _, body: body, shelf.now) == 1
    assert sum(batch.events for batch in (await shelf.claim("evb_1")).batches) == 5


async def test_same_event_ids_at_once_are_taken_once(shelf: Shelf) -> None:
    rows = [row("a", str(number)) for number in range(50)]
    answers = await asyncio.gather(*(shelf.take(*(rows if turn % 2 else reversed(rows))) for turn in range(8)))
    assert sum(map(sum, answers)) == 50
    assert sum(batch.events for batch in (await shelf.claim("evb_1")).batches) == 50


async def test_transaction_that_is_rolled_back_leaves_neither_event_nor_id(shelf: Shelf) -> None:
    async with shelf.storage.database.begin() as connection:
        await add(connection, TENANT, [row("a", "1")], lambda _, body: body, shelf.now)
        await connection.rollback()
    assert await shelf.take(row("a", "1")) == [True]


async def test_claim_of_a_name_stays_what_it_was_until_it_is_done(shelf: Shelf) -> None:
    await shelf.take_batches(3)
    first = await shelf.claim("evb_1")
    await shelf.take_batches(2)
    assert await shelf.claim("evb_1") == first
    assert await shelf.done(first) is True
    second = await shelf.claim("evb_1")
    assert len(second.batches) == 2
    assert not {batch.id for batch in first.batches} & {batch.id for batch in second.batches}
    assert await shelf.done(second) is False


async def test_claims_at_once_share_no_row_and_tries_of_one_name_have_the_same(shelf: Shelf) -> None:
    await shelf.take_batches(20)
    claims = await asyncio.gather(*(shelf.claim(f"evb_{number % 2}") for number in range(8)))
    taken = [{batch.id for batch in claimed.batches} for claimed in claims]
    assert taken[0] == taken[2] == taken[4] == taken[6]
    assert taken[1] == taken[3] == taken[5] == taken[7]
    assert not taken[0] & taken[1]
    assert len(taken[0] | taken[1]) == 20


async def test_only_so_many_inserts_are_under_way(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_claims, "MOST_BATCHES", 1)
    await shelf.take_batches(MOST_INSERTS + 2)
    claims = [await shelf.claim(f"evb_{number}") for number in range(MOST_INSERTS)]
    assert [len(claimed.batches) for claimed in claims] == [1] * MOST_INSERTS
    assert await shelf.storage.event_outbox.is_crowded(TENANT)
    assert await shelf.claim("evb_other") == Claimed([])
    assert await shelf.done(claims[0])
    assert len((await shelf.claim("evb_other")).batches) == 1


@pytest.mark.parametrize(("bound", "most", "expected"), [("MOST_EVENTS", 10, 5), ("MOST_BYTES", 500, 2)])
async def test_claim_is_bounded_by_one_row_more(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, bound: str, most: int, expected: int
) -> None:
    monkeypatch.setattr(event_claims, bound, most)
    await shelf.take_batches(9, size=2)
    assert len((await shelf.claim("evb_1")).batches) == expected


async def test_bodies_are_encrypted_where_the_tenant_asks_for_it(shelf: Shelf) -> None:
    await shelf.storage.contents.set_policy(TENANT, encrypts=True, days=None, actor="test", now=shelf.now)
    await shelf.take(row("a", contact="customer-7"))
    (found,) = await shelf.storage.database.rows(text("SELECT body FROM event_batches"), {})
    assert b"customer-7" not in bytes(found.body)
    claimed = await shelf.claim("evb_1")
    assert b"customer-7" in claimed.batches[0].lines["a"]
    refused = RefusedLines(claimed.batches[0].id, "events", "a", claimed.batches[0].lines["a"], "INCORRECT_DATA (117)")
    await shelf.done(claimed, refused)
    (found,) = await shelf.storage.database.rows(text("SELECT body, events, reason FROM event_refusals"), {})
    assert b"customer-7" not in bytes(found.body)
    assert (found.events, found.reason) == (1, "INCORRECT_DATA (117)")
    assert await shelf.count("event_batches") == 0


async def test_parts_are_remembered_with_the_rows(shelf: Shelf) -> None:
    await shelf.take_batches(2)
    claimed = await shelf.claim("evb_1")
    for token in ("t1", "t2"):
        await shelf.storage.event_outbox.part(TENANT, claimed.batches[0].id, token)
    assert (await shelf.claim("evb_1")).apart == {"t1", "t2"}


async def test_rows_of_the_database_itself_go_along(shelf: Shelf) -> None:
    statement = text("""
        INSERT INTO event_batches (tenant_id, id, sink, events, body)
        VALUES (:tenant, :id, 'message_states', 2, convert_to(E'{}\\n{}', 'UTF8'))
    """)
    await shelf.storage.database.execute(statement, {"tenant": TENANT, "id": new_id("evb")})
    await shelf.take(row("a"))
    claimed = await shelf.claim("evb_1")
    found = {batch.table: batch.lines for batch in claimed.batches}
    assert found["message_states"] == {"": b"{}\n{}\n"}
    assert list(found["events"]) == ["a"]


async def test_forgotten_events_are_found_and_those_under_way_are_not(shelf: Shelf) -> None:
    outbox, at_once, later = shelf.storage.event_outbox, timedelta(0), shelf.now + timedelta(seconds=30)
    for tenant in ("zoo", TENANT, "bank"):
        async with shelf.storage.database.begin() as connection:
            await add(connection, tenant, [row("a")], lambda _, body: body, shelf.now)
    assert await outbox.waiting(shelf.now, older_than=timedelta(seconds=20), limit=10) == []
    assert await outbox.waiting(later, older_than=at_once, limit=10) == ["bank", TENANT, "zoo"]
    await shelf.claim("evb_1")
    assert await outbox.waiting(later, older_than=at_once, limit=10) == ["bank", "zoo"]


async def test_insert_that_stands_still_is_found_once(shelf: Shelf) -> None:
    outbox, later = shelf.storage.event_outbox, shelf.now + timedelta(minutes=11)
    await shelf.take(row("a"))
    await shelf.claim("evb_1")
    assert await outbox.still(shelf.now, older_than=timedelta(minutes=10), limit=10) == []
    found = await outbox.still(later, older_than=timedelta(minutes=10), limit=10)
    assert found == [StillInsert(TENANT, "evb_1")]
    await outbox.touch(found[0], later)
    assert await outbox.still(later, older_than=timedelta(minutes=10), limit=10) == []


async def test_event_ids_go_after_seven_days_and_may_come_again(shelf: Shelf) -> None:
    await shelf.take(row("a", "1"))
    records = shelf.storage.records
    assert "event_ids" not in await records.purge_expired(shelf.now + timedelta(days=6, hours=23))
    assert await shelf.take(row("a", "1")) == [False]
    # The two calls have left a row each, too.
    assert (await records.purge_expired(shelf.now + timedelta(days=7, hours=1)))["event_ids"] == 3
    assert await shelf.take(row("a", "1")) == [True]
