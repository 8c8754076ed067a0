"""A TCP proxy between a process and a server that makes the connections fail as networks do, while they are open.

    async with FaultProxy.before(temporal.address) as proxy:
        ... connect to proxy.through(temporal.address) ...
        proxy.freeze()              # the connections that there are become black holes, new ones work
        proxy.thaw()                # the bytes that were kept go on
        proxy.delay(0.2, "to_client")
        proxy.cut()                 # every connection is reset
        proxy.shut()                # reset, and nobody can connect
        await proxy.accept()

`tests.support.proxies.postgres_proxy` knows statements on top of that.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import suppress
from types import TracebackType
from typing import Final, Literal, Self
from urllib.parse import SplitResult, urlsplit

from devstack.servers.ports import LOOPBACK

Direction = Literal["to_server", "to_client"]
DIRECTIONS: Final[tuple[Direction, Direction]] = ("to_server", "to_client")

_CHUNK: Final = 65_536
_CHUNKS_UNDER_WAY: Final = 64
"""In one direction; a sender that is further ahead has to wait, as for a full TCP window."""


class Severed(Exception):
    """Raised by an inspector: the connection is to be reset, and what was given to the inspector is lost."""


class Inspector:
    """Sees what one connection carries, in whole or in part, and yields what is passed on. This one passes all."""

    async def to_server(self, data: bytes) -> AsyncIterator[bytes]:
        yield data

    async def to_client(self, data: bytes) -> AsyncIterator[bytes]:
        yield data

    def closed(self) -> None:
        """The connection has ended."""


class FaultProxy:
    """Listens on a port of its own, which it keeps, and passes everything on to `port` on 127.0.0.1.

    Leaving the context cuts what is left, and raises what an inspector failed with.
    """

    def __init__(self, port: int) -> None:
        self.target = port
        self.port = 0
        """Known once it listens."""
        self.connections = 0
        """That were accepted, ever."""
        self.passed: dict[Direction, int] = dict.fromkeys(DIRECTIONS, 0)
        """Bytes that were passed on."""
        self.delays: dict[Direction, float] = dict.fromkeys(DIRECTIONS, 0.0)
        self._server: asyncio.Server | None = None
        self._open: set[_Connection] = set()
        self._frozen_when_new: set[Direction] = set()
        self._failures: list[Exception] = []

    @classmethod
    def before(cls, address: str) -> Self:
        """A proxy for the server at `host:port` or at a URL."""
        port = _parts(address).port
        if port is None:
            raise ValueError("the address has no port")
        return cls(port)

    def through(self, address: str) -> str:
        """The same `host:port` or URL, by way of this proxy."""
        place = _parts(address).netloc
        user, at, _ = place.rpartition("@")
        return address.replace(place, f"{user}{at}{self.address}", 1)

    @property
    def address(self) -> str:
        """`127.0.0.1:port`."""
        return f"{LOOPBACK}:{self.port}"

    async def __aenter__(self) -> Self:
        await self.accept()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        ending = [connection.task for connection in self._open]
        self.shut()
        await asyncio.gather(*ending, return_exceptions=True)
        if self._failures:
            raise ExceptionGroup("the proxy failed", self._failures)

    async def accept(self) -> None:
        """Take new connections, which a started proxy does anyhow."""
        if self._server is None:
            self._server = await asyncio.start_server(self._accepted, LOOPBACK, self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    def refuse(self) -> None:
        """Nobody can connect any more; connections that there are go on."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def cut(self) -> None:
        """Reset every connection, on both sides. What was under way is lost."""
        for connection in self._open:
            connection.cut()

    def shut(self) -> None:
        """The server is away: `refuse` and `cut`."""
        self.refuse()
        self.cut()

    def freeze(self, *directions: Direction, new: bool = False) -> None:
        """Pass nothing on in these directions (none named: both), not even the end of a connection, and keep it.

        `new`: connections that come later are frozen, too; else they work.
        """
        for direction in directions or DIRECTIONS:
            for connection in self._open:
                connection.moving[direction].clear()
            if new:
                self._frozen_when_new.add(direction)

    def thaw(self, *directions: Direction) -> None:
        """Pass on again in these directions (none named: both), first what was kept."""
        for direction in directions or DIRECTIONS:
            for connection in self._open:
                connection.moving[direction].set()
            self._frozen_when_new.discard(direction)

    def delay(self, seconds: float, *directions: Direction) -> None:
        """What comes from now on arrives so much later in these directions (none named: both), in its order."""
        for direction in directions or DIRECTIONS:
            self.delays[direction] = seconds

    def inspector(self) -> Inspector:
        """For one new connection."""
        return Inspector()

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._server is None:
            _reset(writer)  # it was on its way when we began to refuse
            return
        self.connections += 1
        connection = _Connection(self, reader, writer)
        for direction in DIRECTIONS:
            if direction not in self._frozen_when_new:
                connection.moving[direction].set()
        self._open.add(connection)
        connection.task.add_done_callback(lambda task: self._ended(connection, task))

    def _ended(self, connection: _Connection, task: asyncio.Task[None]) -> None:
        self._open.discard(connection)
        if not task.cancelled() and isinstance(failure := task.exception(), Exception):
            self._failures.append(failure)


