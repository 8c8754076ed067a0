"""A database that falls silent: a statement has a limit, and what silenced one connection costs the others nothing."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from devstack.servers.ports import free_port
from devstack.servers.postgres import Postgres
from hermod.contracts.errors import MaybeStored, Unavailable
from hermod.storage.database.engine import Database
from tests.support.polling import eventually
from tests.support.proxies.postgres_proxy import PostgresProxy

PID = text("SELECT pg_backend_pid() AS pid")
INSERT = text("INSERT INTO notes VALUES (:id)")
KEEP = text("INSERT INTO notes VALUES (:id) ON CONFLICT DO NOTHING")
LIMIT = 2.0
"""Seconds that a statement may take here: more than any of them does on a busy machine."""


@dataclass(frozen=True)
class Line:
    """A database behind a proxy, and a way to it that never goes silent."""

    database: Database
    proxy: PostgresProxy
    direct: Database

    async def fill(self, connections: int) -> set[int]:
        """Have so many connections in the pool; the pids of their servers."""
        async with AsyncExitStack() as stack:
            opened = [await stack.enter_async_context(self.database.autocommit()) for _ in range(connections)]
            return {(await one.execute(PID)).scalar_one() for one in opened}

    async def pid(self) -> int:
        (row,) = await self.database.rows(PID, {})
        return int(row.pid)

    async def notes(self) -> list[int]:
        return [row.id for row in await self.direct.rows(text("SELECT id FROM notes ORDER BY id"), {})]

    async def is_running(self, pid: int) -> bool:
        names = {"pid": pid}
        asked = text("SELECT 1 FROM pg_stat_activity WHERE pid = :pid AND state = 'active'")
        return bool(await self.direct.rows(asked, names))


@pytest.fixture
async def line(database_url: str, database_proxy: PostgresProxy) -> AsyncIterator[Line]:
    through = database_proxy.through(database_url)
    line = Line(Database(through, timeout=LIMIT), database_proxy, Database(database_url, pool_size=1))
    await line.direct.execute(text("CREATE TABLE notes (id int PRIMARY KEY)"), {})
    yield line
    database_proxy.thaw()
    await line.database.close()
    await line.direct.close()


@pytest.fixture
async def own_server(home: Path) -> AsyncIterator[Postgres]:
    """A server of this test alone, whose port stays."""
    server = Postgres(home / "postgres", log=home / "postgres.log", port=free_port(), durable=False)
    await server.start()
    yield server
    await server.stop()


async def test_connections_fall_silent_one_call_waits_and_the_next_has_a_new_connection(line: Line) -> None:
    old = await line.fill(5)
    assert line.proxy.connections == len(old) == 5
    line.proxy.freeze()
    with pytest.raises(Unavailable):
        await line.pid()
    new = [await line.pid() for _ in range(10)]
    assert not old & set(new)


async def test_calls_wait_on_silent_connections_those_that_come_later_do_not(line: Line) -> None:
    old = await line.fill(3)
    line.proxy.freeze()
    answers = await asyncio.gather(*(line.pid() for _ in range(3)), return_exceptions=True)
    assert [type(one) for one in answers] == [Unavailable] * 3
    again = await asyncio.gather(*(line.pid() for _ in range(10)))
    assert not old & set(again)


async def test_server_is_frozen_calls_are_unavailable_and_go_on_after_the_thaw(line: Line) -> None:
    await line.fill(2)
    line.proxy.freeze(new=True)
    with pytest.raises(Unavailable):
        await line.pid()
    with pytest.raises(Unavailable, match="nothing was stored"):
        await line.database.execute(INSERT, {"id": 1})
    line.proxy.thaw()
    assert await line.pid() > 0
    assert await line.notes() == []


async def test_server_restarts_the_next_call_does_not_notice(own_server: Postgres) -> None:
    database = Database(own_server.url("postgres"))
    async with AsyncExitStack() as stack:
        for _ in range(3):
            await (await stack.enter_async_context(database.autocommit())).execute(PID)
    await own_server.stop()
    with pytest.raises(Unavailable, match="nothing was stored"):
        await database.rows(PID, {})
    await own_server.start()
    assert len(await asyncio.gather(*(database.rows(PID, {}) for _ in range(5)))) == 5
    await database.close()


async def test_statement_is_slow_it_is_unavailable_and_its_connection_stays(line: Line) -> None:
    pid = await line.pid()
    with pytest.raises(Unavailable):
        await line.database.rows(text("SELECT pg_sleep(30)"), {})
    assert await line.pid() == pid


async def test_statement_whose_caller_went_silent_ends_on_the_server(line: Line) -> None:
    pid = await line.pid()
    call = asyncio.create_task(line.database.rows(text("SELECT pg_sleep(30)"), {}))

    async def runs() -> bool:
        return await line.is_running(pid)

    await eventually(runs)
    line.proxy.freeze()

    async def ended() -> bool:
        return not await line.is_running(pid)

    await eventually(ended)
    with pytest.raises(Unavailable):
        await call


async def test_caller_is_cancelled_within_a_statement_nobody_else_has_its_connection(line: Line) -> None:
    pid = await line.pid()
    call = asyncio.create_task(line.database.rows(text("SELECT 1 AS n FROM pg_sleep(30)"), {}))

    async def runs() -> bool:
        return await line.is_running(pid)

    await eventually(runs)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert [(await line.database.rows(text("SELECT 2 AS n"), {}))[0].n for _ in range(3)] == [2, 2, 2]
    assert await line.pid() != pid

    async def ended() -> bool:
        return not await line.is_running(pid)

    await eventually(ended)


async def test_caller_on_a_silent_connection_is_cancelled_others_have_a_new_one(line: Line) -> None:
    old = await line.fill(1)
    line.proxy.freeze()
    call = asyncio.create_task(line.pid())

    async def under_way() -> bool:
        return line.database._engine.pool.checkedout() == 1  # type: ignore[attr-defined]

    await eventually(under_way)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert await line.pid() not in old


async def test_connections_are_silent_closing_the_database_does_not_wait_for_each(line: Line) -> None:
    await line.fill(10)
    line.proxy.freeze()
    closing = asyncio.create_task(line.database.close())
    await eventually(lambda: len(line.database._connector._closings) == 10)
    await closing


async def test_connection_watches_its_peer_and_the_server_does_too(line: Line) -> None:
    async with line.database.autocommit() as connection:
        raw = await connection.get_raw_connection()
        assert raw.driver_connection is not None
        connected = raw.driver_connection._transport.get_extra_info("socket")
        assert connected.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            assert connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 15_000
        shown = [
            (await connection.execute(text(f"SHOW {name}"))).scalar_one()
            for name in ("statement_timeout", "tcp_keepalives_idle", "idle_in_transaction_session_timeout")
        ]
    assert shown == ["1800ms", "15", "1min"]


async def test_connections_are_all_busy_others_are_told_that_nothing_was_stored(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hermod.storage.database.engine._POOL_SECONDS", 0.1)
    database = Database(line.direct._engine.url.render_as_string(hide_password=False), pool_size=2)
    async with database.autocommit(), database.autocommit():
        with pytest.raises(Unavailable, match="nothing was stored") as told:
            await database.execute(INSERT, {"id": 1})
    assert not isinstance(told.value, MaybeStored)
    await database.close()


async def test_answer_to_a_change_is_lost_it_may_be_done(line: Line) -> None:
    lost = line.proxy.cut_after_commit("INSERT INTO notes")
    with pytest.raises(MaybeStored, match="look at the record"):
        await line.database.execute(INSERT, {"id": 1})
    assert lost.matched
    assert await line.notes() == [1]


async def test_answer_to_a_question_is_lost_nothing_is_in_doubt(line: Line) -> None:
    lost = line.proxy.cut_after_commit("SELECT 7")
    with pytest.raises(Unavailable) as told:
        await line.database.rows(text("SELECT 7"), {})
    assert lost.matched
    assert not isinstance(told.value, MaybeStored)


async def test_transaction_loses_its_connection_before_the_commit_nothing_is_stored(line: Line) -> None:
    async def two_notes() -> None:
        async with line.database.begin() as connection:
            await connection.execute(INSERT, {"id": 1})
            line.proxy.freeze()
            await connection.execute(INSERT, {"id": 2})

    with pytest.raises(Unavailable, match="nothing was stored") as told:
        await two_notes()
    assert not isinstance(told.value, MaybeStored)
    assert await line.notes() == []


async def test_answer_to_the_commit_is_lost_it_may_be_done(line: Line) -> None:
    lost = line.proxy.cut_after_commit("COMMIT")

    async def note() -> None:
        async with line.database.begin() as connection:
            await connection.execute(INSERT, {"id": 1})

    with pytest.raises(MaybeStored):
        await note()
    assert lost.matched
    assert await line.notes() == [1]


@pytest.mark.parametrize("atomic", [False, True])
async def test_idempotent_work_loses_its_answer_is_asked_again_on_another_connection(line: Line, atomic: bool) -> None:
    runs: list[int] = []

    async def work(connection: AsyncConnection) -> int:
        runs.append((await connection.execute(PID)).scalar_one())
        return (await connection.execute(KEEP, {"id": 1})).rowcount

    lost = line.proxy.cut_after_commit("COMMIT") if atomic else line.proxy.cut_after_commit("notes")
    assert await line.database.idempotent(work, atomic=atomic) == 0
    assert lost.matched
    assert len(set(runs)) == 2
    assert await line.notes() == [1]


async def test_idempotent_work_loses_its_answer_and_the_database_stays_away_it_may_be_stored(line: Line) -> None:
    async def work(connection: AsyncConnection) -> int:
        return (await connection.execute(KEEP, {"id": 1})).rowcount

    lost = line.proxy.cut_after_commit("notes", and_refuse=True)
    with pytest.raises(MaybeStored, match="only with a key"):
        await line.database.idempotent(work, in_doubt="only with a key")
    assert lost.matched
    assert await line.notes() == [1]


async def test_idempotent_work_is_still_under_way_the_second_run_waits_for_it(line: Line, database_url: str) -> None:
    patient = Database(line.proxy.through(database_url), timeout=20)
    slow = text("WITH kept AS (INSERT INTO notes VALUES (:id) RETURNING id) SELECT pg_sleep(:seconds) FROM kept")
    runs: list[int] = []

    async def work(connection: AsyncConnection) -> int:
        runs.append(1)
        if len(runs) > 1:
            return (await connection.execute(KEEP, {"id": 1})).rowcount
        await connection.execute(slow, {"id": 1, "seconds": 5})
        return 1

    call = asyncio.create_task(patient.idempotent(work))

    async def begun() -> bool:
        asked = text(
            "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND state = 'active' "
            "AND query LIKE '%pg_sleep%' AND pid <> :own"
        )
        (own,) = await line.direct.rows(PID, {})
        return bool(await line.direct.rows(asked, {"own": own.pid}))

    await eventually(begun)
    line.proxy.cut()
    assert await call == 0
    assert len(runs) == 2
    assert await line.notes() == [1]
    await patient.close()


async def test_server_that_became_a_standby_is_away_and_left_for_the_next_one(database_url: str) -> None:
    """It still answers, and takes no change; new connections reach the one that took over."""
    direct, database = Database(database_url), Database(database_url)
    await direct.execute(text("CREATE TABLE kept (id int)"), {})
    (row,) = await direct.rows(text("SELECT current_database() AS name"), {})
    setting = f"ALTER DATABASE {row.name} {{}} default_transaction_read_only"
    keep = text("INSERT INTO kept VALUES (1)")
    await direct.execute(text(setting.format("SET") + " = on"), {})
    async with database.autocommit(), database.autocommit():
        pass
    async with direct.begin() as connection:
        await connection.execute(text("SET LOCAL transaction_read_only = off"))
        await connection.execute(text(setting.format("RESET")))
    with pytest.raises(Unavailable):
        await database.execute(keep, {})
    assert await database.execute(keep, {}) == 1
    await database.close()
    await direct.close()
