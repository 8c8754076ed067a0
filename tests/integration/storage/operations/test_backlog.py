"""What was accepted and nobody has begun, on real PostgreSQL: what counts, since when, and what waits for a reason."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from hermod.contracts.ids import new_id
from hermod.contracts.queues import Lane
from hermod.contracts.webhooks.deliveries import DeliveryStatus
from hermod.storage.database.engine import Database, sql
from hermod.storage.operations.backlog import BACKLOG, Backlog, Waiting
from hermod.storage.tenants.tenants import Tenants
from tests.support.webhooks.rows import WebhookRows

NOW = datetime.now(UTC)
S = DeliveryStatus
NOTHING = dict.fromkeys(Lane, Waiting())
_MESSAGE = sql("""
    INSERT INTO messages (tenant_id, id, channel, status, recipient, category, guarantee, preset, priority, workflow_id,
                          metadata, created_at, updated_at, send_at, next_attempt_at, attempt_count, round, finished_at)
    VALUES (:tenant, :id, CAST(:channel AS text), :status, 'ada@example.com', 'transactional', 'at_least_once',
            'notification', 5, 'message/shop/x', '{}', CAST(:at AS timestamptz), CAST(:changed AS timestamptz),
            CAST(:send_at AS timestamptz), CAST(:next_at AS timestamptz), CAST(:attempts AS int), CAST(:round AS int),
            CAST(:finished AS timestamptz))
""")
_SUBMISSION = sql("""
    INSERT INTO form_submissions (tenant_id, id, form_id, form_revision, definition, status, body_hash, metadata,
                                  workflow_id, created_at, updated_at, saved_at, announced, error_code, finished_at)
    VALUES (:tenant, :id, 'signup', 1, '{}', :status, '\\x00', '{}', 'submission/shop/x', CAST(:at AS timestamptz),
            CAST(:at AS timestamptz), CAST(:saved AS timestamptz), CAST(:announced AS text[]), CAST(:error AS text),
            CAST(:finished AS timestamptz))
""")
_PARTIAL = sql("""
    INSERT INTO form_partials (tenant_id, form_id, session, revision, status, waits_since, due_at)
    VALUES (:tenant, 'signup', :id, 1, 'open', CAST(:waits AS timestamptz), CAST(:due AS timestamptz))
""")
_EVENTS = sql("""
    INSERT INTO event_batches (tenant_id, id, sink, insert_id, events, body, created_at)
    VALUES (:tenant, :id, 'events', CAST(:insert AS text), CAST(:events AS int), '\\x00', CAST(:at AS timestamptz))
