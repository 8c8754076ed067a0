"""Records that nobody is working on, of one ledger, whatever it holds: how they are found, left alone, and given up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

from sqlalchemy import Row, TextClause

from hermod.storage.engine import Database

Record = TypeVar("Record")


@dataclass(frozen=True, slots=True, kw_only=True)
class Statements:
    """Of one ledger. The first two look across tenants: before `until`, at most `limit`, the oldest first."""

    unstarted: TextClause
    still: TextClause
    touch: TextClause
    bury: TextClause


class StrandedRecords(Generic[Record]):
    """A ledger, as the sweeper sees it."""

    def __init__(self, database: Database, statements: Statements, read: Callable[[Row[Any]], Record]) -> None:
        self._database = database
        self._statements = statements
        self._read = read

    async def unstarted(self, now: datetime, *, older_than: timedelta, limit: int) -> list[Record]:
        """Accepted or staged so long ago, and still without a workflow."""
        return await self._found(self._statements.unstarted, now - older_than, limit)

    async def still(self, now: datetime, *, older_than: timedelta, limit: int) -> list[Record]:
        """Open, due, and untouched for so long that their workflow may be gone."""
        return await self._found(self._statements.still, now - older_than, limit)

    async def touch(self, tenant: str, records: Sequence[str], now: datetime) -> None:
        """Looked at and found well: not to be looked at again for a while."""
        await self._database.execute(self._statements.touch, {"tenant": tenant, "ids": list(records), "now": now})

    async def bury(self, tenant: str, records: Sequence[str], run: str, reason: str, now: datetime) -> None:
        """Their workflow was closed from outside without a word: dead letters, to be retried by whoever closed it."""
        names = {"tenant": tenant, "ids": list(records), "reason": reason, "closed_run": run, "now": now}
        await self._database.execute(self._statements.bury, names)

    async def _found(self, statement: TextClause, until: datetime, limit: int) -> list[Record]:
        rows = await self._database.rows(statement, {"until": until, "limit": limit})
        return [self._read(row) for row in rows]
