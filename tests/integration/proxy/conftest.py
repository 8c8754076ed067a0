"""A table to write to by way of the proxy, and to look at by the straight way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest
from sqlalchemy import text

from hermod.storage.database.engine import Database
from tests.support.proxies.fault_proxy import FaultProxy
from tests.support.proxies.postgres_proxy import PostgresProxy

Connection = asyncpg.Connection

INSERT = text(
    "WITH fresh AS (SELECT CAST(:number AS int) AS number)\n    INSERT INTO kept (number) SELECT number FROM fresh"
)
COUNT = text("SELECT count(*) AS n FROM kept")
GONE = (ConnectionError, asyncpg.ConnectionDoesNotExistError)
"""What a client of asyncpg reads where its connection was cut."""
BRIEFLY = 0.3
"""Seconds in which something that does not come would have come."""


@pytest.fixture
async def direct(database_url: str) -> AsyncIterator[Database]:
    """The database by the straight way, with an empty table `kept`."""
    database = Database(database_url)
    await database.execute(text("CREATE TABLE kept (number int)"), {})
    yield database
    await database.close()


@pytest.fixture
async def database(direct: Database, database_url: str, database_proxy: PostgresProxy) -> AsyncIterator[Database]:
    """The same by way of the proxy, with one connection that has prepared what the tests execute."""
    database = Database(database_proxy.through(database_url))
    await database.execute(INSERT, {"number": 0})
    await database.rows(COUNT, {})
    yield database
    database_proxy.cut()
    await database.close()


@asynccontextmanager
async def connected(database_url: str, proxy: FaultProxy) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(proxy.through(database_url).replace("+asyncpg", ""))
    try:
        yield connection
    finally:
        connection.terminate()


async def kept(direct: Database) -> list[int]:
    rows = await direct.rows(text("SELECT number FROM kept WHERE number > 0 ORDER BY number"), {})
    return [row.number for row in rows]


async def add(database: Database, number: int) -> int:
    return await database.execute(INSERT, {"number": number})


async def add_in_a_transaction(database: Database, *numbers: int) -> None:
    async with database.begin() as connection:
        for number in numbers:
            await connection.execute(INSERT, {"number": number})


async def comes_not(call: asyncio.Task[object]) -> None:
    done, _ = await asyncio.wait([call], timeout=BRIEFLY)
    assert not done
