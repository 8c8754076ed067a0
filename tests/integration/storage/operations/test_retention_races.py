"""What is dropped and what begins again meet at the same record: one of them sees the other, whoever is first."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
from sqlalchemy import text

from hermod.contracts.errors import Conflict, NotFound
from hermod.contracts.notifications.messages import Resolution, Status
from hermod.contracts.notifications.receipts import ReceiptEventType
from hermod.contracts.webhooks.deliveries import DeliveryStatus, ReplayInput
from hermod.storage.database.engine import Database
from hermod.storage.notifications.ledger import SqlLedger
from hermod.storage.notifications.messages import Messages
from hermod.storage.operations.records import Records
from hermod.storage.operations.workers import Workers
from hermod.storage.secrets.contents import Contents
from hermod.storage.secrets.vault import Vault
from hermod.storage.tenants.tenants import Tenants
from hermod.storage.webhooks.deliveries import WebhookDeliveries
from hermod.storage.webhooks.ledger import SqlWebhookLedger
from hermod.storage.webhooks.replays import WebhookReplays
from tests.integration.storage.reporting import Office, event
from tests.support.interleaving import held_up, open_transaction
from tests.support.webhooks.rows import WebhookRows

NOW: Final = datetime.now(UTC)
LATER: Final = NOW + timedelta(days=91)
"""When the time of everything that has ended now is over, dead letters included."""
SHOP: Final = "shop"
KEY: Final = Vault.new_key()


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    own = Database(database_url)
    await Tenants(own).create(SHOP, SHOP, NOW)
    yield own
    await own.close()


@pytest.fixture
async def rows(database: Database) -> WebhookRows:
    return await WebhookRows.make(database, SHOP, NOW)


def contents(database: Database) -> Contents:
    return Contents(database, Vault(KEY), 30)


def records(database: Database) -> Records:
    return Records(database, days=40, content_days=30)


async def events(database: Database) -> int:
    return int((await database.rows(text("SELECT count(*) AS n FROM webhook_events"), {}))[0].n)


async def own_by_line(database: Database, owner: str) -> None:
    await database.execute(
        text("UPDATE webhook_deliveries SET workflow_id = :owner, failed_run = 'run-1'"), {"owner": owner}
    )


Reopen = Callable[[Database, WebhookRows, str], Awaitable[object]]


async def retry(database: Database, _: WebhookRows, delivery: str) -> object:
    return await WebhookDeliveries(database, contents(database)).retry(SHOP, delivery, actor="test", now=NOW)


async def replay(database: Database, rows: WebhookRows, _: str) -> object:
    replays = WebhookReplays(database, contents(database))
    asked = ReplayInput(
        since=NOW - timedelta(days=1), per_second=10, status=(DeliveryStatus.FAILED, DeliveryStatus.DELIVERED)
    )
    started = await replays.start(SHOP, rows.endpoint, asked, actor="test", now=NOW)
    assert started.id is not None
    return await replays.page(SHOP, started.id, None, NOW)


async def reset(database: Database, _: WebhookRows, delivery: str) -> object:
    return await SqlWebhookLedger(database, contents(database), Workers(database)).open_items(
        SHOP, "line", "run-2", [delivery], NOW
    )


REOPENINGS: Final = [retry, replay, reset]


@pytest.mark.parametrize("reopen", REOPENINGS)
async def test_event_of_a_delivery_that_is_being_reopened_is_kept(
    database: Database, rows: WebhookRows, reopen: Reopen
) -> None:
    delivery = await rows.add(DeliveryStatus.FAILED)
    await own_by_line(database, "line")
    async with open_transaction(database) as slow:
        await reopen(slow, rows, delivery)
        assert await contents(database).purge_expired(LATER) == 0
    assert await events(database) == 1
    assert await rows.status(delivery) in (DeliveryStatus.PENDING, DeliveryStatus.QUEUED)


@pytest.mark.parametrize("reopen", REOPENINGS)
async def test_delivery_whose_event_is_being_dropped_is_not_reopened(
    database: Database, rows: WebhookRows, reopen: Reopen
) -> None:
    delivery = await rows.add(DeliveryStatus.FAILED)
    await own_by_line(database, "line")
    async with open_transaction(database) as slow:
        assert await contents(slow).purge_expired(LATER) == 1
        reopening = await held_up(database, reopen_quietly(database, rows, delivery, reopen))
    await reopening
    assert await events(database) == 0
    assert await rows.status(delivery) is DeliveryStatus.FAILED


async def reopen_quietly(database: Database, rows: WebhookRows, delivery: str, reopen: Reopen) -> None:
    with contextlib.suppress(Conflict):
        await reopen(database, rows, delivery)


async def test_event_is_kept_for_the_one_of_its_deliveries_that_is_reopened(
    database: Database, rows: WebhookRows
) -> None:
    delivery = await rows.add(DeliveryStatus.FAILED)
    other = await rows.add(DeliveryStatus.DELIVERED, event=await rows.event_of(delivery))
    async with open_transaction(database) as slow:
        await retry(slow, rows, delivery)
        assert await contents(database).purge_expired(LATER) == 0
    assert await events(database) == 1
    assert await rows.status(other) is DeliveryStatus.DELIVERED


async def test_reset_reopens_no_delivery_whose_event_is_gone(database: Database, rows: WebhookRows) -> None:
    delivery = await rows.add(DeliveryStatus.FAILED)
    await own_by_line(database, "line")
    await contents(database).purge_expired(LATER)
    await reset(database, rows, delivery)
    assert await rows.status(delivery) is DeliveryStatus.FAILED


async def test_replay_passes_by_a_delivery_that_is_discarded_meanwhile(database: Database, rows: WebhookRows) -> None:
    delivery = await rows.add(DeliveryStatus.FAILED)
    async with open_transaction(database) as slow:
        await WebhookDeliveries(slow, contents(slow)).discard(SHOP, delivery, actor="test", now=NOW)
        replaying = await held_up(database, replay(database, rows, delivery))
    await replaying
    assert await rows.status(delivery) is DeliveryStatus.FAILED


async def test_record_of_a_delivery_that_is_being_reopened_stays_and_one_being_dropped_is_not_found(
    database: Database, rows: WebhookRows
) -> None:
    reopened, dropped = [await rows.add(DeliveryStatus.FAILED) for _ in range(2)]
    async with open_transaction(database) as slow:
        await retry(slow, rows, reopened)
        assert dict(await records(database).purge_expired(LATER)) == {"webhook_deliveries": 1}
    assert await rows.status(reopened) is DeliveryStatus.PENDING
    with pytest.raises(NotFound):
        await retry(database, rows, dropped)
    being_dropped = await rows.add(DeliveryStatus.FAILED)
    async with open_transaction(database) as slow:
        await records(slow).purge_expired(LATER)
        retrying = await held_up(database, retry(database, rows, being_dropped))
    with pytest.raises(NotFound):
        await retrying


Move = Callable[[Database, str], Awaitable[object]]
OWNER_RUN: Final = "run-2"


async def retry_message(database: Database, message: str) -> object:
    return await Messages(database).retry(SHOP, message, actor="test", now=NOW)


async def resolve_not_sent(database: Database, message: str) -> object:
    resolution = Resolution(outcome="not_sent")
    return await Messages(database).resolve(SHOP, message, resolution, actor="test", now=NOW)


async def reset_message(database: Database, message: str) -> object:
    owner = f"message/{SHOP}/{message}"
    return await SqlLedger(database, contents(database), Workers(database)).open_items(
        SHOP, owner, OWNER_RUN, [message], NOW
    )


MOVES: Final = [(retry_message, Status.FAILED), (resolve_not_sent, Status.UNKNOWN), (reset_message, Status.FAILED)]


async def dead_message(database: Database, status: Status) -> str:
    office = Office(database, tenant=SHOP, now=NOW)
    message = await office.message(status)
    await database.execute(text("UPDATE messages SET failed_run = 'run-1'"), {})
    return message


async def state_of(database: Database, message: str) -> tuple[Status, bool]:
    view = await Messages(database).view(SHOP, message)
    return view.status, view.content_kept


@pytest.mark.parametrize(("move", "status"), MOVES)
async def test_content_of_a_message_that_is_being_reopened_is_kept(
    database: Database, move: Move, status: Status
) -> None:
    message = await dead_message(database, status)
    async with open_transaction(database) as slow:
        await move(slow, message)
        assert await contents(database).purge_expired(LATER) == 0
    found, kept = await state_of(database, message)
    assert (found in (Status.PENDING, Status.QUEUED), kept) == (True, True)


@pytest.mark.parametrize(("move", "status"), MOVES)
async def test_message_whose_content_is_being_dropped_is_not_reopened(
    database: Database, move: Move, status: Status
) -> None:
    message = await dead_message(database, status)

    async def refused() -> None:
        with contextlib.suppress(Conflict):
            await move(database, message)

    async with open_transaction(database) as slow:
        assert await contents(slow).purge_expired(LATER) == 1
        moving = await held_up(database, refused())
    await moving
    assert await state_of(database, message) == (status, False)


async def test_report_that_comes_while_its_message_is_dropped_goes_as_one_of_nobody(database: Database) -> None:
    office = Office(database, tenant=SHOP, now=NOW)
    message = await office.message()
    async with open_transaction(database) as slow:
        assert dict(await records(slow).purge_expired(LATER)) == {"messages": 1}
        await office.take(event(ReceiptEventType.DELIVERED, message))
    office.later(hours=25)
    await office.receipts.settle(office.now)
    (left,) = await office.rows("SELECT message_id, settled_at FROM receipts")
    assert (left.message_id, left.settled_at) == (None, office.now)
    assert dict(await records(database).purge_expired(LATER)) == {"receipts": 1}


async def test_record_of_a_message_is_dropped_or_reopened_and_nobody_waits_in_a_circle(database: Database) -> None:
    message = await dead_message(database, Status.FAILED)
    async with open_transaction(database) as slow:
        await retry_message(slow, message)
        assert dict(await records(database).purge_expired(LATER)) == {}
    await database.execute(text("UPDATE messages SET status = 'failed', finished_at = created_at"), {})
    async with open_transaction(database) as slow:
        assert dict(await records(slow).purge_expired(LATER)) == {"messages": 1}
        assert await contents(database).purge_expired(LATER) == 0
        retrying = await held_up(database, retry_message(database, message))
    with pytest.raises(NotFound):
        await retrying
    (left,) = await database.rows(text("SELECT count(*) AS n FROM message_contents"), {})
    assert left.n == 0


async def test_retries_replays_resets_and_retention_at_once_leave_no_open_record_without_its_payload(
    database: Database, rows: WebhookRows
) -> None:
    chance = random.Random(11)
    deliveries = []
    for _ in range(20):
        deliveries.append(await rows.add(DeliveryStatus.FAILED))
        event_id = await rows.event_of(deliveries[-1])
        deliveries += [await rows.add(DeliveryStatus.FAILED, event=event_id) for _ in range(2)]
    await own_by_line(database, "line")
    office = Office(database, tenant=SHOP, now=NOW)
    messages = [await office.message(Status.FAILED) for _ in range(20)]
    await database.execute(text("UPDATE messages SET failed_run = 'run-1'"), {})
    shuffled = chance.sample(deliveries, len(deliveries))
    ledger = SqlWebhookLedger(database, contents(database), Workers(database))
    moves = [
        *(retry(database, rows, delivery) for delivery in deliveries[::4]),
        *(retry_message(database, message) for message in messages[::2]),
        *(ledger.open_items(SHOP, "line", "run-2", shuffled[:30], NOW) for _ in range(3)),
        *(replay(database, rows, "") for _ in range(3)),
        *(contents(database).purge_expired(LATER) for _ in range(4)),
        *(records(database).purge_expired(LATER) for _ in range(4)),
    ]
    answers = await asyncio.gather(*chance.sample(moves, len(moves)), return_exceptions=True)
    assert [one for one in answers if isinstance(one, Exception) and not isinstance(one, Conflict | NotFound)] == []
    lost = """
        SELECT id FROM webhook_deliveries d WHERE finished_at IS NULL
           AND NOT EXISTS (SELECT 1 FROM webhook_events e WHERE e.tenant_id = d.tenant_id AND e.id = d.event_id)
        UNION ALL
        SELECT id FROM messages m WHERE finished_at IS NULL
           AND NOT EXISTS (SELECT 1 FROM message_contents c WHERE c.tenant_id = m.tenant_id AND c.message_id = m.id)
    """
    assert await database.rows(text(lost), {}) == []
