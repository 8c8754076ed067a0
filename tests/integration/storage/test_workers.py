"""Worker sessions on real PostgreSQL: who is there, who is gone, and who only lost a connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text

from hermod.storage.engine import Database
from hermod.storage.workers import LOCK_CLASS, Workers
from tests.support.polling import eventually
from tests.support.processes import line, python

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

_PROCESS = """
import asyncio, sys
from hermod.storage.engine import Database
from hermod.storage.workers import Workers

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
        assert not await gone(others, number), "it may only have lost a connection"

        async def is_missed() -> bool:
            return await gone(others, number)

        await eventually(is_missed, within=15, every=0.2)


async def test_worker_loses_its_connection_it_is_never_taken_for_gone(database: Database, database_url: str) -> None:
    own, others = Database(database_url), Workers(database)
    async with Workers(own).session() as number:
        (cut,) = await database.rows(_CUT, {"class": LOCK_CLASS, "number": number})
        assert cut[0]

        async def holds_again() -> bool:
            assert not await gone(others, number)
            (row,) = await database.rows(_HELD, {"class": LOCK_CLASS, "number": number})
            return bool(row[0])

        await eventually(holds_again, within=10, every=0.1)
    await own.close()


async def test_worker_that_lost_its_own_lock_takes_nobody_for_gone_for_a_while(
    database: Database, database_url: str
) -> None:
    """Others have lost theirs with it, where a server was away: it may only be the first one that is back."""
    own = Database(database_url)
    (away,) = await database.rows(_AWAY, {})
    workers = Workers(own)
    async with workers.session() as number:
        assert await workers.living({number, away.number}) == {number}
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
