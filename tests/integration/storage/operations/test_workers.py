"""Worker sessions on real PostgreSQL: who is there, who is gone, and who only lost a connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from hermod.bootstrap import open_storage
from hermod.contracts.errors import Unavailable
from hermod.storage.database.engine import Database
from hermod.storage.operations import workers as module
from hermod.storage.operations.workers import LOCK_CLASS, Workers
from tests.support.polling import eventually
from tests.support.processes import line, python
from tests.support.product import settings_for

_CUT = text("""
    SELECT pg_terminate_backend(pid) FROM pg_locks
     WHERE locktype = 'advisory' AND CAST(classid AS bigint) = :class AND CAST(objid AS bigint) = :number
       AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
""")
_HELD = text("""
    SELECT count(*) FROM pg_locks
     WHERE locktype = 'advisory' AND CAST(classid AS bigint) = :class AND CAST(objid AS bigint) = :number
       AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
""")
_AWAY = text(
    "INSERT INTO workers (host, pid, started_at, seen_at) VALUES ('h', 1, now(), now() - interval '1 hour') "
    "RETURNING number"
)

_HOLDER = text("""
    SELECT pid FROM pg_locks
     WHERE locktype = 'advisory' AND CAST(classid AS bigint) = :class AND CAST(objid AS bigint) = :number
       AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
""")
_TAKEN = text("UPDATE workers SET host = 'h', pid = 1, started_at = now(), seen_at = now() WHERE number = :number")
_BACK = text(
    "INSERT INTO workers (number, host, pid, started_at, seen_at) OVERRIDING SYSTEM VALUE "
    "VALUES (:number, 'h', 1, now(), now())"
)
_HELD_UP = text("""
    CREATE FUNCTION held_up() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END $$
""")
_SEEN = text("UPDATE workers SET seen_at = clock_timestamp() - CAST(:ago AS interval) WHERE number = :number")

_PROCESS = """
import asyncio, sys
from hermod.storage.database.engine import Database
from hermod.storage.operations.workers import Workers

