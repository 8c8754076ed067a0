"""The embedded PostgreSQL: a start from every state that an earlier run may have left."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import psutil
import pytest

from devstack.errors import StackError
from devstack.servers.ports import LOOPBACK, free_port
from devstack.servers.postgres import Postgres, end_leftover_server
from devstack.servers.process import ChildFailed
from devstack.servers.unprivileged import account_for
from tests.support.polling import eventually
from tests.support.processes import line, python

_START = """
import asyncio, sys, time
from pathlib import Path
from devstack.servers.postgres import Postgres
async def main():
    await Postgres(Path(sys.argv[1]), log=Path(sys.argv[1]) / "postgres.log").start()
    print("ready", flush=True)
    time.sleep(60)
asyncio.run(main())
"""

only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as somebody else")


@pytest.fixture(scope="module")
async def cluster(servers_dir: Path) -> Path:
    """The folder of a new server that has never run, to make copies of."""
    first = Postgres(servers_dir / "new", log=servers_dir / "new.log", durable=False)
    await first.start()
    await first.stop()
    return servers_dir / "new"


@pytest.fixture
def used(home: Path, cluster: Path) -> Path:
    """A home whose server has been started before."""
    shutil.copytree(cluster, home / "postgres")
    return home


def server(home: Path, port: int | None = None) -> Postgres:
    return Postgres(home / "postgres", log=home / "postgres.log", port=port)


@asynccontextmanager
async def started(home: Path) -> AsyncIterator[Postgres]:
    postgres = server(home)
    await postgres.start()
    try:
        yield postgres
    finally:
        await postgres.stop()


async def query(postgres: Postgres, statement: str) -> object:
    connection = await asyncpg.connect(postgres.plain_url("postgres"))
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


async def keep_a_row(postgres: Postgres) -> None:
    await query(postgres, "CREATE TABLE kept (word text)")
    await query(postgres, "INSERT INTO kept VALUES ('still here')")


async def kept_row(postgres: Postgres) -> object:
    return await query(postgres, "SELECT word FROM kept")


async def test_server_after_a_clean_stop_starts_without_recovery_with_its_data(used: Path) -> None:
    async with started(used) as postgres:
        await keep_a_row(postgres)
    async with started(used) as postgres:
        assert await kept_row(postgres) == "still here"
        log = (used / "postgres.log").read_text()
    assert "database system was shut down at" in log
    assert "recovery" not in log


async def test_server_listens_on_loopback_with_durable_commits(home: Path) -> None:
    async with started(home) as postgres:
        shown = {name: await query(postgres, f"SHOW {name}") for name in ("fsync", "synchronous_commit", "timezone")}
        assert shown == {"fsync": "on", "synchronous_commit": "on", "timezone": "UTC"}
        assert await query(postgres, "SHOW listen_addresses") == LOOPBACK
        assert await query(postgres, "SHOW server_encoding") == "UTF8"
        assert postgres.url("hermod").startswith("postgresql+asyncpg://hermod:")


async def test_server_asks_for_the_password(used: Path) -> None:
    async with started(used) as postgres:
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(
                host=LOOPBACK, port=postgres.port, user="hermod", password="guess", database="postgres"
            )
    files = [used / "postgres" / "cluster" / name for name in ("password", "data")]
    assert [file.stat().st_mode & 0o777 for file in files] == [0o600, 0o700]


async def test_server_after_a_crash_starts_with_what_was_committed(used: Path) -> None:
    crashed = server(used)
    await crashed.start()
    await keep_a_row(crashed)
    crashed.child.kill()
    await crashed.child.until_exit()
    assert (crashed.data / "postmaster.pid").exists()
    async with started(used) as postgres:
        assert await kept_row(postgres) == "still here"


async def test_server_whose_lock_names_a_process_of_somebody_else_starts(used: Path) -> None:
    async with started(used) as postgres:
        await keep_a_row(postgres)
        lines = (postgres.data / "postmaster.pid").read_text().splitlines()
    (postgres.data / "postmaster.pid").write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")
    async with started(used) as postgres:
        assert await kept_row(postgres) == "still here"


@pytest.mark.parametrize("content", ["", "garbage", "999999999\n"])
async def test_server_whose_lock_is_half_written_starts(used: Path, content: str) -> None:
    async with started(used) as postgres:
        pass
    (postgres.data / "postmaster.pid").write_text(content)
    async with started(used):
        pass


async def test_server_left_behind_is_stopped_and_replaced(used: Path) -> None:
    left_behind = server(used)
    await left_behind.start()
    await keep_a_row(left_behind)
    async with started(used) as postgres:
        assert left_behind.child.exit_code == 0
        assert await kept_row(postgres) == "still here"


async def test_server_of_another_folder_is_left_alone(home: Path) -> None:
    async with started(home / "one") as one:
        crashed = server(home / "two")
        await crashed.start()
        crashed.child.kill()
        await crashed.child.until_exit()
        async with started(home / "two"):
            assert one.child.exit_code is None


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their parent")
async def test_server_when_we_are_killed_stops_cleanly(used: Path) -> None:
    with python("-c", _START, used / "postgres") as parent:
        assert line(parent) == "ready"
        pid = int((used / "postgres/cluster/data/postmaster.pid").read_text().split()[0])
        parent.kill()
    await eventually(lambda: not psutil.pid_exists(pid))
    assert "database system is shut down" in (used / "postgres/postgres.log").read_text()


async def test_cluster_whose_making_was_cut_off_is_made_again(home: Path) -> None:
    with python("-c", _START, home / "postgres") as parent:
        await eventually(lambda: list(home.glob("postgres/cluster.new-*/data/base")))
        parent.kill()
    assert not (home / "postgres" / "cluster").exists()
    async with started(home) as postgres:
        assert await query(postgres, "SELECT 1") == 1
    assert [entry.name for entry in (home / "postgres").glob("cluster*")] == ["cluster"]


async def test_server_whose_port_is_taken_fails_with_its_log(used: Path) -> None:
    failure = pytest.raises(ChildFailed, match=r"(?s)PostgreSQL ended with exit code 1.*could not bind")
    with socket.create_server((LOOPBACK, 0)) as taken, failure:
        await server(used, port=taken.getsockname()[1]).start()


async def test_server_that_loses_its_free_port_takes_another(used: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server((LOOPBACK, 0)) as taken:
        offered = iter([taken.getsockname()[1], free_port()])
        monkeypatch.setattr("devstack.servers.postgres.free_port", lambda: next(offered))
        async with started(used) as postgres:
            assert postgres.port != taken.getsockname()[1]


async def test_server_of_another_version_is_refused(used: Path) -> None:
    async with started(used) as postgres:
        pass
    (postgres.data / "PG_VERSION").write_text("9\n")
    with pytest.raises(StackError, match=r"made by PostgreSQL 9, installed is \d+"):
        await server(used).start()


async def test_database_made_from_a_template_has_its_rows(used: Path) -> None:
    async with started(used) as postgres:
        await keep_a_row(postgres)
        assert await postgres.create_database("copy", template="postgres")
        assert not await postgres.create_database("copy")
        connection = await asyncpg.connect(postgres.plain_url("copy"))
        assert await connection.fetchval("SELECT word FROM kept") == "still here"
        await postgres.drop_database("copy")
        await postgres.drop_database("copy")
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
            await connection.fetchval("SELECT 1")
        connection.terminate()


@only_root
async def test_server_below_closed_folders_gets_a_way_through_and_no_more(home: Path) -> None:
    closed = home / "closed"
    closed.mkdir(mode=0o700)
    async with started(closed) as postgres:
        assert psutil.Process(postgres.child.pid).uids().effective != 0
    assert closed.stat().st_mode & 0o777 == 0o701
    assert home.stat().st_mode & 0o777 == 0o701


@only_root
async def test_server_below_a_folder_of_another_user_runs_as_that_user(home: Path) -> None:
    daemon = pwd.getpwnam("daemon")
    (home / "theirs").mkdir(mode=0o700)
    home.chmod(0o711)
    os.chown(home / "theirs", daemon.pw_uid, daemon.pw_gid)
    async with started(home / "theirs") as postgres:
        assert psutil.Process(postgres.child.pid).uids().effective == daemon.pw_uid
    assert (home / "theirs").stat().st_mode & 0o777 == 0o700


@only_root
def test_account_that_cannot_pass_a_folder_of_a_stranger_is_an_error_with_advice(home: Path) -> None:
    (home / "strange").mkdir(mode=0o700)
    os.chown(home / "strange", 54_321, 54_321)
    with pytest.raises(StackError, match=r"may not pass through .*/strange\..*HERMOD_DATA_DIR.*chmod o\+x"):
        account_for(home / "strange" / "postgres", Path(sys.prefix))


@only_root
async def test_server_whose_data_was_copied_by_root_starts(used: Path) -> None:
    async with started(used) as postgres:
        await keep_a_row(postgres)
    for path in (postgres.data, *postgres.data.rglob("*")):
        os.chown(path, 0, 0)
    async with started(used) as postgres:
        assert await kept_row(postgres) == "still here"


async def test_leftover_that_does_not_stop_is_ended(used: Path) -> None:
    """A stopped (frozen) server cannot answer SIGINT; the next start does not wait for it for ever."""
    left_behind = server(used)
    await left_behind.start()
    os.kill(left_behind.child.pid, signal.SIGSTOP)
    await end_leftover_server(left_behind.data, within=0.3)
    assert await left_behind.child.until_exit() == -signal.SIGKILL
    async with started(used):
        pass


async def test_server_is_frozen_nobody_is_answered_until_the_thaw_and_a_stop_needs_none(used: Path) -> None:
    async with started(used) as postgres:
        connection = await asyncpg.connect(postgres.plain_url("postgres"))
        postgres.child.freeze()
        asked = asyncio.create_task(connection.fetchval("SELECT 1"))
        done, _ = await asyncio.wait([asked], timeout=0.3)
        assert not done
        postgres.child.thaw()
        assert await asked == 1
        pids = [process.pid for process in psutil.Process(postgres.child.pid).children()]
        postgres.child.freeze()
        connection.terminate()
    assert pids
    assert [pid for pid in pids if psutil.pid_exists(pid)] == []
