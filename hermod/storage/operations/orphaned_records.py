"""Records that nobody may be working on, of one ledger, whatever it holds: how they are found, left alone, given to
another workflow, and given up.

Finding them is the only thing that looks across tenants; each record carries its tenant from there on. It chooses
workflows, and then reads all that is open of each: a part of a workflow would be started as if it were the whole. Every
step after that names the owner, the state and the attempt that were read. What has moved meanwhile is left as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Generic, TypeVar

from sqlalchemy import Row, TextClause

from hermod.storage.database.engine import Database, sql
from hermod.storage.database.readable import listed
from hermod.storage.operations.workers import Workers, lost_requests

_SENDING: Final = "sending"


@dataclass(frozen=True, slots=True, kw_only=True)
class Orphan:
    """An open record, as it was read."""

    tenant: str
    id: str
    workflow_id: str
    request_id: str | None
    status: str
    attempts: int
    """Requests made for it."""
    updated_at: datetime
    overdue: bool
    """It has itself waited too long; else it is read since another one of its workflow has."""


Record = TypeVar("Record", bound=Orphan)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """How much is looked at in one go. Workflows are taken whole, so that the last one may exceed the records."""

    workflows: int
    records: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Statements:
    """Of one ledger."""

    unstarted: TextClause
    stalled: TextClause
    touch: TextClause
    dead_letter: TextClause
    """Of records without a request under way. It answers the ids."""

    @classmethod
    def of(cls, table: str, columns: str, *, due: str, dead_letter: str, among: str = "") -> Statements:
        """`due`: of an open record, whether something should have been done about it by `:until`. `columns` are read
        beside those of an `Orphan`, and `attempt_count`; `among` leaves out what is found in another way.
        """
        others = f"{among} AND " if among else ""
        return cls(
            unstarted=finding(table, columns, among=f"{others}status = 'pending'", overdue="updated_at < :until"),
            stalled=finding(
                table, columns, among=f"{others}status <> 'pending'", overdue=f"(updated_at < :until AND {due})"
            ),
            touch=touching(table),
            dead_letter=sql(dead_letter),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedStatements:
    """Of a ledger whose records share workflows, and make requests that a lost worker may leave behind."""

    transfer: TextClause
    """Make `:to` the owner. It answers the ids."""
    under_way: TextClause
    end_lost: TextClause
    """Ends as `:otherwise` what has no state for an outcome that is not known."""


def finding(table: str, columns: str, *, among: str, overdue: str) -> TextClause:
    """All records `among` those of the workflows that have one which is `overdue`; the oldest workflows first.

    The IN stands in a CASE, so that it is looked up in a hash whatever the planner expects (as in
    `hermod.storage.notifications.ledger_statements`), and where no workflow is chosen, the second look is not taken.
    Both are led by the index of what has not finished: 200,000 open messages take 50 ms where none is overdue, and 100
    to 200 ms where half of them are.
    """
    return sql(f"""
    WITH waiting AS (
      SELECT workflow_id, min(created_at) AS since, count(*) AS records
        FROM {table} WHERE finished_at IS NULL AND {among} AND {overdue} GROUP BY workflow_id
    ), chosen AS (
      SELECT workflow_id FROM (
        SELECT workflow_id, row_number() OVER line AS place, sum(records) OVER line - records AS before
          FROM waiting WINDOW line AS (ORDER BY since, workflow_id ROWS UNBOUNDED PRECEDING)
      ) AS counted
       WHERE place <= CAST(:workflows AS int) AND before < CAST(:records AS int)
    )
    SELECT tenant_id, id, workflow_id, request_id, status, updated_at, coalesce({overdue}, false) AS overdue, {columns}
      FROM {table}
     WHERE EXISTS (SELECT 1 FROM chosen) AND finished_at IS NULL
       AND CASE WHEN {among} THEN workflow_id IN (SELECT workflow_id FROM chosen) END
     ORDER BY created_at
    """)  # noqa: S608 - constants of the ledgers' modules


def touching(table: str) -> TextClause:
    return sql(f"""
    UPDATE {table} SET updated_at = greatest(updated_at, :now)
     WHERE tenant_id = :tenant AND id = ANY(:ids) AND workflow_id = :owner AND finished_at IS NULL
    """)  # noqa: S608


AS_READ: Final = """
      FROM unnest(CAST(:ids AS text[]), CAST(:numbers AS int[]), CAST(:states AS text[])) AS i(own, number, state)
     WHERE r.tenant_id = :tenant AND r.id = ANY(:ids) AND r.id = i.own
       AND CASE WHEN r.workflow_id = :owner AND r.attempt_count = i.number THEN r.status = i.state END
