"""The lines of ordered deliveries: who is next, and what stands in the way."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from hermod.contracts.webhooks.deliveries import DeliveryStatus
from hermod.contracts.webhooks.steps import HeadOfLine
from hermod.storage.database.engine import Database
from hermod.storage.tenants.tenants import Tenants
from hermod.storage.webhooks.order import Line, WebhookOrder
from hermod.storage.webhooks.reopening import PAYLOAD_GONE
from tests.support.webhooks.rows import WebhookRows

NOW = datetime.now(UTC)
S = DeliveryStatus


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    own = Database(database_url)
    for tenant in ("shop", "other"):
        await Tenants(own).create(tenant, tenant, NOW)
    yield own
    await own.close()


@pytest.fixture
def order(database: Database) -> WebhookOrder:
    return WebhookOrder(database)


async def test_head_is_the_oldest_open_delivery_of_its_own_key_endpoint_and_tenant(
    database: Database, order: WebhookOrder
) -> None:
    mine = await WebhookRows.make(database, "shop", NOW)
    for stranger in (await WebhookRows.make(database, "shop", NOW), await WebhookRows.make(database, "other", NOW)):
        await stranger.add(S.QUEUED, key="a")
    await mine.add(S.DELIVERED, key="a")
    first = await mine.add(S.RETRYING, key="a")
    other_key = await mine.add(S.PENDING, key="b")
    await mine.add(S.PENDING, key="a")
    await mine.add(S.PENDING)
    assert await order.head("shop", mine.endpoint, "a") == HeadOfLine(delivery=first)
    assert await order.head("shop", mine.endpoint, "b") == HeadOfLine(delivery=other_key)
    assert await order.head("shop", mine.endpoint, "c") == HeadOfLine()


async def test_order_is_that_of_acceptance_whatever_the_clocks_say(database: Database, order: WebhookOrder) -> None:
    mine = await WebhookRows.make(database, "shop", NOW)
    first = await mine.add(S.PENDING, key="a", ago=timedelta(minutes=1))
    await mine.add(S.PENDING, key="a", ago=timedelta(hours=1))
    assert (await order.head("shop", mine.endpoint, "a")).delivery == first


@pytest.mark.parametrize("left", [S.FAILED, S.PARKED])
async def test_blocking_endpoint_lets_nothing_past_until_it_is_discarded(
    database: Database, order: WebhookOrder, left: DeliveryStatus
) -> None:
    mine = await WebhookRows.make(database, "shop", NOW, choice="block")
    blocking = await mine.add(left, key="a")
    waiting = await mine.add(S.PENDING, key="a")
    assert await order.head("shop", mine.endpoint, "a") == HeadOfLine(blocked_by=blocking)
    await mine.discard(blocking)
    assert await order.head("shop", mine.endpoint, "a") == HeadOfLine(delivery=waiting)


@pytest.mark.parametrize("choice", ["skip", "dead_letter"])
async def test_other_choices_go_past_a_dead_letter(database: Database, order: WebhookOrder, choice: str) -> None:
    mine = await WebhookRows.make(database, "shop", NOW, choice=choice)
    await mine.add(S.FAILED, key="a")
    waiting = await mine.add(S.PENDING, key="a")
    assert await order.head("shop", mine.endpoint, "a") == HeadOfLine(delivery=waiting)


async def test_dead_letter_blocks_only_what_was_accepted_after_it(database: Database, order: WebhookOrder) -> None:
    mine = await WebhookRows.make(database, "shop", NOW, choice="block")
    retried = await mine.add(S.PENDING, key="a")
    await mine.add(S.FAILED, key="a")
    assert (await order.head("shop", mine.endpoint, "a")).delivery == retried


async def gone(rows: WebhookRows, *deliveries: str) -> None:
    for delivery in deliveries:
        await rows.drop_event(delivery)


@pytest.mark.parametrize("left", [S.PENDING, S.QUEUED, S.RETRYING])
async def test_deliveries_without_their_events_end_as_dead_letters_and_the_line_goes_on(
    database: Database, order: WebhookOrder, left: DeliveryStatus
) -> None:
    mine = await WebhookRows.make(database, "shop", NOW)
    first, second, third = [await mine.add(left, key="a") for _ in range(3)]
    await gone(mine, first, second)
    assert await order.head("shop", mine.endpoint, "a") == HeadOfLine(delivery=third)
    assert [await mine.status(one) for one in (first, second, third)] == [S.FAILED, S.FAILED, left]
    columns = "status, error, dead_at, finished_at"
    (row,) = await database.rows(text(f"SELECT {columns} FROM webhook_deliveries WHERE id = :id"), {"id": first})
    assert (row.error, row.dead_at) == (PAYLOAD_GONE, row.finished_at)
    await gone(mine, third)
    assert await order.head("shop", mine.endpoint, "a") == HeadOfLine()


async def test_delivery_without_its_event_blocks_a_blocking_line_until_it_is_discarded(
    database: Database, order: WebhookOrder
) -> None:
    mine = await WebhookRows.make(database, "shop", NOW, choice="block")
    lost, waiting = [await mine.add(S.QUEUED, key="a") for _ in range(2)]
    await gone(mine, lost)
    assert await order.head("shop", mine.endpoint, "a") == HeadOfLine(blocked_by=lost)
    await mine.discard(lost)
    assert await order.head("shop", mine.endpoint, "a") == HeadOfLine(delivery=waiting)


async def test_request_under_way_is_left_to_the_ledger_though_its_event_is_gone(
    database: Database, order: WebhookOrder
) -> None:
    mine = await WebhookRows.make(database, "shop", NOW)
    sending = await mine.add(S.SENDING, key="a")
    await gone(mine, sending)
    assert await order.head("shop", mine.endpoint, "a") == HeadOfLine(delivery=sending)
    assert await mine.status(sending) is S.SENDING


async def test_line_whose_only_delivery_has_lost_its_event_is_forgotten_once_and_then_empty(
    database: Database, order: WebhookOrder
) -> None:
    mine = await WebhookRows.make(database, "shop", NOW)
    lost = await mine.add(S.QUEUED, key="a", ago=timedelta(hours=1))
    await gone(mine, lost)

    async def forgotten() -> list[tuple[Line, str]]:
        return await order.forgotten(NOW, unstarted=timedelta(seconds=5), still=timedelta(minutes=10), limit=10)

    assert await forgotten() == [(Line("shop", mine.endpoint, "a"), lost)]
    await order.head("shop", mine.endpoint, "a")
    assert await forgotten() == []


async def test_forgotten_lines_are_those_whose_first_delivery_is_due_and_still(
    database: Database, order: WebhookOrder
) -> None:
    mine = await WebhookRows.make(database, "shop", NOW)
    still = await mine.add(S.QUEUED, key="a", ago=timedelta(minutes=30))
    unstarted = await mine.add(S.PENDING, key="b", ago=timedelta(seconds=10))
    for key, status, ago in (
        ("a", S.QUEUED, timedelta(minutes=40)),
        ("c", S.QUEUED, timedelta(minutes=1)),
        ("d", S.PENDING, timedelta(seconds=1)),
        ("d", S.PENDING, timedelta(minutes=30)),
        ("e", S.FAILED, timedelta(minutes=30)),
        (None, S.QUEUED, timedelta(minutes=30)),
    ):
        await mine.add(status, key=key, ago=ago)

    async def forgotten() -> list[tuple[Line, str]]:
        return await order.forgotten(NOW, unstarted=timedelta(seconds=5), still=timedelta(minutes=10), limit=10)

    found = await forgotten()
    assert found == [(Line("shop", mine.endpoint, "a"), still), (Line("shop", mine.endpoint, "b"), unstarted)]
    await order.seen(found, NOW)
    assert await forgotten() == []
    assert await mine.status(unstarted) is S.QUEUED


async def test_line_whose_workflow_was_woken_has_no_pending_deliveries(database: Database, order: WebhookOrder) -> None:
    mine = await WebhookRows.make(database, "shop", NOW)
    woken, other = await mine.add(S.PENDING, key="a"), await mine.add(S.PENDING, key="b")
    line = Line("shop", mine.endpoint, "a")
    await order.mark_queued(line, NOW, only=[other])
    assert await mine.status(woken) is S.PENDING
    await order.mark_queued(line, NOW)
    assert (await mine.status(woken), await mine.status(other)) == (S.QUEUED, S.PENDING)
