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
""")

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
            held = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND CAST(objid AS bigint) = :number")
            (row,) = await database.rows(held, {"number": number})
            return bool(row[0])

        await eventually(holds_again, within=10, every=0.1)
    await own.close()