"""
"""The rest of an UPDATE of records (`r`), as long as they are as they were read."""


def transferring(table: str) -> TextClause:
    return sql(f"UPDATE {table} r SET workflow_id = CAST(:to AS text) {AS_READ} RETURNING r.id")  # noqa: S608


def dead_lettering(table: str, also: str = "") -> str:
    """The records as they were read, untouched since `:until`, are dead letters. `also`: of what else the row has."""
    return f"""
    UPDATE {table} r SET status = 'failed', error = :reason, finished_at = :now, dead_at = :now, updated_at = :now,
           failed_run = :run, next_attempt_at = NULL, wait_reason = NULL{also}
    {AS_READ} AND r.updated_at < :until
    RETURNING r.id
    """  # noqa: S608


def as_read(row: Row[Any]) -> dict[str, Any]:
    """The fields of an `Orphan`."""
    return {
        "tenant": row.tenant_id,
        "id": row.id,
        "workflow_id": row.workflow_id,
        "request_id": row.request_id,
        "status": row.status,
        "attempts": row.attempt_count,
        "updated_at": row.updated_at,
        "overdue": row.overdue,
    }


class OrphanedRecords(Generic[Record]):
    """A ledger, as the sweeper sees it. The records of one call have the same owner. Raises Unavailable."""

    def __init__(
        self,
        database: Database,
        statements: Statements,
        read: Callable[[Row[Any]], Record],
        shared: tuple[SharedStatements, Workers] | None = None,
    ) -> None:
        self._database = database
        self._statements = statements
        self._read = read
        self._shared = shared

    async def unstarted(self, now: datetime, *, older_than: timedelta, limit: Limit) -> list[Record]:
        """Accepted or staged so long ago, and still without a workflow: all pending records of each workflow."""
        return await self._found(self._statements.unstarted, now - older_than, limit)

    async def stalled(self, now: datetime, *, older_than: timedelta, limit: Limit) -> list[Record]:
        """Due and untouched for so long that their workflow may be gone, with what else of it is open and started."""
        return await self._found(self._statements.stalled, now - older_than, limit)

    async def touch(self, records: Sequence[Record], now: datetime) -> None:
        """Looked at and found well: not to be looked at again for a while."""
        if records:
            await self._database.execute(self._statements.touch, _names(records) | {"now": now})

    async def transfer(self, records: Sequence[Record], to: str, now: datetime) -> set[str]:
        """Give the records to another workflow; the ids of those that are its own now. A request under way of a worker
        that lives keeps its record where it is.
        """
        if self._shared is None or not records:
            return set()
        resting, lost = _at_rest(records), await self._lost(records, now)
        names = _names([*resting, *lost]) | {"owner": records[0].workflow_id, "tenant": records[0].tenant, "to": to}
        return {row.id for row in await self._database.rows(self._shared[0].transfer, names)}

    async def dead_letter(
        self, records: Sequence[Record], run: str, reason: str, now: datetime, *, untouched_since: datetime
    ) -> int:
        """Their workflow (`run`) was closed from outside: dead letters, to be retried by whoever closed it. How many.

        Of a request that a lost worker has left behind nobody knows what became; it says so in its attempt. One of a
        worker that lives comes to its end, and is found later.
        """
        resting, names, ended = _at_rest(records), {"run": run, "reason": reason, "now": now}, 0
        if resting:
            rest = _names(resting) | names | {"until": untouched_since}
            ended += len(await self._database.rows(self._statements.dead_letter, rest))
        if self._shared is not None and (lost := await self._lost(records, now)):
            ending = _names(lost) | names | {"otherwise": "failed"}
            ended += len(await self._database.rows(self._shared[0].end_lost, ending))
        return ended

    async def _lost(self, records: Sequence[Record], now: datetime) -> list[Record]:
        """Those whose request is under way, and will be recorded by nobody."""
        asked = [record for record in records if record.status == _SENDING]
        if self._shared is None or not asked:
            return []
        statements, workers = self._shared
        rows = await self._database.rows(statements.under_way, _names(asked) | {"now": now})
        lost = {row.id: row.number for row in await lost_requests(workers, rows)}
        return [record for record in asked if lost.get(record.id) == record.attempts]

    async def _found(self, statement: TextClause, until: datetime, limit: Limit) -> list[Record]:
        names = {"until": until, "workflows": limit.workflows, "records": limit.records}
        return list(listed("orphan", await self._database.rows(statement, names), self._read))


def _at_rest(records: Sequence[Record]) -> list[Record]:
    return [record for record in records if record.status != _SENDING]


def _names(records: Sequence[Record]) -> dict[str, Any]:
    names: dict[str, Any] = {
        "ids": [record.id for record in records],
        "numbers": [record.attempts for record in records],
        "states": [record.status for record in records],
    }
    if records:
        names |= {"tenant": records[0].tenant, "owner": records[0].workflow_id}
    return names
