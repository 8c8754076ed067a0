"""What the sweeper reads and changes: workflows as a whole, and only what is still as it was read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

import pytest
from sqlalchemy import text

from hermod.contracts.ids import batch_workflow, message_id
from hermod.contracts.notifications.content import Email
from hermod.contracts.notifications.messages import Options, Status, Submission
from hermod.storage.database.engine import Database, sql
from hermod.storage.notifications.acceptance import Acceptance, Draft, Ready
from hermod.storage.notifications.messages import Messages
from hermod.storage.notifications.orphans import OrphanedMessage, OrphanedMessages
from hermod.storage.operations.orphaned_records import Limit, finding
from hermod.storage.operations.workers import Workers
from hermod.storage.secrets.contents import Contents
from hermod.storage.secrets.vault import Vault
from tests.integration.storage.reporting import NOW

TENANT: Final = "shop"
MINUTES: Final = timedelta(minutes=10)
LATER: Final = NOW + timedelta(hours=1)
ALL: Final = Limit(workflows=100, records=1_000)


@dataclass
class Shelf:
    """Messages that were stored, by workflow."""

    database: Database

    def __post_init__(self) -> None:
        self.orphaned = OrphanedMessages(self.database, Workers(self.database))
        self.messages = Messages(self.database)

    async def add(self, batch: str, count: int, at: datetime = NOW) -> list[str]:
        content = Email(to="ada@example.com", subject="Hello", text="Hello")
        ready = Ready(Submission(content=content, options=Options()), content)
        owner = batch_workflow(TENANT, batch)
        drafts = [Draft(message_id(), owner, None, ready) for _ in range(count)]
        await Acceptance(self.database, Contents(self.database, Vault(Vault.new_key()), 30)).take(TENANT, drafts, at)
        return [draft.id for draft in drafts]

    async def put(self, assignments: str, messages: Sequence[str]) -> None:
        statement = f"UPDATE messages SET {assignments} WHERE id = ANY(:ids)"
        await self.database.execute(text(statement), {"ids": list(messages)})

    async def unstarted(self, limit: Limit = ALL) -> list[tuple[str, int]]:
        """The workflows, in the order in which they are found, with the number of their messages."""
        found = await self.orphaned.unstarted(LATER, older_than=MINUTES, limit=limit)
        return counted(found)

    async def stalled(self) -> list[OrphanedMessage]:
        return await self.orphaned.stalled(LATER, older_than=MINUTES, limit=ALL)

    async def dead_letter(self, orphans: Sequence[OrphanedMessage]) -> int:
        return await self.orphaned.dead_letter(orphans, "run", "gone", LATER, untouched_since=LATER - MINUTES)

    async def status(self, message: str) -> Status:
        return (await self.messages.view(TENANT, message)).status


def counted(found: Sequence[OrphanedMessage]) -> list[tuple[str, int]]:
    owners = [one.workflow_id for one in found]
    return [(owner.rpartition("/")[2], owners.count(owner)) for owner in dict.fromkeys(owners)]


@pytest.fixture
async def shelf(database_url: str) -> AsyncIterator[Shelf]:
    database = Database(database_url)
    yield Shelf(database)
    await database.close()


async def test_limit_of_workflows_takes_the_oldest_ones_and_all_of_each(shelf: Shelf) -> None:
    await shelf.add("second", 3, NOW + timedelta(seconds=1))
    await shelf.add("first", 5)
    await shelf.add("third", 2, NOW + timedelta(seconds=2))
    assert await shelf.unstarted(Limit(workflows=2, records=1_000)) == [("first", 5), ("second", 3)]


async def test_limit_of_records_never_cuts_a_workflow(shelf: Shelf) -> None:
    for number in range(4):
        await shelf.add(f"b{number}", 3, NOW + timedelta(seconds=number))
    assert await shelf.unstarted(Limit(workflows=100, records=1)) == [("b0", 3)]
    assert await shelf.unstarted(Limit(workflows=100, records=3)) == [("b0", 3)]
    assert await shelf.unstarted(Limit(workflows=100, records=4)) == [("b0", 3), ("b1", 3)]


async def test_workflow_with_one_old_pending_message_is_read_with_its_younger_ones(shelf: Shelf) -> None:
    await shelf.add("b", 1)
    await shelf.add("b", 2, LATER)
    await shelf.add("young", 2, LATER)
    assert await shelf.unstarted() == [("b", 3)]


async def test_stalled_workflow_is_read_with_what_else_of_it_is_open_and_started(shelf: Shelf) -> None:
    due, ahead, pending, done = await shelf.add("b", 4)
    await shelf.put("status = 'queued'", [due])
    await shelf.put("status = 'deferred', next_attempt_at = created_at + interval '1 day'", [ahead])
    await shelf.put("status = 'sent', finished_at = created_at", [done])
    assert {one.id: one.overdue for one in await shelf.stalled()} == {due: True, ahead: False}
    assert await shelf.unstarted() == [("b", 1)]
    assert await shelf.status(pending) is Status.PENDING


async def test_message_that_moved_since_it_was_read_is_neither_given_away_nor_given_up(shelf: Shelf) -> None:
    """Each has changed in one of the things that were read: state, attempt, owner, time; or in none."""
    state, attempt, owner, time, same = messages = await shelf.add("b", 5)
    await shelf.put("status = 'queued'", messages)
    orphans = await shelf.stalled()
    await shelf.put("status = 'deferred'", [state])
    await shelf.put("attempt_count = 1", [attempt])
    await shelf.put("workflow_id = 'message/shop/own'", [owner])
    await shelf.put("updated_at = '2026-11-22 13:00Z'", [time])
    assert await shelf.dead_letter([one for one in orphans if one.id != same]) == 0
    assert await shelf.orphaned.transfer(orphans, "batch/shop/new", LATER) == {time, same}
    there = [replace(one, workflow_id="batch/shop/new") for one in orphans]
    assert await shelf.dead_letter(there) == 1
    assert [await shelf.status(one) for one in messages] == [
        Status.DEFERRED,
        Status.QUEUED,
        Status.QUEUED,
        Status.QUEUED,
        Status.FAILED,
    ]


async def test_request_under_way_of_a_living_worker_keeps_its_message_where_it_is(shelf: Shelf) -> None:
    living, lost, between = messages = await shelf.add("b", 3)
    await shelf.put("status = 'sending', attempt_count = 1", messages)
    workers = Workers(shelf.database)
    async with workers.session() as number:
        statement = text("""
            INSERT INTO attempts (tenant_id, message_id, number, round, account, provider, started_at, worker, outcome)
            VALUES ('shop', :living, 1, 1, 'main', 'sandbox', now(), CAST(:number AS int), NULL),
                   ('shop', :lost, 1, 1, 'main', 'sandbox', now(), NULL, NULL),
                   ('shop', :between, 1, 1, 'main', 'sandbox', now(), CAST(:number AS int), 'transient')
        """)
        names = {"living": living, "lost": lost, "between": between, "number": number}
        await shelf.database.execute(statement, names)
        orphans = await shelf.stalled()
        assert await shelf.orphaned.transfer(orphans, "batch/shop/new", LATER) == {lost, between}
        assert await shelf.dead_letter([replace(one, workflow_id="batch/shop/new") for one in orphans]) == 2
    assert [await shelf.status(one) for one in messages] == [Status.SENDING, Status.UNKNOWN, Status.UNKNOWN]
    view = await shelf.messages.view(TENANT, between)
    assert (view.error_code, view.attempts[0].outcome) == ("worker_lost", "transient")


async def test_open_messages_are_looked_at_once_where_none_is_forgotten(shelf: Shelf) -> None:
    await shelf.add("b", 500)
    statement = finding("messages", "attempt_count", among="status = 'pending'", overdue="updated_at < :until")
    names = {"until": NOW - MINUTES, "workflows": 9, "records": 9}
    plan = await shelf.database.rows(sql(f"EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) {statement.text}"), names)
    told = "\n".join(row[0] for row in plan)
    assert "One-Time Filter" in told
    assert "never executed" in told