class _Connection:
    """One connection of a client and the one to the server that belongs to it."""

    def __init__(self, proxy: FaultProxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.moving: dict[Direction, asyncio.Event] = {direction: asyncio.Event() for direction in DIRECTIONS}
        """Set where it is not frozen."""
        self._proxy = proxy
        self._inspector = proxy.inspector()
        self._writers = [writer]
        self.task = asyncio.create_task(self._run(reader, writer))

    def cut(self) -> None:
        for writer in self._writers:
            _reset(writer)
        self.task.cancel()

    async def _run(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            server_reader, server_writer = await asyncio.open_connection(LOOPBACK, self._proxy.target)
            self._writers.append(server_writer)
            ways = [
                asyncio.create_task(self._carry("to_server", reader, server_writer)),
                asyncio.create_task(self._carry("to_client", server_reader, writer)),
            ]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                endings = await asyncio.gather(*ways, return_exceptions=True)
            for ending in endings:
                if isinstance(ending, Exception):
                    raise ending
        except (Severed, OSError):
            for one in self._writers:
                _reset(one)
        finally:
            self._inspector.closed()
            for one in self._writers:
                one.close()

    async def _carry(self, direction: Direction, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Until the sender has ended the connection and all that it sent is passed on."""
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_CHUNKS_UNDER_WAY)
        inspect = self._inspector.to_server if direction == "to_server" else self._inspector.to_client
        clock = asyncio.get_running_loop().time
        receiving = asyncio.create_task(self._receive(direction, reader, under_way))
        try:
            while True:
                due, data = await under_way.get()
                await asyncio.sleep(max(0.0, due - clock()))
                if not data:
                    await self._until_moving(direction)
                    return
                async for part in inspect(data):
                    await self._until_moving(direction)
                    writer.write(part)
                    self._proxy.passed[direction] += len(part)
                    await writer.drain()
        finally:
            receiving.cancel()

    async def _receive(
        self, direction: Direction, reader: asyncio.StreamReader, under_way: asyncio.Queue[tuple[float, bytes]]
    ) -> None:
        clock = asyncio.get_running_loop().time
        data = None
        while data != b"":
            try:
                data = await reader.read(_CHUNK)
            except OSError:
                data = b""  # a sender that resets the connection has ended it, too
            await under_way.put((clock() + self._proxy.delays[direction], data))

    async def _until_moving(self, direction: Direction) -> None:
        while not self.moving[direction].is_set():  # it may be frozen again before a waiter gets its turn
            await self.moving[direction].wait()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close at once, so that the other side reads "connection reset" and not an orderly end."""
    with suppress(OSError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def _parts(address: str) -> SplitResult:
    return urlsplit(address if "//" in address else f"//{address}")
