"""What an endpoint's waiter is told by the database, who wakes it, and what is closed with a disabled endpoint."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from hermod.contracts.webhooks.deliveries import BATCH_BYTES, DeliveryStatus
from hermod.contracts.webhooks.steps import NextForEndpoint
from hermod.domain.webhooks.endpoint_health import PAUSED
from hermod.storage.database.engine import Database
from hermod.storage.operations.orphaned_records import Limit
from hermod.storage.operations.workers import Workers
from hermod.storage.tenants.tenants import Tenants
from hermod.storage.webhooks.orphans import OrphanedDeliveries
from hermod.storage.webhooks.waiting import WebhookWaiting, close_open_deliveries
from tests.support.webhooks.rows import WebhookRows

TENANT = "shop"
NOW = datetime(2027, 1, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


class Queue:
    """An endpoint and what waits for it."""

    def __init__(self, rows: WebhookRows) -> None:
        self.rows = rows
        self.waiting = WebhookWaiting(rows.database)

    async def add(
        self,
        status: DeliveryStatus = DeliveryStatus.RETRYING,
        *,
        due: datetime | None = NOW - HOUR,
        reason: str | None = None,
        key: str | None = None,
        with_waiter: bool = True,
    ) -> str:
        delivery = await self.rows.add(status, key=key)
        statement = text("""
            UPDATE webhook_deliveries
               SET next_attempt_at = CAST(:due AS timestamptz), wait_reason = CAST(:reason AS text),
                   workflow_id = CASE WHEN :waits THEN 'webhook-endpoint/shop/' || endpoint_id ELSE workflow_id END
             WHERE id = :id
        """)
        names = {"due": due, "reason": reason, "waits": with_waiter, "id": delivery}
        await self.rows.database.execute(statement, names)
        return delivery

    async def endpoint(self, assignments: str) -> None:
        statement = text(f"UPDATE webhook_endpoints SET {assignments} WHERE id = :id")
        await self.rows.database.execute(statement, {"id": self.rows.endpoint})

    async def next(self, now: datetime = NOW) -> NextForEndpoint:
        return await self.waiting.next(TENANT, self.rows.endpoint, now)

    async def come_first(self, *deliveries: str) -> bool:
        return await self.waiting.come_first(TENANT, self.rows.endpoint, deliveries)

    async def forgotten(self) -> bool:
        return bool(await self.waiting.forgotten(NOW, still=timedelta(minutes=1), limit=10))


@pytest.fixture
async def queue(database_url: str) -> AsyncIterator[Queue]:
    database = Database(database_url)
    await Tenants(database).create(TENANT, TENANT, NOW)
    yield Queue(await WebhookRows.make(database, TENANT, NOW - HOUR))
    await database.close()


async def test_nothing_waits_there_is_nothing_to_do(queue: Queue) -> None:
    await queue.add(with_waiter=False)
    await queue.add(DeliveryStatus.DELIVERED)
    assert await queue.next() == NextForEndpoint()


async def test_what_is_due_goes_the_oldest_first_and_the_rest_has_its_time(queue: Queue) -> None:
    later = await queue.add(due=NOW + HOUR)
    first, second = await queue.add(), await queue.add(due=None)
    assert (await queue.next()).deliveries == (first, second)
    await queue.rows.database.execute(text("DELETE FROM webhook_deliveries WHERE id <> :id"), {"id": later})
    answer = await queue.next()
    assert (answer.deliveries, answer.seconds, answer.reason) == ((), 3600, "next attempt at 2027-01-01 13:00:00 UTC")


async def test_endpoint_is_paused_nothing_goes_before_its_end(queue: Queue) -> None:
    await queue.add()
    await queue.endpoint("paused_until = '2027-01-01 12:10:00+00', pause_reason = 'asked'")
    answer = await queue.next()
    assert (answer.deliveries, answer.seconds) == ((), 600)
    assert answer.reason == "paused by its receiver until 2027-01-01 12:10:00 UTC"
    await queue.endpoint("pause_reason = 'failing'")
    assert (await queue.next()).reason == "failing: next try at 2027-01-01 12:10:00 UTC"


async def test_pause_that_ended_early_ends_the_waits_it_made(queue: Queue) -> None:
    for_the_endpoint = await queue.add(due=NOW + HOUR, reason=PAUSED)
    await queue.add(due=NOW + HOUR)
    assert (await queue.next()).deliveries == (for_the_endpoint,)


async def test_endpoint_that_is_half_open_is_tried_with_one(queue: Queue) -> None:
    first, _ = await queue.add(), await queue.add()
    await queue.endpoint("paused_until = '2027-01-01 11:59:00+00', pause_reason = 'failing'")
    assert (await queue.next()).deliveries == (first,)


async def test_large_bodies_are_fewer_at_a_time_and_one_at_least(queue: Queue) -> None:
    ids = [await queue.add() for _ in range(3)]
    grow = text("UPDATE webhook_events SET body = decode(repeat('00', CAST(:size AS int)), 'hex')")
    await queue.rows.database.execute(grow, {"size": BATCH_BYTES // 2})
    assert (await queue.next()).deliveries == tuple(ids[:2])
    await queue.rows.database.execute(grow, {"size": BATCH_BYTES * 2})
    assert (await queue.next()).deliveries == (ids[0],)


@pytest.mark.parametrize(
    ("change", "status"), [("enabled = false", "parked"), ("deleted_at = now()", "cancelled")], ids=["off", "gone"]
)
async def test_endpoint_that_takes_nothing_any_more_ends_what_is_at_rest_and_nothing_else(
    queue: Queue, change: str, status: str
) -> None:
    waits, own = await queue.add(), await queue.add(DeliveryStatus.QUEUED, with_waiter=False)
    sends, in_line = await queue.add(DeliveryStatus.SENDING), await queue.add(key="k", with_waiter=False)
    await close_open_deliveries(queue.rows.database, TENANT, queue.rows.endpoint, NOW)
    assert await queue.rows.status(waits) is DeliveryStatus.RETRYING, "the endpoint takes deliveries"
    await queue.endpoint(change)
    assert (await queue.next()).deliveries == (sends,)
    found = [(await queue.rows.status(one)).value for one in (waits, own, sends, in_line)]
    assert found == [status, status, "sending", "retrying"]


async def test_whoever_hands_over_what_is_due_first_wakes_the_waiter(queue: Queue) -> None:
    old = await queue.add(due=NOW + HOUR)
    assert await queue.come_first(old)
    soon, later = await queue.add(due=NOW), await queue.add(due=NOW + 2 * HOUR)
    assert await queue.come_first(soon, later)
    assert not await queue.come_first(later)
    assert not await queue.come_first(old)
    assert not await queue.come_first(await queue.add(due=NOW)), "the older one of two at the same moment"
    assert not await queue.come_first("whd_gone")


async def test_two_who_hand_over_at_once_and_look_after_both_commits_one_of_them_wakes(queue: Queue) -> None:
    one, other = await queue.add(due=NOW), await queue.add(due=NOW)
    assert [await queue.come_first(one), await queue.come_first(other)] == [True, False]


async def test_forgotten_is_what_could_have_gone_a_minute_ago(queue: Queue) -> None:
    waits = await queue.add(due=NOW + HOUR)
    assert not await queue.forgotten()
    await queue.endpoint("enabled = false")
    assert await queue.forgotten()
    await queue.endpoint("enabled = true, paused_until = '2027-01-01 11:59:30+00', pause_reason = 'asked'")
    past = text("UPDATE webhook_deliveries SET next_attempt_at = :at WHERE id = :id")
    await queue.rows.database.execute(past, {"at": NOW - HOUR, "id": waits})
    assert not await queue.forgotten(), "the pause has just ended"
    await queue.endpoint("paused_until = '2027-01-01 11:58:00+00'")
    assert await queue.forgotten()
    await queue.rows.database.execute(text("UPDATE webhook_deliveries SET updated_at = :now"), {"now": NOW})
    assert not await queue.forgotten()


async def test_what_waits_is_not_taken_for_a_delivery_whose_workflow_is_lost(queue: Queue) -> None:
    await queue.add()
    await queue.add(DeliveryStatus.PENDING, due=None)
    own = await queue.add(with_waiter=False)
    orphaned = OrphanedDeliveries(queue.rows.database, Workers(queue.rows.database))
    limit = Limit(workflows=10, records=10)
    assert [one.id for one in await orphaned.stalled(NOW, older_than=timedelta(minutes=10), limit=limit)] == [own]
    assert not await orphaned.unstarted(NOW, older_than=timedelta(minutes=10), limit=limit)
