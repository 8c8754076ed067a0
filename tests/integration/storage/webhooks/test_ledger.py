"""The ledger of deliveries on real PostgreSQL: acceptance once, fencing, late outcomes, encryption, HOT steps."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from hermod.contracts.errors import Conflict, InvalidInput, NotFound
from hermod.contracts.ids import new_id, webhook_workflow
from hermod.contracts.webhooks.deliveries import DeliveryStatus, EventInput
from hermod.ports.notifications.ledger import InFlight
from hermod.ports.webhooks.ledger import DeliveryItem, Exchange, WebhookChange, WebhookIntent, WebhookResult
from hermod.storage.database.engine import Database
from hermod.storage.operations.orphaned_records import Limit
from hermod.storage.operations.workers import Workers
from hermod.storage.secrets.contents import Contents
from hermod.storage.secrets.vault import Vault
from hermod.storage.tenants.tenants import Tenants
from hermod.storage.webhooks.acceptance import (
    EventDraft,
    PlannedDelivery,
    TakenEvent,
    WebhookAcceptance,
    event_body,
)
from hermod.storage.webhooks.deliveries import WebhookDeliveries
from hermod.storage.webhooks.ledger import SqlWebhookLedger
from hermod.storage.webhooks.orphans import OrphanedDeliveries
from tests.support.locks import waits_for_a_lock
from tests.support.proxies.postgres_proxy import PostgresProxy
from tests.support.webhooks.rows import WebhookRows

TENANT, RUN = "shop", "run-1"
GOOD = Exchange(
    outcome="success",
    status_code=200,
    address="203.0.113.9",
    request_headers={"webhook-id": "x"},
    response_headers={"server": "nginx"},
    body=b"\x01\x00\xffok",
    duration_ms=12,
)


def now() -> datetime:
    return datetime.now(UTC)


class Book:
    """A tenant with one endpoint."""

    def __init__(self, database: Database, rows: WebhookRows) -> None:
        self.database = database
        self.rows = rows
        self.contents = Contents(database, Vault(Vault.new_key()), 30)
        self.acceptance = WebhookAcceptance(database, self.contents)
        self.ledger = SqlWebhookLedger(database, self.contents, Workers(database))
        self.deliveries = WebhookDeliveries(database, self.contents)

    def draft(self, payload: dict[str, Any], event_id: str | None = None, key: str | None = None) -> EventDraft:
        event = EventInput(type="order.paid", payload=payload, event_id=event_id, ordering_key=key)
        own = new_id("whd")
        planned = PlannedDelivery(own, self.rows.endpoint, None, webhook_workflow(TENANT, own))
        return EventDraft(event_id or new_id("evt"), event, event_body(event, now()), "req_1", (planned,))

    async def take(self, *drafts: EventDraft) -> list[TakenEvent | InvalidInput]:
        return list(await self.acceptance.take(TENANT, drafts, now()))

    async def delivery(self) -> str:
        (taken,) = await self.take(self.draft({"id": 7}))
        assert isinstance(taken, TakenEvent)
        return taken.receipt.deliveries[0].id

    async def in_its_second_request(self) -> str:
        """A delivery whose first request was lost with its worker, and whose second one is under way."""
        own = await self.delivery()
        await self.grant(own)
        await self.record(own, Exchange(outcome="worker_lost"), DeliveryStatus.RETRYING)
        await self.grant(own, 2)
        return own

    async def item(self, delivery: str, run: str = RUN) -> DeliveryItem | None:
        found = await self.ledger.open_items(TENANT, webhook_workflow(TENANT, delivery), run, [delivery], now())
        return found[0] if found else None

    async def grant(self, delivery: str, number: int = 1, owner: str | None = None) -> bool:
        owner = owner or webhook_workflow(TENANT, delivery)
        intents = [WebhookIntent(delivery=delivery, number=number)]
        return delivery in await self.ledger.grant(TENANT, owner, intents, now())

    async def record(self, delivery: str, exchange: Exchange, status: DeliveryStatus, number: int = 1) -> None:
        result = WebhookResult(
            delivery=delivery,
            number=number,
            exchange=exchange,
            status=status,
            spent=1,
            next_attempt_at=now() + timedelta(minutes=1) if status is DeliveryStatus.RETRYING else None,
            wait_reason=None,
        )
        await self.ledger.record(TENANT, RUN, [result], now())


@pytest.fixture
async def book(database_url: str) -> AsyncIterator[Book]:
    database = Database(database_url)
    await Tenants(database).create(TENANT, TENANT, now())
    yield Book(database, await WebhookRows.make(database, TENANT, now()))
    await database.close()


async def test_same_event_id_and_event_gives_the_same_deliveries_within_a_burst_and_after_it(book: Book) -> None:
    first, twin, later = (
        book.draft(payload, "e1") for payload in ({"a": 1, "b": 2}, {"b": 2, "a": 1}, {"a": 1, "b": 2})
    )
    answers = [*await book.take(first, twin), *await book.take(later)]
    assert all(isinstance(answer, TakenEvent) for answer in answers)
    receipts = [answer.receipt for answer in answers if isinstance(answer, TakenEvent)]
    assert receipts[0] == receipts[1] == receipts[2]
    assert [len(answer.started) for answer in answers if isinstance(answer, TakenEvent)] == [1, 0, 0]
    assert len((await book.deliveries.page(TENANT)).items) == 1


@pytest.mark.parametrize(("payload", "key"), [({"a": 2}, None), ({"a": 1}, "customer-7")])
async def test_event_id_of_another_event_is_refused_and_stores_nothing(
    book: Book, payload: dict[str, Any], key: str | None
) -> None:
    await book.take(book.draft({"a": 1}, "e1"))
    good, bad = await book.take(book.draft({}), book.draft(payload, "e1", key))
    assert isinstance(good, TakenEvent)
    assert isinstance(bad, InvalidInput)
    assert bad.errors[0].field == "event_id"
    assert len((await book.deliveries.page(TENANT)).items) == 2


async def test_event_id_that_races_with_itself_is_stored_once(book: Book) -> None:
    answers = await asyncio.gather(*(book.take(book.draft({"a": 1}, "e1")) for _ in range(8)))
    receipts = [answer.receipt for (answer,) in answers if isinstance(answer, TakenEvent)]
    assert len(receipts) == 8
    assert len({receipt.deliveries for receipt in receipts}) == 1


async def test_delivery_to_a_disabled_endpoint_is_parked_and_to_a_deleted_one_not_stored(book: Book) -> None:
    await book.rows.switch(enabled=False)
    (taken,) = await book.take(book.draft({}))
    assert isinstance(taken, TakenEvent)
    assert not taken.started
    view = await book.deliveries.view(TENANT, taken.receipt.deliveries[0].id)
    assert view.status is DeliveryStatus.PARKED
    assert view.finished_at is not None
    await book.database.execute(text("UPDATE webhook_endpoints SET deleted_at = now()"), {})
    (taken,) = await book.take(book.draft({}))
    assert isinstance(taken, TakenEvent)
    assert taken.receipt.deliveries == ()


def test_payload_that_is_too_large_is_refused() -> None:
    with pytest.raises(InvalidInput, match="payload"):
        event_body(EventInput(type="a", payload={"x": "y" * 262_144}), now())


async def test_number_is_granted_once_and_to_the_owner_alone(book: Book) -> None:
    delivery = await book.delivery()
    assert not await book.grant(delivery, owner="webhook/shop/another")
    granted = await asyncio.gather(*(book.grant(delivery) for _ in range(5)))
    assert sum(granted) == 1
    assert not await book.grant(delivery, number=3)
    item = await book.item(delivery)
    assert item is not None
    assert (item.in_flight, item.attempts, item.status) == (InFlight(), 1, DeliveryStatus.SENDING)


async def test_answer_is_kept_byte_for_byte_whatever_it_begins_with(book: Book) -> None:
    delivery = await book.delivery()
    await book.grant(delivery)
    await book.record(delivery, GOOD, DeliveryStatus.DELIVERED)
    view = await book.deliveries.view(TENANT, delivery)
    (attempt,) = view.attempts
    assert attempt.response_body == "\x01\x00�ok"
    assert (attempt.request_headers, attempt.response_headers) == ({"webhook-id": "x"}, {"server": "nginx"})
    assert (attempt.address, attempt.duration_ms, view.status) == ("203.0.113.9", 12, DeliveryStatus.DELIVERED)


async def test_late_outcome_replaces_lost_in_the_log_and_leaves_the_delivery_that_went_on_alone(book: Book) -> None:
    delivery = await book.delivery()
    await book.grant(delivery)
    await book.record(delivery, Exchange(outcome="worker_lost"), DeliveryStatus.RETRYING)
    await book.grant(delivery, number=2)
    await book.record(delivery, GOOD, DeliveryStatus.DELIVERED, number=1)
    view = await book.deliveries.view(TENANT, delivery)
    assert [attempt.outcome for attempt in view.attempts] == ["success", None]
    assert view.status is DeliveryStatus.SENDING
    await book.record(delivery, Exchange(outcome="worker_lost"), DeliveryStatus.RETRYING, number=1)
    assert (await book.deliveries.view(TENANT, delivery)).attempts[0].outcome == "success"


async def test_delivery_that_turns_out_delivered_while_another_request_is_under_way_is_delivered_with_it(
    book: Book,
) -> None:
    one = await book.in_its_second_request()
    busy = Exchange(outcome="http_error", status_code=503, error="busy")
    await book.record(one, GOOD, DeliveryStatus.DELIVERED)
    await book.record(one, busy, DeliveryStatus.RETRYING, 2)
    view = await book.deliveries.view(TENANT, one)
    assert (view.status, view.status_code, view.error) == (DeliveryStatus.DELIVERED, 200, None)
    assert view.finished_at is not None
    assert not await book.grant(one, 3)


async def test_late_success_is_being_written_when_the_next_outcome_comes_and_counts(
    book: Book, database_url: str
) -> None:
    one = await book.in_its_second_request()
    async with PostgresProxy.before(database_url) as proxy:
        slow = Database(proxy.through(database_url))
        held = proxy.hold_answer("SET late_success_number")
        late = asyncio.create_task(Book(slow, book.rows).record(one, GOOD, DeliveryStatus.DELIVERED))
        await held.fired()
        busy = Exchange(outcome="http_error", status_code=503, error="busy")
        recorded = asyncio.create_task(book.record(one, busy, DeliveryStatus.RETRYING, 2))
        await waits_for_a_lock(book.database)
        held.release()
        await asyncio.gather(late, recorded)
        await slow.close()
    view = await book.deliveries.view(TENANT, one)
    assert (view.status, view.status_code, view.error) == (DeliveryStatus.DELIVERED, 200, None)
    assert not await book.grant(one, 3)


@pytest.mark.parametrize("status", [DeliveryStatus.FAILED, DeliveryStatus.SKIPPED, DeliveryStatus.PARKED])
async def test_delivery_that_was_given_up_and_turns_out_delivered_is_delivered(
    book: Book, status: DeliveryStatus
) -> None:
    one = await book.in_its_second_request()
    await book.record(one, Exchange(outcome="http_error", status_code=503), status, 2)
    await book.record(one, GOOD, DeliveryStatus.DELIVERED)
    assert (await book.deliveries.view(TENANT, one)).status is DeliveryStatus.DELIVERED


async def test_delivery_that_is_sent_again_does_not_count_what_was_delivered_late_before(book: Book) -> None:
    one = await book.in_its_second_request()
    await book.record(one, GOOD, DeliveryStatus.DELIVERED)
    await book.record(one, Exchange(outcome="http_error", status_code=503), DeliveryStatus.RETRYING, 2)
    reopened = text("UPDATE webhook_deliveries SET status = 'pending', finished_at = NULL WHERE id = :id")
    await book.database.execute(reopened, {"id": one})
    await book.grant(one, 3)
    await book.record(one, Exchange(outcome="http_error", status_code=503), DeliveryStatus.RETRYING, 3)
    assert (await book.deliveries.view(TENANT, one)).status is DeliveryStatus.RETRYING


async def test_dead_letter_is_reopened_for_another_run_and_not_for_its_own(book: Book) -> None:
    delivery = await book.delivery()
    await book.grant(delivery)
    await book.record(delivery, Exchange(outcome="http_error", status_code=500), DeliveryStatus.FAILED)
    assert await book.item(delivery) is None
    reopened = await book.item(delivery, run="run-2")
    assert reopened is not None
    assert (reopened.status, reopened.spent, reopened.attempts) == (DeliveryStatus.QUEUED, 0, 1)


async def test_bodies_and_answers_of_a_tenant_that_encrypts_are_sealed(book: Book) -> None:
    await book.contents.set_policy(TENANT, encrypts=True, days=None, actor="test", now=now())
    delivery = await book.delivery()
    await book.grant(delivery)
    await book.record(delivery, GOOD, DeliveryStatus.DELIVERED)
    stored = await book.database.rows(
        text("SELECT e.body, a.response_body FROM webhook_events e, webhook_attempts a"), {}
    )
    assert b"order.paid" not in stored[0].body
    assert b"ok" not in stored[0].response_body
    view = await book.deliveries.view(TENANT, delivery)
    assert view.payload == {"id": 7}
    assert view.attempts[0].response_body == "\x01\x00�ok"


async def test_moves_are_refused_with_the_state_and_unknown_ones_are_not_found(book: Book) -> None:
    delivery = await book.delivery()
    with pytest.raises(Conflict, match="pending"):
        await book.deliveries.retry(TENANT, delivery, actor="test", now=now())
    await book.grant(delivery)
    with pytest.raises(Conflict, match="cannot be called back"):
        await book.deliveries.cancel(TENANT, delivery, actor="test", now=now())
    await book.record(delivery, GOOD, DeliveryStatus.DELIVERED)
    for move in (book.deliveries.cancel, book.deliveries.retry, book.deliveries.discard):
        with pytest.raises(Conflict, match="delivered"):
            await move(TENANT, delivery, actor="test", now=now())
        with pytest.raises(NotFound):
            await move("another", delivery, actor="test", now=now())


async def test_forgotten_and_lost_deliveries_are_found(book: Book) -> None:
    first, second = await book.delivery(), await book.delivery()
    await book.deliveries.mark_started(TENANT, webhook_workflow(TENANT, second), [second], now())
    orphaned = OrphanedDeliveries(book.database, Workers(book.database))
    later, wait, limit = now() + timedelta(minutes=11), timedelta(minutes=10), Limit(workflows=9, records=9)
    assert [one.id for one in await orphaned.unstarted(later, older_than=wait, limit=limit)] == [first]
    found = await orphaned.stalled(later, older_than=wait, limit=limit)
    assert [one.id for one in found] == [second]
    change = WebhookChange(
        delivery=second, number=0, status=DeliveryStatus.QUEUED, next_attempt_at=later + wait, wait_reason="paused"
    )
    await book.ledger.change(TENANT, webhook_workflow(TENANT, second), [change], now())
    assert await orphaned.stalled(later, older_than=wait, limit=limit) == []
    closed = "its workflow was closed"
    assert await orphaned.dead_letter(found, "run", closed, now(), untouched_since=later) == 1
    assert await orphaned.dead_letter(found, "run", closed, now(), untouched_since=later) == 0, "it was read before"
    assert (await book.deliveries.view(TENANT, second)).status is DeliveryStatus.FAILED


async def test_events_are_dropped_when_their_time_is_over_and_dead_letters_are_kept_longer(book: Book) -> None:
    done, dead, waiting = [await book.delivery() for _ in range(3)]
    for delivery, status in ((done, DeliveryStatus.DELIVERED), (dead, DeliveryStatus.FAILED)):
        await book.grant(delivery)
        await book.record(delivery, GOOD, status)
    month = now() + timedelta(days=31)
    assert await book.contents.purge_expired(month) == 1
    gone = await book.deliveries.view(TENANT, done)
    assert (gone.payload, gone.attempts[0].response_body, gone.attempts[0].status_code) == (None, None, 200)
    for kept in (dead, waiting):
        assert (await book.deliveries.view(TENANT, kept)).payload == {"id": 7}
    assert await book.contents.purge_expired(month + timedelta(days=90)) == 1
    with pytest.raises(Conflict, match="payload was dropped"):
        await book.deliveries.retry(TENANT, dead, actor="test", now=now())
    assert (await book.deliveries.view(TENANT, waiting)).payload == {"id": 7}


async def test_steps_before_the_end_touch_no_index(book: Book) -> None:
    drafts = [book.draft({"n": number}) for number in range(200)]
    await book.take(*drafts)
    names = [draft.deliveries[0].id for draft in drafts]
    for name in names:
        await book.deliveries.mark_started(TENANT, webhook_workflow(TENANT, name), [name], now())
        await book.grant(name)
    statement = text("""
        SELECT n_tup_upd AS updated, n_tup_hot_upd AS hot FROM pg_stat_user_tables
         WHERE relname = 'webhook_deliveries'
    """)
    await book.database.rows(text("SELECT pg_stat_force_next_flush()"), {})
    deadline = asyncio.get_running_loop().time() + 10
    while (row := (await book.database.rows(statement, {}))[0]).updated < 400:
        assert asyncio.get_running_loop().time() < deadline, row
        await asyncio.sleep(0.1)
    assert row.hot > 0.7 * row.updated
