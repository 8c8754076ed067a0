"""The connections of a client: kept for the next request to the same place, and never more than so many to one."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from typing import Final

from hermod.outbound.addresses.guard import AddressGuard
from hermod.outbound.addresses.names import Names
from hermod.outbound.addresses.tls import tls_context
from hermod.outbound.http.connecting import Origin, open_connection
from hermod.outbound.http.http1_connection import Answer, Http1Connection
from hermod.outbound.http.timing import Timing

KEEPALIVE: Final = 4.0
"""Seconds an idle connection is kept: less than the 5 s after which small servers close it, because a request that
meets a closing connection has an unknown outcome."""


class _OriginPool:
    """The connections to one origin. `open` counts those that are idle, too, and those that are about to be opened."""

    __slots__ = ("idle", "open", "origin", "waiting")

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self.idle: list[Http1Connection] = []
        """The one that was used last stands last."""
        self.open = 0
        self.waiting: deque[asyncio.Future[Http1Connection | None]] = deque()
        """Each is given a connection, or None: it may open one."""


class ConnectionPool:
    """`limit`: connections to one origin at once; who finds none free waits for one, in the order of arrival."""

    def __init__(
        self,
        guard: AddressGuard,
        *,
        limit: int,
        keepalive: float = KEEPALIVE,
        names: Names | None = None,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self._guard = guard
        self._limit = limit
        self._keepalive = keepalive
        self._names = names
        self._context = context
        self._origins: dict[Origin, _OriginPool] = {}
        self._sweeper: asyncio.TimerHandle | None = None
        self._is_closed = False

    async def exchange(
        self,
        origin: Origin,
        head: bytes,
        body: bytes,
        answer: Answer,
        timing: Timing,
        *,
        fresh: bool = False,
        connect_within: float | None = None,
    ) -> None:
        """Send the request and read its answer into `answer`. `timing` says how far it came.

        `fresh` takes a new connection, which is not kept; `connect_within`: seconds to wait for one and to open it.
        Raises ConnectFailed, and TimeoutError where there was no connection in time; what `Http1Connection.exchange`
        raises. Each call is at most one request on the wire.
        """
        pool = self._origins.get(origin) or self._origins.setdefault(origin, _OriginPool(origin))
        connection = None if fresh else self._kept(pool)
        if connection is None:
            async with asyncio.timeout(connect_within):
                connection = await self._opened(pool, timing, fresh=fresh)
        try:
            timing.address = connection.address
            await connection.exchange(head, body, answer, timing)
        finally:
            self._give_back(pool, connection, keep=not fresh)

    def close(self) -> None:
        """Close what is idle now, and everything else when it is given back."""
        self._is_closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        for pool in self._origins.values():
            while pool.idle:
                pool.idle.pop().close()

    def _kept(self, pool: _OriginPool) -> Http1Connection | None:
        """The connection that was used last, where one is still good; those that are not are forgotten."""
        oldest = asyncio.get_running_loop().time() - self._keepalive
        while pool.idle:
            connection = pool.idle.pop()
            if connection.usable and connection.idle_since > oldest:
                return connection
            connection.close()
            pool.open -= 1
        return None

    async def _opened(self, pool: _OriginPool, timing: Timing, *, fresh: bool) -> Http1Connection:
        """A new connection; or, where its turn has to be waited for, one that has come free."""
        if pool.open < self._limit:
            pool.open += 1
        elif pool.idle:  # for a fresh one: one that is not used makes room
            pool.idle.pop(0).close()
        elif (connection := await self._turn(pool)) is not None:
            if not fresh and connection.usable:
                return connection
            connection.close()
        try:
            context = (self._context or tls_context()) if pool.origin.tls else None
            _, connection = await open_connection(
                pool.origin, Http1Connection, timing, self._guard, context, self._names
            )
        except BaseException:
            self._leave(pool)
            raise
        return connection

    async def _turn(self, pool: _OriginPool) -> Http1Connection | None:
        turn: asyncio.Future[Http1Connection | None] = asyncio.get_running_loop().create_future()
        pool.waiting.append(turn)
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # it was given one in the same moment
                if (connection := turn.result()) is not None:
                    self._give_back(pool, connection, keep=True)
                else:
                    self._leave(pool)
            raise

    def _give_back(self, pool: _OriginPool, connection: Http1Connection, *, keep: bool) -> None:
        if not (keep and connection.usable) or self._is_closed:
            connection.close()
            self._leave(pool)
        elif not self._hand_on(pool, connection):
            connection.idle_since = asyncio.get_running_loop().time()
            pool.idle.append(connection)
            if self._sweeper is None:
                self._sweep_later()

    def _leave(self, pool: _OriginPool) -> None:
        """Whoever waits may open a connection in place of one that is gone."""
        if self._hand_on(pool, None):
            return
        pool.open -= 1
        if not pool.open:
            self._origins.pop(pool.origin, None)

    def _hand_on(self, pool: _OriginPool, connection: Http1Connection | None) -> bool:
        while pool.waiting:
            turn = pool.waiting.popleft()
            if not turn.done():
                turn.set_result(connection)
                return True
        return False

    def _sweep_later(self) -> None:
        self._sweeper = asyncio.get_running_loop().call_later(self._keepalive, self._sweep)

    def _sweep(self) -> None:
        """Close what was not used for long; as long as anything is idle, come again."""
        oldest = asyncio.get_running_loop().time() - self._keepalive
        for pool in list(self._origins.values()):
            while pool.idle and not (pool.idle[0].usable and pool.idle[0].idle_since > oldest):
                pool.idle.pop(0).close()
                self._leave(pool)
        self._sweeper = None
        if any(pool.idle for pool in self._origins.values()):
            self._sweep_later()
