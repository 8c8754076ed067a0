"""Contents at rest: unreadable where a tenant wants it so, bound to their message, dropped when their time is over."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from hermod.contracts import ids
from hermod.contracts.errors import Conflict, Unavailable
from hermod.contracts.notifications.content import Email
from hermod.contracts.notifications.messages import Narrowed, Outcome, Submission
from hermod.storage.database.engine import Database
from hermod.storage.notifications.acceptance import Acceptance, Draft, Ready
from hermod.storage.notifications.ledger import SqlLedger
from hermod.storage.notifications.messages import Messages
from hermod.storage.operations.workers import Workers
from hermod.storage.secrets.contents import DEAD_LETTER_DAYS, ENCRYPTED, Contents
from hermod.storage.secrets.vault import Vault
from hermod.storage.tenants.tenants import Tenants

TENANT, OWNER, RUN = "demo", "message/demo/x", "run-1"
KEY = Vault.new_key()
DAYS = 30


def now() -> datetime:
    return datetime.now(UTC)


def contents(database: Database, key: str = KEY) -> Contents:
    return Contents(database, Vault(key), DAYS)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = Database(database_url)
    await Tenants(opened).create(TENANT, "Demo", now())
    yield opened
    await opened.close()


async def encrypting(database: Database) -> Contents:
    kept = contents(database)
    await kept.set_policy(TENANT, encrypts=True, days=None, actor="test", now=now())
    return kept


async def take(database: Database, kept: Contents) -> str:
    letter = Email(to="ada@example.com", subject="Hello", text="a secret word")
    one = Draft(ids.message_id(), OWNER, None, Ready(Submission(content=letter), letter))
    await Acceptance(database, kept).take(TENANT, [one], now())
    return one.id


async def stored(database: Database, message: str) -> bytes | None:
    rows = await database.rows(text("SELECT body FROM message_contents WHERE message_id = :id"), {"id": message})
    return bytes(rows[0].body) if rows else None


async def read(database: Database, kept: Contents, *messages: str) -> list[str | None]:
    items = await SqlLedger(database, kept, Workers(database)).open_items(TENANT, OWNER, RUN, messages, now())
    return [item.content.text for item in items if isinstance(item.content, Email)]


async def finish(database: Database, message: str, days_ago: float, *, dead: bool = False) -> None:
    """The message ended so long ago, and was made then."""
    at = now() - timedelta(days=days_ago)
    old = ids.since("msg", at) + message[16:]
    names = {"id": message, "old": old, "at": at, "dead": at if dead else None, "status": "failed" if dead else "sent"}
    await database.execute(
        text(
            "UPDATE messages SET id = :old, status = :status, finished_at = :at, created_at = :at, "
            "dead_at = CAST(:dead AS timestamptz) WHERE id = :id"
        ),
        names,
    )
    await database.execute(text("UPDATE message_contents SET message_id = :old WHERE message_id = :id"), names)


async def remaining(database: Database) -> int:
    return int((await database.rows(text("SELECT count(*) AS n FROM message_contents"), {}))[0].n)


async def test_content_of_an_encrypting_tenant_is_unreadable_in_the_database_and_read_by_a_delivery(
    database: Database,
) -> None:
    kept = await encrypting(database)
    message = await take(database, kept)
    body = await stored(database, message)
    assert body is not None
    assert body.startswith(ENCRYPTED)
    assert b"secret" not in body
    assert await read(database, contents(database), message) == ["a secret word"]


async def test_content_from_before_and_after_a_change_are_both_read(database: Database) -> None:
    clear = await take(database, contents(database))
    kept = await encrypting(database)
    sealed = await take(database, kept)
    await kept.set_policy(TENANT, encrypts=False, days=None, actor="test", now=now())
    again = await take(database, kept)
    assert [(await stored(database, one) or b"")[:1] for one in (clear, sealed, again)] == [b"{", ENCRYPTED, b"{"]
    assert await read(database, kept, clear, sealed, again) == ["a secret word"] * 3


async def test_content_moved_to_another_message_does_not_open_and_ends_it_alone(database: Database) -> None:
    kept = await encrypting(database)
    one, other = await take(database, kept), await take(database, kept)
    await database.execute(
        text(
            "UPDATE message_contents SET body = (SELECT body FROM message_contents WHERE message_id = :one) "
            "WHERE message_id = :other"
        ),
        {"one": one, "other": other},
    )
    assert await read(database, kept, other) == []
    (row,) = await database.rows(text("SELECT status, error FROM messages WHERE id = :id"), {"id": other})
    assert row.status == "failed"
    assert "does not open" in row.error
    assert await read(database, kept, one) == ["a secret word"]


async def test_content_without_its_key_waits_and_is_refused_at_accept(database: Database) -> None:
    message = await take(database, await encrypting(database))
    stranger = contents(database, Vault.new_key())
    with pytest.raises(Unavailable, match="key cannot be read"):
        await read(database, stranger, message)
    with pytest.raises(Unavailable, match="key cannot be read"):
        await take(database, stranger)
    assert await read(database, contents(database), message) == ["a secret word"]


async def test_content_key_is_sealed_anew_when_keys_rotate(database: Database) -> None:
    message = await take(database, await encrypting(database))
    newest = Vault.new_key()
    assert await contents(database, f"{newest},{KEY}").reseal() == (1, ())
    assert await read(database, contents(database, newest), message) == ["a secret word"]


async def test_content_whose_time_is_over_is_dropped_and_the_record_stays(database: Database) -> None:
    kept = contents(database)
    old, young, still_open = [await take(database, kept) for _ in range(3)]
    await finish(database, old, DAYS + 1)
    await finish(database, young, DAYS - 1)
    assert await kept.purge_expired(now()) == 1
    assert await remaining(database) == 2
    assert await stored(database, still_open) is not None
    (gone,) = await database.rows(text("SELECT id FROM messages ORDER BY id LIMIT 1"), {})
    view = await Messages(database).view(TENANT, gone.id)
    assert not view.content_kept
    assert view.to == "ada@example.com"
    assert await kept.purge_expired(now()) == 0


async def test_content_of_a_dead_letter_is_kept_longer_and_then_its_retry_is_refused(database: Database) -> None:
    kept = contents(database)
    await finish(database, await take(database, kept), DAYS + 1, dead=True)
    assert await kept.purge_expired(now()) == 0
    assert await kept.purge_expired(now() + timedelta(days=DEAD_LETTER_DAYS)) == 1
    (dead,) = (await Messages(database).dead_letters(TENANT, Narrowed(), cursor=None, limit=10)).items
    with pytest.raises(Conflict, match="content was dropped"):
        await Messages(database).retry(TENANT, dead.id, actor="test", now=now())
    assert dead.error_code != Outcome.UNKNOWN


async def test_content_days_of_the_tenant_come_before_the_default(database: Database) -> None:
    kept = contents(database)
    await finish(database, await take(database, kept), 2)
    assert await kept.purge_expired(now()) == 0
    policy = await kept.set_policy(TENANT, encrypts=False, days=1, actor="test", now=now())
    assert (policy.encrypts, policy.days) == (False, 1)
    assert await kept.purge_expired(now()) == 1