""")


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    own = Database(database_url)
    await Tenants(own).create("shop", "shop", NOW)
    # What analytics is told of rows is no matter of these tests, and would be a backlog of its own.
    for table in ("messages", "webhook_deliveries", "form_submissions"):
        await own.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER USER"), {})
    yield own
    await own.close()


async def look(database: Database) -> dict[Lane, tuple[int, float]]:
    """Lanes that have a backlog: how many records, and how old the oldest is."""
    found = await Backlog(database).look(NOW)
    return {lane: (one.records, round(one.oldest_seconds)) for lane, one in found.items() if one != Waiting()}


async def add_message(database: Database, status: str = "queued", seconds: float = 60, **more: Any) -> None:
    names = {"tenant": "shop", "id": new_id("msg"), "channel": "email", "status": status, "at": ago(seconds)}
    rest = {"changed": ago(seconds), "send_at": None, "next_at": None, "attempts": 0, "round": 1, "finished": None}
    await database.execute(_MESSAGE, names | rest | more)


async def add_submission(database: Database, status: str, seconds: float, **more: Any) -> None:
    names = {"tenant": "shop", "id": new_id("sub"), "status": status, "at": ago(seconds)}
    rest: dict[str, Any] = {"saved": None, "announced": [], "error": None, "finished": None}
    await database.execute(_SUBMISSION, names | rest | more)


async def test_nothing_waits_every_lane_says_so(database: Database) -> None:
    assert await Backlog(database).look(NOW) == NOTHING


async def test_messages_wait_they_count_on_the_lane_of_their_channel(database: Database) -> None:
    await add_message(database, "pending", 30)
    await add_message(database, "queued", 400)
    await add_message(database, "queued", 20, channel="sms")
    assert await look(database) == {Lane.EMAIL: (2, 400), Lane.SMS: (1, 20)}


async def test_messages_with_a_reason_to_wait_do_not_count(database: Database) -> None:
    await add_message(database, "scheduled", 900, send_at=NOW + timedelta(hours=1))
    await add_message(database, "pending", 900, send_at=NOW + timedelta(hours=1))
    await add_message(database, "retrying", 900, next_at=NOW + timedelta(minutes=1), attempts=1)
    await add_message(database, "deferred", 900, next_at=NOW + timedelta(minutes=1))
    await add_message(database, "sending", 900, attempts=1)
    await add_message(database, "sent", 900, attempts=1, finished=NOW)
    assert await look(database) == {}


async def test_message_was_due_or_reopened_later_waits_since_then(database: Database) -> None:
    await add_message(database, "scheduled", 9000, send_at=ago(50))
    await add_message(database, "queued", 9000, attempts=3, round=2, changed=ago(40))
    await add_message(database, "pending", 9000, round=2, changed=ago(30), channel="push")
    assert await look(database) == {Lane.EMAIL: (2, 50), Lane.PUSH: (1, 30)}


async def test_message_that_the_sweeper_looked_at_waits_since_it_was_accepted(database: Database) -> None:
    await add_message(database, "queued", 9000, changed=ago(5))
    assert await look(database) == {Lane.EMAIL: (1, 9000)}


async def test_deliveries_wait_the_first_of_a_line_counts(database: Database) -> None:
    rows = await WebhookRows.make(database, "shop", NOW)
    for seconds in (500, 400, 300):
        await rows.add(S.QUEUED, key="a", ago=timedelta(seconds=seconds))
    await rows.add(S.PENDING, key="b", ago=timedelta(seconds=200))
    await rows.add(S.QUEUED, ago=timedelta(seconds=100))
    assert await look(database) == {Lane.WEBHOOKS: (3, 500)}


async def test_deliveries_that_wait_for_their_endpoint_do_not_count(database: Database) -> None:
    rows = await WebhookRows.make(database, "shop", NOW)
    await rows.add(S.RETRYING, key="a")
    await rows.add(S.QUEUED, key="a")
    paused = await rows.add(S.QUEUED)
    later = text("UPDATE webhook_deliveries SET next_attempt_at = now() + interval '1 minute' WHERE id = :id")
    await database.execute(later, {"id": paused})
    blocked = await WebhookRows.make(database, "shop", NOW, choice="block")
    await blocked.add(S.FAILED, key="a")
    await blocked.add(S.QUEUED, key="a")
    assert await look(database) == {}


async def test_delivery_whose_endpoint_is_worked_through_waits_since_the_last_one_before_it(database: Database) -> None:
    rows = await WebhookRows.make(database, "shop", NOW)
    before = await rows.add(S.DELIVERED, ago=timedelta(days=3))
    await rows.add(S.QUEUED, ago=timedelta(days=3))
    await rows.add(S.QUEUED, key="a", ago=timedelta(days=3))
    worked_on = text("UPDATE webhook_deliveries SET updated_at = :at, finished_at = :at WHERE id = :id")
    await database.execute(worked_on, {"id": before, "at": ago(7)})
    assert await look(database) == {Lane.WEBHOOKS: (2, 7)}


async def test_submissions_wait_until_the_first_thing_is_done_for_them(database: Database) -> None:
    await add_submission(database, "pending", 50)
    await add_submission(database, "processing", 70)
    await add_submission(database, "processing", 900, saved=NOW)
    await add_submission(database, "processing", 900, announced=["form.submitted"])
    await add_submission(database, "processing", 900, error="backend_unavailable")
    await add_submission(database, "awaiting_payment", 900)
    await add_submission(database, "completed", 900, finished=NOW)
    assert await look(database) == {Lane.SUBMISSIONS: (2, 70)}


async def test_partials_wait_since_the_change_that_nobody_has_looked_at(database: Database) -> None:
    for name, waits in (("session-1", ago(40)), ("session-2", None)):
        await database.execute(_PARTIAL, {"tenant": "shop", "id": name, "waits": waits, "due": ago(900)})
    assert await look(database) == {Lane.PARTIALS: (1, 40)}


async def test_events_wait_until_an_insert_has_taken_them(database: Database) -> None:
    for name, insert, events in (("a", None, 30), ("b", None, 12), ("c", "evb_1", 99)):
        names = {"tenant": "shop", "id": name, "insert": insert, "events": events, "at": ago(15)}
        await database.execute(_EVENTS, names)
    assert await look(database) == {Lane.EVENTS: (42, 15)}


async def test_many_messages_have_ended_a_look_reads_the_open_ones_alone(database: Database) -> None:
    ended = text("""
        INSERT INTO messages (tenant_id, id, channel, status, recipient, category, guarantee, preset, priority,
                              workflow_id, metadata, finished_at)
        SELECT 'shop', 'msg_' || i, 'email', 'sent', 'ada@example.com', 'transactional', 'at_least_once',
               'notification', 5, 'message/shop/x', '{}', now() FROM generate_series(1, 5000) i
    """)
    await database.execute(ended, {})
    await add_message(database)
    await database.execute(text("ANALYZE messages"), {})
    rows = await database.rows(sql(f"EXPLAIN {BACKLOG}"), {"now": NOW})
    plan = "\n".join(row[0] for row in rows)
    assert "ix_messages_unfinished" in plan
    assert "Seq Scan on messages" not in plan
