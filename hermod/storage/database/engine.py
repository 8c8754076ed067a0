"""The one way to the database: an asyncpg engine, and our own error for a server that is away."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Any, Final, TypeVar

import asyncpg
import orjson
from sqlalchemy import URL, BindParameter, DateTime, Row, Text, TextClause, bindparam, event, make_url, text
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DBAPIError, DisconnectionError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.types import TypeEngine

from hermod.contracts.errors import InvalidInput, MaybeStored, Unavailable
from hermod.storage.database.connections import CONNECT_SECONDS, Connector, server_settings
from hermod.telemetry import get_logger

_AWAY: Final = (
    InterfaceError,
    OperationalError,
    PoolTimeout,
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.CannotConnectNowError,
    asyncpg.InsufficientResourcesError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.QueryCanceledError,
    asyncpg.DeadlockDetectedError,
)
_NOT_A_VALUE: Final = (
    asyncpg.CharacterNotInRepertoireError,
    asyncpg.UntranslatableCharacterError,
    asyncpg.DatetimeFieldOverflowError,
    asyncpg.NumericValueOutOfRangeError,
)
"""What PostgreSQL says to a parameter that it cannot take. asyncpg says DataError itself where it cannot write one."""
TIMEOUT: Final = 10.0
"""Seconds that a statement may take."""
_POOL_SECONDS: Final = 10
_AWAY_TEXT: Final = "the database does not answer; nothing was stored"
_MAYBE_DONE: Final = "the database did not answer: it may have been done; look at the record before you repeat the call"
NOT_STORABLE: Final = "has a value that cannot be stored: a NUL character, or a number or time out of range"
MAYBE_STORED: Final = (
    "the database did not answer: it may be stored all the same; only with an idempotency key is it safe to repeat"
)

T = TypeVar("T")

_log = get_logger(__name__)

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
    """A pool of connections. `autocommit` is for single statements, each atomic by itself; `begin` for several.

    No call waits for a silent server for longer than `timeout` a statement, and five seconds for a new connection. A
    statement without an answer ends its connection, and those that were opened before it are replaced before their next
    use: what silenced one of them has silenced the others.

    All of it raises Unavailable; and MaybeStored, which is one, where a change was sent and the answer got lost; and
    InvalidInput for a value that cannot be stored, with nothing stored.
    """

    def __init__(self, database_url: str, *, pool_size: int = 20, timeout: float = TIMEOUT) -> None:
        self._connector = Connector()
        self._engine: AsyncEngine = create_async_engine(
            async_url(database_url),
            pool_size=pool_size,
            max_overflow=0,  # one of those is closed as it comes back, and the next one opened: under load, always
            pool_timeout=_POOL_SECONDS,
            pool_recycle=1800,
            hide_parameters=True,
            json_serializer=lambda value: orjson.dumps(value).decode(),
            json_deserializer=orjson.loads,
            connect_args={
                "async_creator_fn": self._connector.connect,
                "timeout": CONNECT_SECONDS,
                "command_timeout": timeout,
                "server_settings": _SESSION | server_settings(timeout),
            },
        )
        event.listen(self._engine.sync_engine, "checkout", _replace_if_closed)
        event.listen(self._engine.sync_engine, "handle_error", _ends_older_connections)
        self._autocommit = self._engine.execution_options(isolation_level="AUTOCOMMIT")

    @asynccontextmanager
    async def autocommit(self, *, changes: bool = True) -> AsyncIterator[AsyncConnection]:
        """`changes` is False for those who only read: then nothing is in doubt when an answer gets lost."""
        in_doubt = False
        try:
            async with self._autocommit.connect() as connection:
                in_doubt = changes
                yield connection
        except (*_AWAY, DBAPIError) as error:
            _refuse(error)
            raise (MaybeStored(_MAYBE_DONE) if in_doubt else Unavailable(_AWAY_TEXT)) from error

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncConnection]:
        """Until COMMIT is sent it is certain that nothing was stored."""
        in_doubt = False
        try:
            async with self._engine.begin() as connection:
                yield connection
                in_doubt = True
        except (*_AWAY, DBAPIError) as error:
            _refuse(error)
            raise (MaybeStored(_MAYBE_DONE) if in_doubt else Unavailable(_AWAY_TEXT)) from error

    async def idempotent(
        self, work: Callable[[AsyncConnection], Awaitable[T]], *, atomic: bool = False, in_doubt: str = MAYBE_STORED
    ) -> T:
        """What `work` returns, which may run twice: where its answer gets lost, it runs again on another connection.

        So the second run has to find what the first one stored, and to answer for it. It waits for a first one that is
        still under way, as both write the same ids. `atomic` runs it in a transaction. Where there is no second answer,
        MaybeStored is raised with the text `in_doubt`.
        """
        opened = self.begin if atomic else self.autocommit
        try:
            async with opened() as connection:
                return await work(connection)
        except MaybeStored:
            pass
        try:
            async with opened() as connection:
                return await work(connection)
        except Unavailable as error:
            raise MaybeStored(in_doubt) from error

    async def rows(self, statement: TextClause, parameters: Mapping[str, Any]) -> Sequence[Row[Any]]:
        """One statement, atomic by itself, and the rows it returns."""
        async with self.autocommit(changes=_changes(statement.text)) as connection:
            return (await connection.execute(statement, parameters)).all()

    async def execute(self, statement: TextClause, parameters: Mapping[str, Any]) -> int:
        """One statement, atomic by itself; how many rows it touched."""
        async with self.autocommit(changes=_changes(statement.text)) as connection:
            return (await connection.execute(statement, parameters)).rowcount

    async def close(self) -> None:
        await self._engine.dispose()
        await self._connector.aclose()


@lru_cache(maxsize=1_000)
def _changes(statement: str) -> bool:
    return (
        re.search(r"\b(INSERT|UPDATE|DELETE|MERGE|CREATE|DROP|ALTER|TRUNCATE)\b", statement, re.IGNORECASE) is not None
    )


def _replace_if_closed(connection: Any, _record: Any, _proxy: Any) -> None:
    """A connection that the server has closed is replaced as it leaves the pool, at no cost to those that live."""
    if connection.driver_connection.is_closed():
        raise DisconnectionError


def _ends_older_connections(context: ExceptionContext) -> None:
    """Silence, and a server that has become a standby: those that are older are replaced before they are given away."""
    error = context.original_exception
    if isinstance(error, TimeoutError) or isinstance(error.__cause__, asyncpg.ReadOnlySQLTransactionError):
        context.is_disconnect = context.invalidate_pool_on_disconnect = True


def _refuse(error: Exception) -> None:
    """Raise what is no word of a server that is away."""
    if _is_away(error):
        return
    cause = error.orig.__cause__ if isinstance(error, DBAPIError) and error.orig is not None else None
    if isinstance(cause, _NOT_A_VALUE) or type(cause) is asyncpg.DataError:
        _log.warning("value_not_storable", error=type(cause).__name__)
        raise InvalidInput.of("body", NOT_STORABLE) from error
    raise error


def _is_away(error: Exception) -> bool:
    """Whether it says, in any of its spellings, that the server is away."""
    if not isinstance(error, DBAPIError) or isinstance(error, _AWAY):
        return True
    cause = error.orig.__cause__ if error.orig is not None else None
    return error.connection_invalidated or isinstance(cause, _AWAY)
