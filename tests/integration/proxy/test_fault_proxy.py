"""The proxy that makes faults: each is the one it says, seen by a client of PostgreSQL and by one of Temporal."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest
from sqlalchemy import text
from temporalio.api.workflowservice.v1 import GetSystemInfoRequest
from temporalio.client import Client

from devstack.servers.ports import free_port
from hermod.contracts.errors import Unavailable
from hermod.storage.database.engine import Database
from tests.integration.proxy.conftest import BRIEFLY, GONE, add, comes_not, connected, kept
from tests.support.polling import eventually
from tests.support.proxies.fault_proxy import DIRECTIONS, Direction, FaultProxy
from tests.support.proxies.postgres_proxy import PostgresProxy


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
        database_proxy.delay(3 * BRIEFLY, direction)
        asked = asyncio.create_task(connection.fetch("SELECT n FROM generate_series(1, 50000) AS n"))
        await comes_not(asked)
        assert [row["n"] for row in await asked] == list(range(1, 50_001))
        database_proxy.delay(0)
        assert await connection.fetchval("SELECT 1") == 1


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
