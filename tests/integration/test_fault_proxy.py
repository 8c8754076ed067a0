"""The proxy that makes faults: each is the one it says, seen by asyncpg and by the product's `Database`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import asyncpg
import pytest
from sqlalchemy import text
from temporalio.api.workflowservice.v1 import GetSystemInfoRequest
from temporalio.client import Client

from devstack.ports import free_port
from hermod.contracts.errors import Unavailable
from hermod.storage.engine import Database
from tests.support.fault_proxy import DIRECTIONS, Direction, FaultProxy
from tests.support.polling import eventually
from tests.support.postgres_proxy import PostgresProxy

_Connection = asyncpg.Connection

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
async def connected(database_url: str, proxy: FaultProxy) -> AsyncIterator[_Connection]:
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


async def test_proxy_passes_everything_on_and_counts_it(
    database_url: str, database_proxy: PostgresProxy, direct: Database
) -> None:
    async with connected(database_url, database_proxy) as one, connected(database_url, database_proxy) as other:
        assert await one.fetchval("SELECT 7") == 7
        assert await other.fetchval("SELECT length($1)", "a" * 5_000_000) == 5_000_000
        assert len(await other.fetchval("SELECT repeat('b', 3000000)")) == 3_000_000
        await one.executemany("INSERT INTO kept (number) VALUES ($1)", [(number,) for number in range(1, 1_001)])
        await one.copy_records_to_table("kept", records=[(1_001,)], columns=["number"])
    assert await kept(direct) == list(range(1, 1_002))
    assert database_proxy.connections == 2
    assert database_proxy.passed["to_server"] > 5_000_000
    assert database_proxy.passed["to_client"] > 3_000_000


async def test_proxy_refuses_who_comes_and_lets_go_on_who_is_there(
    database_url: str, database_proxy: PostgresProxy
) -> None:
    async with connected(database_url, database_proxy) as connection:
        database_proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            await asyncpg.connect(database_proxy.through(database_url).replace("+asyncpg", ""))
        assert await connection.fetchval("SELECT 1") == 1
        await database_proxy.accept()
        async with connected(database_url, database_proxy) as another:
            assert await another.fetchval("SELECT 1") == 1


async def test_proxy_cuts_all_connections_are_reset_and_new_ones_work(
    database_url: str, database_proxy: PostgresProxy
) -> None:
    async with connected(database_url, database_proxy) as connection:
        sleeping = asyncio.create_task(connection.fetchval("SELECT pg_sleep(60)"))
        await comes_not(sleeping)
        database_proxy.cut()
        with pytest.raises(GONE):
            await sleeping
    async with connected(database_url, database_proxy) as another:
        assert await another.fetchval("SELECT 1") == 1


async def test_proxy_without_a_server_behind_it_resets() -> None:
    async with FaultProxy(free_port()) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()


async def test_old_connections_are_black_holes_new_ones_work_and_thawed_bytes_go_on(
    database_url: str, database_proxy: PostgresProxy, direct: Database
) -> None:
    async with connected(database_url, database_proxy) as old:
        database_proxy.freeze()
        asked = asyncio.create_task(old.fetchval("INSERT INTO kept VALUES (1) RETURNING number"))
        async with connected(database_url, database_proxy) as new:
            assert await new.fetchval("INSERT INTO kept VALUES (2) RETURNING number") == 2
        await comes_not(asked)
        assert await kept(direct) == [2]
        database_proxy.thaw()
        assert await asked == 1
    assert await kept(direct) == [1, 2]


async def test_answers_are_frozen_statements_arrive_all_the_same(
    database_url: str, database_proxy: PostgresProxy, direct: Database
) -> None:
    async with connected(database_url, database_proxy) as connection:
        database_proxy.freeze("to_client")
        asked = asyncio.create_task(connection.execute("INSERT INTO kept VALUES (1)"))

        async def arrived() -> bool:
            return await kept(direct) == [1]

        await eventually(arrived)
        await comes_not(asked)
        database_proxy.thaw("to_client")
        assert await asked == "INSERT 0 1"


async def test_requests_are_frozen_answers_under_way_come(database_url: str, database_proxy: PostgresProxy) -> None:
    async with connected(database_url, database_proxy) as connection:
        heard: asyncio.Queue[str] = asyncio.Queue()
        await connection.add_listener("news", lambda *said: heard.put_nowait(said[3]))
        database_proxy.freeze("to_server")
        asked = asyncio.create_task(connection.fetchval("SELECT 1"))
        async with connected(database_url, database_proxy) as other:
            await other.execute("NOTIFY news, 'it'")
        assert await heard.get() == "it"
        await comes_not(asked)
        database_proxy.thaw()
        assert await asked == 1


async def test_new_connections_are_frozen_too_nobody_gets_in_until_the_thaw(
    database_url: str, database_proxy: PostgresProxy
) -> None:
    database_proxy.freeze(new=True)
    coming = asyncio.create_task(asyncpg.connect(database_proxy.through(database_url).replace("+asyncpg", "")))
    await comes_not(coming)
    database_proxy.thaw()
    connection = await coming
    assert await connection.fetchval("SELECT 1") == 1
    await connection.close()


async def test_frozen_connection_is_cut_what_was_kept_never_arrives(
    database: Database, direct: Database, database_proxy: PostgresProxy
) -> None:
    database_proxy.freeze()
    asked = asyncio.create_task(add(database, 1))
    await comes_not(asked)
    database_proxy.cut()
    with pytest.raises(Unavailable):
        await asked
    database_proxy.thaw()
    assert await add(database, 2) == 1
    assert await kept(direct) == [2]


async def test_frozen_connection_whose_client_goes_away_stays_open_at_the_server(
    database_url: str, database_proxy: PostgresProxy, direct: Database
) -> None:
    async with connected(database_url, database_proxy) as connection:
        pid = await connection.fetchval("SELECT pg_backend_pid()")
        database_proxy.freeze()

    async def is_closed() -> bool:
        return not await direct.rows(text("SELECT 1 FROM pg_stat_activity WHERE pid = :pid"), {"pid": pid})

    closing = asyncio.create_task(eventually(is_closed))
    await comes_not(closing)
    database_proxy.thaw()
    assert await closing


@pytest.mark.parametrize("direction", DIRECTIONS)
async def test_direction_is_delayed_answers_come_later_and_in_order(
    database_url: str, database_proxy: PostgresProxy, direction: Direction
) -> None:
    async with connected(database_url, database_proxy) as connection:
        database_proxy.delay(BRIEFLY, direction)
        begun = time.monotonic()
        rows = await connection.fetch("SELECT n FROM generate_series(1, 50000) AS n")
        assert [row["n"] for row in rows] == list(range(1, 50_001))
        assert time.monotonic() - begun >= BRIEFLY
        database_proxy.delay(0)
        assert await connection.fetchval("SELECT 1") == 1


async def test_statement_is_cut_before_it_never_reaches_the_server(
    database: Database, database_proxy: PostgresProxy, direct: Database
) -> None:
    rule = database_proxy.cut_before("INSERT INTO kept (number) SELECT", times=2)
    for number in (1, 2):
        with pytest.raises(Unavailable):
            await add(database, number)
    matched = await rule.fired()
    assert matched.startswith("WITH fresh AS (SELECT CAST($1")
    assert len(rule.matched) == 2
    assert await add(database, 3) == 1
    assert await kept(direct) == [3]


async def test_statement_is_cut_after_it_is_committed_and_its_answer_lost(
    database: Database, database_proxy: PostgresProxy, direct: Database
) -> None:
    rule = database_proxy.cut_after_commit("AS number) INSERT INTO kept (number)")
    with pytest.raises(Unavailable):
        await add(database, 1)
    await rule.fired()
    assert await kept(direct) == [1]
    assert await add(database, 2) == 1
    assert await kept(direct) == [1, 2]


async def test_statement_in_a_transaction_is_cut_after_its_commit(
    database: Database, database_proxy: PostgresProxy, direct: Database
) -> None:
    rule = database_proxy.cut_after_commit("INSERT INTO kept")
    with pytest.raises(Unavailable):
        await add_in_a_transaction(database, 1, 2)
    assert "INSERT INTO kept" in await rule.fired()
    assert await kept(direct) == [1, 2]


async def test_commit_is_cut_before_nothing_is_there_and_after_everything(
    database: Database, database_proxy: PostgresProxy, direct: Database
) -> None:
    before = database_proxy.cut_before("COMMIT")
    with pytest.raises(Unavailable):
        await add_in_a_transaction(database, 1)
    assert await before.fired() == "COMMIT;"
    assert await kept(direct) == []
    after = database_proxy.cut_after_commit("COMMIT")
    with pytest.raises(Unavailable):
        await add_in_a_transaction(database, 2)
    assert await after.fired() == "COMMIT;"
    assert await kept(direct) == [2]


async def test_statement_that_is_not_committed_does_not_use_the_rule_up(
    database: Database, database_proxy: PostgresProxy, direct: Database
) -> None:
    await direct.execute(text("ALTER TABLE kept ADD CHECK (number < 100)"), {})
    rule = database_proxy.cut_after_commit("INSERT INTO kept")
    async with database.begin() as connection:
        await connection.execute(INSERT, {"number": 1})
        await connection.rollback()
    with pytest.raises(Exception, match="kept_number_check"):
        await add(database, 100)
    with pytest.raises(Exception, match="kept_number_check"):
        await add_in_a_transaction(database, 2, 101)
    assert rule.matched == []
    with pytest.raises(Unavailable):
        await add(database, 3)
    await rule.fired()
    assert await kept(direct) == [3]


def simple(connection: _Connection) -> Awaitable[object]:
    return connection.execute("INSERT INTO kept VALUES (1)")


def of_many(connection: _Connection) -> Awaitable[object]:
    return connection.executemany("INSERT INTO kept VALUES ($1)", [(1,), (2,)])


async def prepared(connection: _Connection) -> None:
    statement = await connection.prepare("INSERT INTO kept VALUES ($1)")
    await connection.execute("DISCARD TEMP")
    await statement.fetch(1)


async def by_cursor(connection: _Connection) -> None:
    async with connection.transaction():
        cursor = await connection.cursor("INSERT INTO kept VALUES ($1) RETURNING number", 1)
        await cursor.fetch(5)


@pytest.mark.parametrize("execute", [simple, of_many, prepared, by_cursor])
async def test_statement_of_asyncpg_is_known_by_its_sql_however_it_is_executed(
    database_url: str,
    database_proxy: PostgresProxy,
    direct: Database,
    execute: Callable[[_Connection], Awaitable[object]],
) -> None:
    async with connected(database_url, database_proxy) as connection:
        rule = database_proxy.cut_after_commit("INSERT INTO kept VALUES")
        with pytest.raises(GONE):
            await execute(connection)
        await rule.fired()
    assert await kept(direct) == ([1, 2] if execute is of_many else [1])


async def test_statement_of_another_table_is_not_taken_for_one_whose_name_begins_alike(
    database: Database, database_proxy: PostgresProxy, direct: Database
) -> None:
    rule = database_proxy.cut_before("INSERT INTO kep")
    assert await add(database, 1) == 1
    assert rule.matched == []


async def test_answer_is_held_it_comes_when_released_and_others_are_not_held(
    database: Database, database_proxy: PostgresProxy, direct: Database
) -> None:
    rule = database_proxy.hold_answer("INSERT INTO kept")
    asked = asyncio.create_task(add(database, 1))
    await rule.fired()
    assert await kept(direct) == [1]
    assert await add(database, 2) == 1
    await comes_not(asked)
    rule.release()
    assert await asked == 1


async def test_answer_is_dropped_the_connection_stays_open_and_says_nothing(
    database: Database, database_proxy: PostgresProxy, direct: Database
) -> None:
    rule = database_proxy.drop_answer("INSERT INTO kept")
    asked = asyncio.create_task(add(database, 1))
    await rule.fired()
    assert await kept(direct) == [1]
    await comes_not(asked)
    assert await add(database, 2) == 1
    database_proxy.cut()
    with pytest.raises(Unavailable):
        await asked


async def test_rule_whose_statement_never_comes_says_so(database_proxy: PostgresProxy) -> None:
    rule = database_proxy.cut_before("INSERT INTO nothing")
    with pytest.raises(AssertionError, match="0 of 1 for 'INSERT INTO nothing'"):
        await rule.fired(within=0.05)


async def test_call_is_cancelled_its_cancel_request_gets_through(
    database_url: str, database_proxy: PostgresProxy
) -> None:
    async with connected(database_url, database_proxy) as connection:
        with pytest.raises(TimeoutError):
            await connection.fetchval("SELECT pg_sleep(60)", timeout=BRIEFLY)
        assert await connection.fetchval("SELECT 1") == 1
    assert database_proxy.connections == 2


@pytest.mark.usefixtures("quiet_exit")
async def test_temporal_behind_the_proxy_is_frozen_and_thawed(temporal_proxy: FaultProxy) -> None:
    client = await Client.connect(temporal_proxy.address)
    temporal_proxy.freeze(new=True)
    asked = asyncio.create_task(client.workflow_service.get_system_info(GetSystemInfoRequest()))
    await comes_not(asked)
    temporal_proxy.thaw()
    assert (await asked).server_version
