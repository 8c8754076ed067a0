"""The proxy that loses a connection or an answer at a chosen statement of asyncpg's or of the product's `Database`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from sqlalchemy import text

from hermod.contracts.errors import Unavailable
from hermod.storage.database.engine import Database
from tests.integration.proxy.conftest import (
    GONE,
    INSERT,
    Connection,
    add,
    add_in_a_transaction,
    comes_not,
    connected,
    kept,
)
from tests.support.polling import eventually
from tests.support.proxies.postgres_proxy import PostgresProxy


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


def simple(connection: Connection) -> Awaitable[object]:
    return connection.execute("INSERT INTO kept VALUES (1)")


def of_many(connection: Connection) -> Awaitable[object]:
    return connection.executemany("INSERT INTO kept VALUES ($1)", [(1,), (2,)])


async def prepared(connection: Connection) -> None:
    statement = await connection.prepare("INSERT INTO kept VALUES ($1)")
    await connection.execute("DISCARD TEMP")
    await statement.fetch(1)


async def by_cursor(connection: Connection) -> None:
    async with connection.transaction():
        cursor = await connection.cursor("INSERT INTO kept VALUES ($1) RETURNING number", 1)
        await cursor.fetch(5)


@pytest.mark.parametrize("execute", [simple, of_many, prepared, by_cursor])
async def test_statement_of_asyncpg_is_known_by_its_sql_however_it_is_executed(
    database_url: str,
    database_proxy: PostgresProxy,
    direct: Database,
    execute: Callable[[Connection], Awaitable[object]],
) -> None:
    async with connected(database_url, database_proxy) as connection:
        rule = database_proxy.cut_after_commit("INSERT INTO kept VALUES")
        with pytest.raises(GONE):
            await execute(connection)
        await rule.fired()
    assert await kept(direct) == ([1, 2] if execute is of_many else [1])


async def test_statement_of_another_table_is_not_taken_for_one_whose_name_begins_alike(
    database: Database, database_proxy: PostgresProxy
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


async def test_client_goes_away_before_the_commit_the_rule_takes_the_next_one(
    database_url: str, database: Database, database_proxy: PostgresProxy, direct: Database
) -> None:
    rule = database_proxy.cut_after_commit("INSERT INTO kept")
    async with connected(database_url, database_proxy) as connection:
        await connection.execute("BEGIN")
        await connection.execute("INSERT INTO kept VALUES (1)")
        assert await add(database, 2) == 1
    assert rule.matched == []

    async def is_cut() -> bool:
        try:
            await add(database, 3)
        except Unavailable:
            return True
        return False

    await eventually(is_cut)
    await rule.fired()
    assert 1 not in await kept(direct)


async def test_statement_is_cut_and_nobody_can_connect_until_the_proxy_accepts_again(
    database: Database, database_proxy: PostgresProxy, direct: Database
) -> None:
    database_proxy.cut_after_commit("INSERT INTO kept", and_refuse=True)
    for number in (1, 2):
        with pytest.raises(Unavailable):
            await add(database, number)
    assert await kept(direct) == [1]
    await database_proxy.accept()
    assert await add(database, 3) == 1
