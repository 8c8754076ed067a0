"""Finding messages that nobody is working on, over all tenants."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row

from hermod.contracts.notifications.content import Channel
from hermod.storage.database.engine import Database
from hermod.storage.notifications.ledger_statements import END_LOST, UNDER_WAY
from hermod.storage.operations.orphaned_records import (
    Orphan,
    OrphanedRecords,
    SharedStatements,
    Statements,
    as_read,
    dead_lettering,
    transferring,
)
from hermod.storage.operations.workers import Workers

_DEAD_LETTER: Final = f"""
    WITH moved AS ({dead_lettering("messages", ", error_code = 'workflow_closed'")}), decided AS (
      INSERT INTO decisions (tenant_id, message_id, at, kind, verdict, reason)
      SELECT :tenant, id, :now, 'sweep', 'failed', :reason FROM moved
    )
    SELECT id FROM moved
"""  # noqa: S608 - constants of ours

_STATEMENTS: Final = Statements.of(
    "messages",
    "attempt_count, channel, priority, send_at",
    due="coalesce(greatest(next_attempt_at, send_at), updated_at) < :until",
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
