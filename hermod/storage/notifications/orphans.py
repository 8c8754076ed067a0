"""Finding messages that nobody is working on, over all tenants."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row

from hermod.contracts.notifications.content import Channel
from hermod.storage.database.engine import Database, sql
from hermod.storage.notifications.ledger_statements import END_LOST, UNDER_WAY
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

_COLUMNS: Final = "attempt_count, channel, priority, send_at"

_DEAD_LETTER: Final = sql(f"""
    WITH moved AS (
      UPDATE messages r SET status = 'failed', error = :reason, error_code = 'workflow_closed', finished_at = :now,
             updated_at = :now, failed_run = :run, dead_at = :now, next_attempt_at = NULL, wait_reason = NULL
      {AS_READ} AND r.updated_at < :until
      RETURNING r.id
    ), decided AS (
      INSERT INTO decisions (tenant_id, message_id, at, kind, verdict, reason)
      SELECT :tenant, id, :now, 'sweep', 'failed', :reason FROM moved
    )
    SELECT id FROM moved
""")  # noqa: S608 - constants of ours

_STATEMENTS: Final = Statements(
    unstarted=finding("messages", _COLUMNS, among="status = 'pending'", overdue="updated_at < :until"),
    stalled=finding(
        "messages",
        _COLUMNS,
        among="status <> 'pending'",
        overdue=("(updated_at < :until AND coalesce(greatest(next_attempt_at, send_at), updated_at) < :until)"),
    ),
    touch=touching("messages"),
    dead_letter=_DEAD_LETTER,
)
_SHARED: Final = SharedStatements(transfer=transferring("messages"), under_way=UNDER_WAY, end_lost=END_LOST)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrphanedMessage(Orphan):
    channel: Channel
    priority: int
    send_at: datetime | None


class OrphanedMessages(OrphanedRecords[OrphanedMessage]):
    def __init__(self, database: Database, workers: Workers) -> None:
        super().__init__(database, _STATEMENTS, _orphaned, (_SHARED, workers))


def _orphaned(row: Row[Any]) -> OrphanedMessage:
    return OrphanedMessage(**as_read(row), channel=Channel(row.channel), priority=row.priority, send_at=row.send_at)
