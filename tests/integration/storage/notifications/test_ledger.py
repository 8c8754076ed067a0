"""The ledger on real PostgreSQL: idempotency, fencing, tenants kept apart, and steps that touch no index."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from activities.notifications.transitions import expired
from hermod.contracts import ids
from hermod.contracts.errors import IdempotencyMismatch, NotFound
from hermod.contracts.notifications.content import Email
from hermod.contracts.notifications.messages import Narrowed, Outcome, Receipt, Status, Submission
from hermod.contracts.notifications.outcomes import Accepted, OutcomeUnknown
from hermod.ports.notifications.ledger import InFlight, Intent, Result
from hermod.storage.database.engine import Database
from hermod.storage.notifications.acceptance import Acceptance, Draft, Ready
from hermod.storage.notifications.ledger import SqlLedger
from hermod.storage.notifications.messages import Messages
from hermod.storage.operations.workers import Workers
from hermod.storage.secrets.contents import Contents
from hermod.storage.secrets.vault import Vault
from tests.support.locks import waits_for_a_lock
from tests.support.proxies.postgres_proxy import PostgresProxy

TENANT, OWNER, RUN = "demo", "message/demo/x", "run-1"


def now() -> datetime:
    return datetime.now(UTC)


def draft(key: str | None = None, subject: str = "Hello") -> Draft:
    content = Email(to="ada@example.com", subject=subject, text="Hello")
    return Draft(ids.message_id(), OWNER, None, Ready(Submission(content=content, idempotency_key=key), content))


def intent(message: str, number: int = 1) -> Intent:
    return Intent(message=message, number=number, round=1, account="main", provider="sandbox")


def result(message: str, outcome: Accepted | OutcomeUnknown, status: Status, number: int = 1) -> Result:
    return Result(
        message=message,
        number=number,
        account="main",
        outcome=outcome,
        duration_ms=5,
        status=status,
        round=1,
        spent=0,
        next_attempt_at=None,
        decision=None,
    )


def clear(database: Database) -> Contents:
    """Contents as they are stored where nobody asked for encryption."""
    return Contents(database, Vault(Vault.new_key()), 30)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = Database(database_url)
    yield opened
    await opened.close()


async def taken(database: Database, *drafts: Draft) -> list[Receipt | IdempotencyMismatch]:
    answers = await Acceptance(database, clear(database)).take(TENANT, drafts, now())
    return [answers[one.id] for one in drafts]


async def in_its_second_request(database: Database) -> tuple[SqlLedger, Draft]:
    """A message whose first request ended as unknown, and whose second one is under way."""
    one = draft()
    await taken(database, one)
    ledger = SqlLedger(database, clear(database), Workers(database))
    await ledger.grant(TENANT, OWNER, [intent(one.id)], now())
    await ledger.record(TENANT, RUN, [result(one.id, OutcomeUnknown(), Status.RETRYING)], now())
    await ledger.grant(TENANT, OWNER, [intent(one.id, 2)], now())
    return ledger, one


async def test_same_key_and_body_gives_the_same_message(database: Database) -> None:
    first, second = draft("k"), draft("k")
    assert await taken(database, first) == await taken(database, second)


async def test_same_key_with_another_body_is_refused_and_nothing_is_stored(database: Database) -> None:
    await taken(database, draft("k"))
    other = draft("k", subject="Something else")
    assert isinstance((await taken(database, other))[0], IdempotencyMismatch)
    with pytest.raises(NotFound):
        await Messages(database).view(TENANT, other.id)


async def test_same_key_twice_in_one_batch_is_one_message(database: Database) -> None:
    one, two, other = draft("k"), draft("k"), draft("k", subject="Something else")
    answers = await taken(database, one, two, other)
    assert answers[0] == answers[1]
    assert isinstance(answers[2], IdempotencyMismatch)


async def test_same_key_in_twenty_calls_at_once_is_one_message(database: Database) -> None:
    answers = await asyncio.gather(*(taken(database, draft("k")) for _ in range(20)))
    assert len({answer[0].id for answer in answers if isinstance(answer[0], Receipt)}) == 1


async def test_same_key_of_two_tenants_is_two_messages(database: Database) -> None:
    one, two = draft("k"), draft("k")
    await Acceptance(database, clear(database)).take("a", [one], now())
    await Acceptance(database, clear(database)).take("b", [two], now())
    with pytest.raises(NotFound):
        await Messages(database).view("b", one.id)
    assert (await Messages(database).view("b", two.id)).id == two.id


async def test_attempt_number_is_granted_to_one_of_two_executors(database: Database) -> None:
    one = draft()
    await taken(database, one)
    ledger = SqlLedger(database, clear(database), Workers(database))
    granted = await asyncio.gather(*(ledger.grant(TENANT, OWNER, [intent(one.id)], now()) for _ in range(5)))
    assert sorted(map(len, granted)) == [0, 0, 0, 0, 1]


async def test_message_of_another_owner_is_neither_read_nor_granted(database: Database) -> None:
    one = draft()
    await taken(database, one)
    ledger = SqlLedger(database, clear(database), Workers(database))
    assert await ledger.open_items(TENANT, "message/demo/other", RUN, [one.id], now()) == []
    assert await ledger.grant(TENANT, "message/demo/other", [intent(one.id)], now()) == set()


async def test_cancelled_message_is_not_granted(database: Database) -> None:
    one = draft()
    await taken(database, one)
    await Messages(database).cancel(TENANT, one.id, actor="test", now=now())
    assert (
        await SqlLedger(database, clear(database), Workers(database)).grant(TENANT, OWNER, [intent(one.id)], now())
        == set()
    )


async def test_request_without_an_outcome_is_seen_in_flight(database: Database) -> None:
    one = draft()
    await taken(database, one)
    ledger = SqlLedger(database, clear(database), Workers(database))
    await ledger.grant(TENANT, OWNER, [intent(one.id)], now())
    (item,) = await ledger.open_items(TENANT, OWNER, RUN, [one.id], now())
    assert (item.in_flight, item.attempts, item.status) == (InFlight(account="main"), 1, Status.SENDING)


async def test_message_left_sending_between_two_requests_by_an_earlier_version_is_at_rest(database: Database) -> None:
    one = draft()
    await taken(database, one)
    ledger = SqlLedger(database, clear(database), Workers(database))
    await ledger.grant(TENANT, OWNER, [intent(one.id)], now())
    await ledger.record(TENANT, RUN, [result(one.id, OutcomeUnknown(), Status.SENDING)], now())
    (item,) = await ledger.open_items(TENANT, OWNER, RUN, [one.id], now())
    assert (item.in_flight, item.attempts, item.status) == (None, 1, Status.RETRYING)
    assert item.next_attempt_at is not None
    assert item.next_attempt_at <= now()
    expires = expired(item, "not_after has passed")
    assert await ledger.change(TENANT, OWNER, RUN, [expires], now()) == {one.id}


async def test_grant_under_a_request_is_refused(database: Database) -> None:
    one = draft()
    await taken(database, one)
    ledger = SqlLedger(database, clear(database), Workers(database))
    await ledger.grant(TENANT, OWNER, [intent(one.id)], now())
    assert await ledger.grant(TENANT, OWNER, [intent(one.id, 2)], now()) == set()


async def test_late_outcome_replaces_unknown_and_leaves_a_message_that_moved_on(database: Database) -> None:
    ledger, one = await in_its_second_request(database)
    await ledger.record(TENANT, RUN, [result(one.id, Accepted(provider_id="late"), Status.SENT)], now())
    view = await Messages(database).view(TENANT, one.id)
    assert view.status is Status.SENDING
    assert [attempt.outcome for attempt in view.attempts] == [Outcome.ACCEPTED, None]


@pytest.mark.parametrize("status", [Status.RETRYING, Status.FAILED, Status.UNKNOWN])
async def test_message_whose_earlier_request_turns_out_accepted_while_another_is_under_way_is_sent_with_it(
    database: Database, status: Status
) -> None:
    ledger, one = await in_its_second_request(database)
    await ledger.record(TENANT, RUN, [result(one.id, Accepted(provider_id="late"), Status.SENT)], now())
    refused = result(one.id, OutcomeUnknown(), status, 2)
    assert await ledger.record(TENANT, RUN, [refused], now()) == set()
    view = await Messages(database).view(TENANT, one.id)
    assert (view.status, view.provider_message_id, view.error) == (Status.SENT, "late", None)
    assert view.finished_at is not None
    assert await ledger.grant(TENANT, OWNER, [intent(one.id, 3)], now()) == set()


@pytest.mark.parametrize("status", [Status.RETRYING, Status.FAILED])
async def test_late_success_is_being_written_when_the_next_outcome_comes_and_counts(
    database: Database, database_url: str, status: Status
) -> None:
    ledger, one = await in_its_second_request(database)
    async with PostgresProxy.before(database_url) as proxy:
        slow = Database(proxy.through(database_url))
        frozen = SqlLedger(slow, clear(slow), Workers(slow))
        held = proxy.hold_answer("SET late_success_number")
        accepted = result(one.id, Accepted(provider_id="late"), Status.SENT)
        late = asyncio.create_task(frozen.record(TENANT, RUN, [accepted], now()))
        await held.fired()
        refused = result(one.id, OutcomeUnknown(), status, 2)
        recorded = asyncio.create_task(ledger.record(TENANT, RUN, [refused], now()))
        await waits_for_a_lock(database)
        held.release()
        await late
        assert await recorded == set()
        await slow.close()
    view = await Messages(database).view(TENANT, one.id)
    assert (view.status, view.provider_message_id) == (Status.SENT, "late")
    assert await ledger.grant(TENANT, OWNER, [intent(one.id, 3)], now()) == set()


async def test_outcome_recorded_twice_changes_nothing(database: Database) -> None:
    one = draft()
    await taken(database, one)
    ledger = SqlLedger(database, clear(database), Workers(database))
    await ledger.grant(TENANT, OWNER, [intent(one.id)], now())
    for _ in range(2):
        await ledger.record(TENANT, RUN, [result(one.id, Accepted(provider_id="p"), Status.SENT)], now())
    view = await Messages(database).view(TENANT, one.id)
    assert view.status is Status.SENT
    assert len(view.attempts) == 1


async def test_steps_before_the_end_are_hot_updates(database: Database) -> None:
    drafts = [draft() for _ in range(200)]
    await taken(database, *drafts)
    names = [one.id for one in drafts]
    await Messages(database).mark_started(TENANT, OWNER, names, now())
    await SqlLedger(database, clear(database), Workers(database)).grant(
        TENANT, OWNER, [intent(name) for name in names], now()
    )
    statement = text("""
        SELECT n_tup_upd AS updated, n_tup_hot_upd AS hot FROM pg_stat_user_tables WHERE relname = 'messages'
    """)
    await database.rows(text("SELECT pg_stat_force_next_flush()"), {})
    deadline = asyncio.get_running_loop().time() + 10
    while (row := (await database.rows(statement, {}))[0]).updated < 400:
        assert asyncio.get_running_loop().time() < deadline, row
        await asyncio.sleep(0.1)
    assert row.hot > 0.7 * row.updated


async def test_pages_of_a_list_cover_everything_once_newest_first(database: Database) -> None:
    drafts = [draft() for _ in range(25)]
    await taken(database, *drafts)
    seen: list[str] = []
    cursor: str | None = None
    while True:
        page = await Messages(database).page(TENANT, Narrowed(), cursor=cursor, limit=10)
        seen += [item.id for item in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == sorted((one.id for one in drafts), reverse=True)


async def test_scheduled_message_is_marked_as_such_when_its_workflow_is_started(database: Database) -> None:
    content = Email(to="ada@example.com", subject="s", text="t")
    asked = Submission.model_validate({"content": content, "options": {"send_at": now() + timedelta(hours=1)}})
    later = Draft(ids.message_id(), OWNER, None, Ready(asked, content))
    await taken(database, later)
    await Messages(database).mark_started(TENANT, OWNER, [later.id], now())
    assert (await Messages(database).view(TENANT, later.id)).status is Status.SCHEDULED
