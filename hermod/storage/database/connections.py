"""Connections to PostgreSQL that do not wait for a peer that has gone silent, and whose times are all aware.

asyncpg gives `infinity` as a time without zone, writes 9999-12-31T23:59:59.999999Z as `infinity`, and fails a whole
statement for a year beyond 9999. Here every `timestamptz` is a time in UTC: what lies beyond Python's calendar is its
first or last moment.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import asyncpg

CONNECT_SECONDS: Final = 5.0
CLOSE_SECONDS: Final = 2.0
KEEPALIVE_IDLE: Final = 15
KEEPALIVE_INTERVAL: Final = 5
KEEPALIVE_COUNT: Final = 3
UNACKNOWLEDGED_SECONDS: Final = 15
"""What was sent and not acknowledged for so long ends the connection (TCP_USER_TIMEOUT)."""
IDLE_TRANSACTION_SECONDS: Final = 60
"""A client that went silent within a transaction holds its locks for so long."""
SERVER_SHARE: Final = 0.9
"""Of a statement's limit: the server gives up first, so that a statement that is merely slow costs no connection."""

_CLIENT_OPTIONS: Final = (
    ("TCP_KEEPIDLE", KEEPALIVE_IDLE),
    ("TCP_KEEPINTVL", KEEPALIVE_INTERVAL),
    ("TCP_KEEPCNT", KEEPALIVE_COUNT),
    ("TCP_USER_TIMEOUT", UNACKNOWLEDGED_SECONDS * 1000),
)


_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
"""PostgreSQL counts microseconds from here."""
_MICROSECOND: Final = timedelta(microseconds=1)
_FIRST: Final = datetime.min.replace(tzinfo=UTC)
_LAST: Final = datetime.max.replace(tzinfo=UTC)


def server_settings(limit: float) -> dict[str, str]:
    """How long the server bears with a statement and a silent client. `limit`: of a statement, in seconds."""
    return {
        "statement_timeout": str(round(limit * SERVER_SHARE * 1000)),
        "idle_in_transaction_session_timeout": str(IDLE_TRANSACTION_SECONDS * 1000),
        "tcp_keepalives_idle": str(KEEPALIVE_IDLE),
        "tcp_keepalives_interval": str(KEEPALIVE_INTERVAL),
        "tcp_keepalives_count": str(KEEPALIVE_COUNT),
        "tcp_user_timeout": str(UNACKNOWLEDGED_SECONDS * 1000),
    }


class Connection(asyncpg.Connection):
    """Has the kernel watch its peer, and is closed in the background: a silent server would take seconds to part."""

    closings: set[asyncio.Task[None]] | None = None
    """Where closings under way are kept."""

    def __init__(self, protocol: Any, transport: asyncio.Transport, *more: Any) -> None:
        super().__init__(protocol, transport, *more)
        _watch(transport.get_extra_info("socket"))

    async def close(self, *, timeout: float | None = None) -> None:
        if self.closings is None:
            await super().close(timeout=timeout)
        elif not self.is_closed():
            closing = asyncio.create_task(self._close(timeout or CLOSE_SECONDS))
            self.closings.add(closing)
            closing.add_done_callback(self.closings.discard)

    async def _close(self, timeout: float) -> None:
        with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            await super().close(timeout=timeout)


class Connector:
    """Opens connections, and waits for the end of those that are being closed."""

    def __init__(self) -> None:
        self._closings: set[asyncio.Task[None]] = set()

    async def connect(self, *args: Any, **options: Any) -> Connection:
        connection: Connection = await asyncpg.connect(*args, connection_class=Connection, **options)
        connection.closings = self._closings
        await connection.set_type_codec(
            "timestamptz", schema="pg_catalog", encoder=_microseconds, decoder=_moment, format="tuple"
        )
        return connection

    async def aclose(self) -> None:
        """Takes CLOSE_SECONDS at the most."""
        if self._closings:
            await asyncio.wait(self._closings)


def _microseconds(at: datetime) -> tuple[int]:
    """Raises TypeError for a time without zone: it would mean another moment on another machine."""
    return ((at - _EPOCH) // _MICROSECOND,)


def _moment(stored: tuple[int]) -> datetime:
    try:
        return _EPOCH + timedelta(microseconds=stored[0])
    except OverflowError:
        return _LAST if stored[0] > 0 else _FIRST


def _watch(connected: socket.socket) -> None:
    """Have the kernel notice a peer that is gone. A system that lacks an option goes by its own defaults."""
    if connected.family not in (socket.AF_INET, socket.AF_INET6):
        return
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _CLIENT_OPTIONS:
        if (option := getattr(socket, name, None)) is not None:
            connected.setsockopt(socket.IPPROTO_TCP, option, value)
