"""Lets one process at a time do something that PostgreSQL itself does not guard."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from hermod.storage.database.engine import Database, sql

_LOCK: Final = sql("""
    SELECT pg_advisory_xact_lock(hashtextextended(:id, 0)),
           set_config('idle_in_transaction_session_timeout', '0', true)
""")


@asynccontextmanager
async def alone(database: Database, name: str) -> AsyncIterator[None]:
    """Holds the advisory lock of this name; whoever comes second waits. It goes with the connection, however we end.

    Whoever has it may take its time; who waits for it has as long as a statement may take. Raises Unavailable.
    """
    async with database.begin() as connection:
        await connection.execute(_LOCK, {"id": name})
        yield