async def main():
    async with Workers(Database(sys.argv[1])).session() as number:
        print(number, flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = Database(database_url)
    yield opened
    await opened.close()


class Said:
    """What is logged, in place of the logger."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []

    def warning(self, event: str, **fields: Any) -> None:
        self.lines.append({"event": event, **fields})

    def about(self, event: str, error: str) -> bool:
        return any(line["event"] == event and line.get("error") == error for line in self.lines)


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> Said:
    said = Said()
    monkeypatch.setattr(module, "_log", said)
    return said


async def full(database: Database, when: str) -> None:
    """From now on there is no room for such a change of `workers`."""
    await database.execute(_HELD_UP, {})
    trigger = f"CREATE TRIGGER full_up BEFORE {when} ON workers FOR EACH ROW EXECUTE FUNCTION held_up()"
    await database.execute(text(trigger), {})


async def room(database: Database) -> None:
    await database.execute(text("DROP TRIGGER full_up ON workers"), {})


async def cut(database: Database, number: int) -> None:
    await database.rows(_CUT, {"class": LOCK_CLASS, "number": number})


async def is_held(database: Database, number: int) -> bool:
    (row,) = await database.rows(_HELD, {"class": LOCK_CLASS, "number": number})
    return bool(row[0])


async def gone(workers: Workers, number: int) -> bool:
    return number not in await workers.living({number})


async def test_worker_is_there_while_its_session_lasts_and_gone_afterwards(database: Database) -> None:
    others = Workers(database)
    async with Workers(database).session() as number:
        assert await others.living({number, None, number + 1_000}) == {number}
    assert await gone(others, number)


async def test_worker_that_never_noted_itself_is_not_there(database: Database) -> None:
    assert await Workers(database).living({None}) == set()


async def test_worker_is_killed_it_is_gone_some_seconds_later(database: Database, database_url: str) -> None:
    others = Workers(database)
    with python("-c", _PROCESS, database_url) as process:
        number = int(await asyncio.to_thread(line, process))
        assert not await gone(others, number)
        process.kill()
        await asyncio.to_thread(process.wait)
        await database.execute(_SEEN, {"number": number, "ago": timedelta(minutes=-1)})
        assert not await gone(others, number), "it may only have lost a connection"
        await database.execute(_SEEN, {"number": number, "ago": timedelta(0)})

        async def is_missed() -> bool:
            return await gone(others, number)

        await eventually(is_missed, every=0.2)


async def test_worker_loses_its_connection_it_is_never_taken_for_gone(database: Database, database_url: str) -> None:
    own, others, missed = Database(database_url), Workers(database), 0
    async with Workers(own).session() as number:
        (cut,) = await database.rows(_CUT, {"class": LOCK_CLASS, "number": number})
        assert cut[0]

        async def holds_again() -> bool:
            nonlocal missed
            missed += await gone(others, number)
            (row,) = await database.rows(_HELD, {"class": LOCK_CLASS, "number": number})
            return bool(row[0])

        await eventually(holds_again, within=10, every=0.1)
    assert not missed
    await own.close()


async def test_worker_that_lost_its_own_lock_takes_nobody_for_gone_for_a_while(
    database: Database, database_url: str
) -> None:
    """Others have lost theirs with it, where a server was away: it may only be the first one that is back."""
    own = Database(database_url)
    (away,) = await database.rows(_AWAY, {})
    workers = Workers(own)
    async with workers.session() as number:

        async def away_is_missed() -> bool:
            return await workers.living({number, away.number}) == {number}

        await eventually(away_is_missed, every=0.1)
        await database.rows(_CUT, {"class": LOCK_CLASS, "number": number})

        async def is_careful() -> bool:
            return await workers.living({number, away.number}) == {number, away.number}

        await eventually(is_careful, within=10, every=0.1)

        async def holds_again() -> bool:
            (row,) = await database.rows(_HELD, {"class": LOCK_CLASS, "number": number})
            return bool(row[0])

        await eventually(holds_again, within=10, every=0.1)
        assert await is_careful()
    await own.close()


async def test_worker_never_takes_itself_for_gone(database: Database) -> None:
    workers = Workers(database)
    async with workers.session() as number:
        await database.execute(text("DELETE FROM workers"), {})
        assert await workers.living({number}) == {number}


async def test_server_was_read_only_for_a_while_the_worker_holds_its_lock_afterwards(
    database: Database, database_url: str, said: Said
) -> None:
    """As after a failover, where the server that was demoted still answers."""
    name = (await database.rows(text("SELECT current_database() AS name"), {}))[0].name
    await database.rows(text("SELECT 1"), {})
    own = Database(database_url)
    async with Workers(own).session() as number:
        await database.execute(text(f"ALTER DATABASE {name} SET default_transaction_read_only = on"), {})
        await cut(database, number)
        await eventually(lambda: said.about("worker_session_lost", "ReadOnlySQLTransactionError"))
        await database.execute(text(f"ALTER DATABASE {name} RESET default_transaction_read_only"), {})
        await cut(database, number)
        await eventually(lambda: is_held(database, number))
        await cut(database, number)
        await eventually(lambda: is_held(database, number))
    await own.close()


async def test_disk_is_full_while_a_worker_begins_it_begins_once_there_is_room(database: Database, said: Said) -> None:
    began = asyncio.Event()

    async def begin() -> None:
        async with Workers(database).session():
            began.set()

    await full(database, "UPDATE")
    beginning = asyncio.create_task(begin())
    await eventually(lambda: said.about("worker_session_lost", "DiskFullError"))
    assert not began.is_set()
    await room(database)
    await eventually(began.is_set)
    await beginning


async def test_disk_is_full_as_a_worker_leaves_it_leaves_all_the_same(database: Database, said: Said) -> None:
    async with Workers(database).session() as number:
        await full(database, "DELETE")
    assert said.about("worker_session_not_closed", "DiskFullError")
    assert not await is_held(database, number), "nobody waits for it"


async def test_row_of_a_worker_is_lost_it_is_there_again_under_its_own_number(database: Database) -> None:
    """As after a standby has taken over that had not seen it."""
    workers, others = Workers(database), Workers(database)
    async with workers.session() as number:
        await database.execute(text("DELETE FROM workers"), {})

        async def is_there() -> bool:
            return not await gone(others, number)

        await eventually(is_there)
        assert workers.number == number
    assert await gone(others, number)


async def test_row_and_number_of_a_worker_are_lost_it_takes_another_number(database: Database) -> None:
    """The standby that took over has given the number to another worker."""
    workers, others = Workers(database), Workers(database)
    async with workers.session() as number:
        await database.execute(_TAKEN, {"number": number})

        async def has_another() -> bool:
            return workers.number not in (None, number)

        await eventually(has_another)
        own = workers.number
        assert own is not None

        async def is_held_by_its_row() -> bool:
            return await is_held(database, own) and not await is_held(database, number)

        await eventually(is_held_by_its_row)
        assert await others.living({number, own}) == {number, own}
    assert await others.living({number, own}) == {number}, "the other one stays"


async def test_number_that_comes_next_is_taken_a_worker_takes_the_one_after_it(database: Database) -> None:
    """The standby that took over gives out a number again, whose worker has put its row back."""
    async with Workers(database).session() as number:
        await database.execute(_BACK, {"number": number + 1})
        async with Workers(database).session() as next_one:
            assert next_one == number + 2


async def test_dispatches_have_all_connections_a_worker_that_lost_its_own_has_another(
    database: Database, database_url: str
) -> None:
    settings = settings_for(database_url, "127.0.0.1:1").model_copy(update={"database_pool": 2})
    async with open_storage(settings) as storage, storage.workers.session() as number:
        done = asyncio.Event()

        async def dispatch() -> None:
            with suppress(Unavailable):
                async with storage.database.autocommit() as connection:
                    await connection.execute(text("SELECT 1"))
                    await done.wait()

        dispatches = [asyncio.create_task(dispatch()) for _ in range(4)]
        (before,) = await database.rows(_HOLDER, {"class": LOCK_CLASS, "number": number})
        await cut(database, number)

        async def has_another() -> bool:
            rows = await database.rows(_HOLDER, {"class": LOCK_CLASS, "number": number})
            return bool(rows) and rows[0].pid != before.pid

        await eventually(has_another)
        done.set()
        await asyncio.gather(*dispatches)
