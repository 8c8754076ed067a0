"""The one way to the database: an asyncpg engine, and our own error for a server that is away."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

import asyncpg
import orjson
from sqlalchemy import URL, BindParameter, DateTime, Row, Text, TextClause, bindparam, event, make_url, text
from sqlalchemy.exc import DBAPIError, DisconnectionError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.types import TypeEngine

from hermod.contracts.errors import Unavailable

_AWAY: Final = (
    InterfaceError,
    OperationalError,
    PoolTimeout,
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
)


_SESSION: Final = {"application_name": "hermod", "plan_cache_mode": "force_custom_plan", "jit": "off"}
"""A plan made once for arrays of any length is a plan for ten rows, and takes seconds for five thousand."""

_TYPED: Final[dict[str, TypeEngine[Any]]] = {
    **{name: Text() for name in ("tenant", "owner", "run", "reason", "id", "actor", "status")},
    **{name: DateTime(timezone=True) for name in ("now", "until")},
}


def sql(statement: str) -> TextClause:
    """A statement whose well-known parameters have a type, so that PostgreSQL need not guess one from the context."""
    clause = text(statement)
    known: list[BindParameter[Any]] = [
        bindparam(name, type_=kind) for name, kind in _TYPED.items() if name in clause.compile().params
    ]
    return clause.bindparams(*known) if known else clause


def async_url(database_url: str) -> URL:
    """`postgres://…` in any of its spellings, as a URL for asyncpg."""
    return make_url(database_url).set(drivername="postgresql+asyncpg")


class Database:
    """A pool of connections. `autocommit` is for single statements, each atomic by itself; `begin` for several."""

    def __init__(self, database_url: str, *, pool_size: int = 10) -> None:
        self._engine: AsyncEngine = create_async_engine(
            async_url(database_url),
            pool_size=pool_size,
            max_overflow=pool_size,
            pool_timeout=10,
            pool_recycle=1800,
            hide_parameters=True,
            json_serializer=lambda value: orjson.dumps(value).decode(),
            json_deserializer=orjson.loads,
            connect_args={"timeout": 5, "server_settings": _SESSION},
        )
        event.listen(self._engine.sync_engine, "checkout", _replace_if_closed)
        self._autocommit = self._engine.execution_options(isolation_level="AUTOCOMMIT")

    @asynccontextmanager
    async def autocommit(self) -> AsyncIterator[AsyncConnection]:
        with away_is_unavailable():
            async with self._autocommit.connect() as connection:
                yield connection

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncConnection]:
        with away_is_unavailable():
            async with self._engine.begin() as connection:
                yield connection

    async def rows(self, statement: TextClause, parameters: Mapping[str, Any]) -> Sequence[Row[Any]]:
        """One statement, atomic by itself, and the rows it returns."""
        async with self.autocommit() as connection:
            return (await connection.execute(statement, parameters)).all()

    async def execute(self, statement: TextClause, parameters: Mapping[str, Any]) -> int:
        """One statement, atomic by itself; how many rows it touched."""
        async with self.autocommit() as connection:
            return (await connection.execute(statement, parameters)).rowcount

    async def close(self) -> None:
        await self._engine.dispose()


@contextmanager
def away_is_unavailable() -> Iterator[None]:
    """Turns "the server is away", in all its spellings, into `Unavailable`; other errors pass."""
    try:
        yield
    except _AWAY as error:
        raise Unavailable("the database does not answer") from error
    except DBAPIError as error:
        if not _is_away(error):
            raise
        raise Unavailable("the database does not answer") from error


def _replace_if_closed(connection: Any, _record: Any, _proxy: Any) -> None:
    """A connection that the server has closed is replaced as it leaves the pool, at no cost to those that live."""
    if connection.driver_connection.is_closed():
        raise DisconnectionError


def _is_away(error: DBAPIError) -> bool:
    cause = error.orig.__cause__ if error.orig is not None else None
    return error.connection_invalidated or isinstance(cause, _AWAY)
