"""Statements that wait for another one's lock."""

from __future__ import annotations

from typing import Final

from sqlalchemy import text

from hermod.storage.database.engine import Database
from tests.support.polling import eventually

_WAITING: Final = text("""
    SELECT 1 FROM pg_stat_activity
     WHERE datname = current_database() AND wait_event_type = 'Lock' AND backend_type = 'client backend'
""")


async def waits_for_a_lock(database: Database) -> None:
    """Until a statement in this database waits for a lock."""

    async def somebody_waits() -> bool:
        return bool(await database.rows(_WAITING, {}))

    await eventually(somebody_waits)
