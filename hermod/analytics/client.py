"""ClickHouse for the event loop: the synchronous client, in a few threads, with limits on how long anything takes.

The same statements go to a server over HTTP and to chDB inside this process. Clients are opened when they are first
needed, so a process that asks nothing of ClickHouse does not pay for it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final, TypeVar

from hermod.analytics import faults
from hermod.analytics.places import Folder, FolderLock, Nowhere, Server
from hermod.contracts.errors import Unavailable

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client
    from urllib3 import PoolManager

WRITERS: Final = 4
READERS: Final = 4

T = TypeVar("T")
Settings = Mapping[str, str | int]


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How many seconds things may take."""

    connect: int = 5
    answer: int = 60
    """Until a server says something. A thread that waits for one that hangs is free again then."""
    write: float = 90.0
    """An insert or a change of the schema as a whole, with the wait for a thread."""
    read: float = 10.0
    ping: float = 2.0
    close: float = 1.0


class ClickHouse:
    """One database. Every call raises Unavailable where ClickHouse is away, busy for too long, or set up wrongly."""

    def __init__(self, place: Server | Folder | Nowhere, database: str, patience: Timeouts | None = None) -> None:
        self.place = Folder(place.path.absolute()) if isinstance(place, Folder) else place
        self.database = database
        self._patience = patience or Timeouts()
        self._idle: list[Client] = []
        self._opening = threading.Lock()
        self._lock: FolderLock | None = None
        self._connections: PoolManager | None = None
        self._closed = False
        self._writers = ThreadPoolExecutor(WRITERS, "clickhouse-write")
        self._readers = ThreadPoolExecutor(READERS, "clickhouse-read")
        self._pings = ThreadPoolExecutor(1, "clickhouse-ping")

    async def command(self, statement: str, parameters: Mapping[str, Any] | None = None) -> None:
        """A change of the schema, or an INSERT of few values. Tables are in our database unless they say otherwise."""
        await self._write(lambda client: client.command(statement, dict(parameters or {})))

    async def outside(self, statement: str, parameters: Mapping[str, Any] | None = None) -> Any:
        """A statement that does not need our database to exist; gives its one value."""
        return await self._write(lambda client: client.command(statement, dict(parameters or {}), use_database=False))

    async def rows(
        self,
        query: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        settings: Settings | None = None,
        within: float | None = None,
    ) -> list[dict[str, Any]]:
        """The answer to a query, by the names of its columns; times are in UTC and aware.

        `parameters` are for `{name:Type}` in the query, which ClickHouse itself puts in their place.
        """
        seconds = within or self._patience.read

        def ask(client: Client) -> list[dict[str, Any]]:
            limits = {"max_execution_time": max(1, round(seconds)), **(settings or {})}
            return list(client.query(query, dict(parameters or {}), settings=limits).named_results())

        return await self._in(self._readers, seconds, lambda: self._with_client(ask))

    async def insert(self, table: str, lines: bytes, settings: Settings) -> None:
        """Rows as JSON lines. Raises Refused where they cannot be read; none of them is added then."""
        await self._write(
            lambda client: client.raw_insert(table, insert_block=lines, fmt="JSONEachRow", settings=dict(settings))
        )

    async def ping(self) -> str:
        """Which ClickHouse it is. An embedded engine is not started for that."""
        if isinstance(self.place, Nowhere):
            raise Unavailable(self.place.advice)
        if isinstance(self.place, Server):
            work = partial(self._version, self.place)
            return f"ClickHouse {await self._in(self._pings, self._patience.ping + 0.5, work)}"
        if self._lock is not None:
            return "chDB, in this process"
        if find_spec("chdb") is None:
            raise Unavailable("CLICKHOUSE_URL is not set, and chDB is not installed; set it to a server's address")
        FolderLock(self.place.path).look()
        return "chDB, not opened yet"

    async def aclose(self) -> None:
        """Wait a moment for what is under way, and let go of connections and the folder."""
        self._closed = True
        pools = (self._writers, self._readers, self._pings)
        for pool in pools:
            pool.shutdown(wait=False, cancel_futures=True)
        try:
            async with asyncio.timeout(self._patience.close):
                await asyncio.to_thread(_join, pools)
                await asyncio.to_thread(self._let_go)
        except TimeoutError:
            return

    def _let_go(self) -> None:
        while self._idle:
            self._idle.pop().close()
        if self._connections is not None:
            self._connections.clear()
        if self._lock is not None:
            self._lock.give_back()
            self._lock = None

    async def _write(self, work: Callable[[Client], T]) -> T:
        return await self._in(self._writers, self._patience.write, lambda: self._with_client(work))

    async def _in(self, pool: ThreadPoolExecutor, within: float, work: Callable[[], T]) -> T:
        if self._closed:
            raise Unavailable("the connection to ClickHouse is closed")
        if isinstance(self.place, Nowhere):
            raise Unavailable(self.place.advice)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(within):
                return await loop.run_in_executor(pool, self._translated, work)
        except TimeoutError:
            raise Unavailable(f"ClickHouse at {self.place} did not answer within {within:g} s") from None

    def _translated(self, work: Callable[[], T]) -> T:
        """In a thread."""
        from hermod.analytics.connecting import FAILURES

        try:
            return work()
        except FAILURES as error:
            raise faults.translated(error, str(self.place)) from None

    def _with_client(self, work: Callable[[Client], T]) -> T:
        """A client is used by one thread at a time; afterwards the next one may have it."""
        try:
            client = self._idle.pop()
        except IndexError:
            client = self._open()
        try:
            return work(client)
        finally:
            self._idle.append(client)

    def _open(self) -> Client:
        from hermod.analytics import connecting

        if isinstance(self.place, Server):
            client = connecting.to_server(
                self.place, self._pool(), connect=self._patience.connect, answer=self._patience.answer
            )
        elif isinstance(self.place, Nowhere):
            raise Unavailable(self.place.advice)
        else:
            with self._opening:
                if self._lock is None:
                    lock = FolderLock(self.place.path)
                    lock.take()
                    self._lock = lock
                client = connecting.to_folder(self.place)
        client.database = self.database
        return client

    def _version(self, server: Server) -> str:
        """Without a client: opening one asks a server that may hang for more than this."""
        from hermod.analytics import connecting

        return connecting.version(server, self._pool(), within=self._patience.ping)

    def _pool(self) -> PoolManager:
        from hermod.analytics import connecting

        with self._opening:
            if self._connections is None:
                self._connections = connecting.connections(WRITERS + READERS + 1)
            return self._connections


def _join(pools: tuple[ThreadPoolExecutor, ...]) -> None:
    for pool in pools:
        pool.shutdown(wait=True)
