"""Two writers of the database in an order that the test decides."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from hermod.storage.database.engine import Database
from tests.support.polling import eventually

_Answer = TypeVar("_Answer")

_BLOCKED: Final = text("""
    SELECT count(*) AS n FROM pg_stat_activity
     WHERE datname = current_database() AND wait_event_type = 'Lock' AND state = 'active'
""")


class _OneTransaction(Database):
    """All its statements run on one connection, in the transaction that this is in."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    @asynccontextmanager
    async def autocommit(self, *, changes: bool = True) -> AsyncIterator[AsyncConnection]:
        yield self._connection

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncConnection]:
        yield self._connection


@asynccontextmanager
async def open_transaction(database: Database) -> AsyncIterator[Database]:
    """A database for a writer who has made their statements and not yet committed: they do when this is left."""
    async with database.begin() as connection:
        yield _OneTransaction(connection)


async def held_up(database: Database, writer: Coroutine[Any, Any, _Answer]) -> asyncio.Task[_Answer]:
    """Start a writer, and return once it waits for a lock of somebody else; a writer that ends at once is an error."""
    task = asyncio.create_task(writer)

    async def waits() -> bool:
        assert not task.done(), "it did not wait for the other one"
        return bool((await database.rows(_BLOCKED, {}))[0].n)

    try:
        await eventually(waits)
    except AssertionError:
        task.cancel()
        raise
    return task
