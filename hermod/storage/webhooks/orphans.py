"""Finding webhook deliveries that nobody is working on, over all tenants.

Those that keep order are found by their line (`hermod.storage.webhooks.order`), those that wait for an endpoint in
trouble by the endpoint (`hermod.storage.webhooks.waiting`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Row

from hermod.storage.database.engine import Database, sql
from hermod.storage.operations.orphaned_records import (
    AS_READ,
    Orphan,
    OrphanedRecords,
    SharedStatements,
    Statements,
    as_read,
    finding,
    touching,
    transferring,
)
from hermod.storage.operations.workers import Workers
from hermod.storage.webhooks.ledger_statements import END_LOST, UNDER_WAY
from hermod.storage.webhooks.waiting import WITH_WAITER

_TABLE: Final = "webhook_deliveries"
_COLUMNS: Final = "attempt_count, endpoint_id"
_BY_ITSELF: Final = f"order_key IS NULL AND NOT {WITH_WAITER}"

_DEAD_LETTER: Final = sql(f"""
    UPDATE {_TABLE} r SET status = 'failed', error = :reason, finished_at = :now, dead_at = :now, updated_at = :now,
           failed_run = :run, next_attempt_at = NULL, wait_reason = NULL
    {AS_READ} AND r.updated_at < :until
    RETURNING r.id
""")  # noqa: S608 - constants of ours

_STATEMENTS: Final = Statements(
    unstarted=finding(_TABLE, _COLUMNS, among=f"{_BY_ITSELF} AND status = 'pending'", overdue="updated_at < :until"),
    stalled=finding(
        _TABLE,
        _COLUMNS,
        among=f"{_BY_ITSELF} AND status <> 'pending'",
        overdue="(updated_at < :until AND coalesce(next_attempt_at, updated_at) < :until)",
    ),
    touch=touching(_TABLE),
    dead_letter=_DEAD_LETTER,
)
_SHARED: Final = SharedStatements(transfer=transferring(_TABLE), under_way=UNDER_WAY, end_lost=END_LOST)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrphanedDelivery(Orphan):
    endpoint: str


class OrphanedDeliveries(OrphanedRecords[OrphanedDelivery]):
    def __init__(self, database: Database, workers: Workers) -> None:
        super().__init__(database, _STATEMENTS, _orphaned, (_SHARED, workers))


def _orphaned(row: Row[Any]) -> OrphanedDelivery:
    return OrphanedDelivery(**as_read(row), endpoint=row.endpoint_id)
