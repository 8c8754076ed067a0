"""Finding what nobody is working on: records without a workflow, and open records that have been still for too long.

The only statements that look across tenants; each row carries its tenant from here on.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row

from hermod.contracts.content import Channel
from hermod.storage.engine import Database, sql
from hermod.storage.stranded_records import Statements, StrandedRecords

_COLUMNS: Final = "tenant_id, id, channel, workflow_id, priority, send_at, request_id, status"

_UNSTARTED: Final = sql(f"""
    SELECT {_COLUMNS} FROM messages
     WHERE finished_at IS NULL AND status = 'pending' AND updated_at < :until
     ORDER BY created_at LIMIT CAST(:limit AS int)
""")  # noqa: S608

_STILL: Final = sql(f"""
    SELECT {_COLUMNS} FROM messages
     WHERE finished_at IS NULL AND status <> 'pending' AND updated_at < :until
       AND coalesce(greatest(next_attempt_at, send_at), updated_at) < :until
     ORDER BY created_at LIMIT CAST(:limit AS int)
""")  # noqa: S608

_TOUCH: Final = sql("UPDATE messages SET updated_at = :now WHERE tenant_id = :tenant AND id = ANY(:ids)")

_BURY: Final = sql("""
    WITH moved AS (
      UPDATE messages SET status = 'failed', error = :reason, error_code = 'workflow_closed', finished_at = :now,
             updated_at = :now, failed_run = CAST(:closed_run AS text), dead_at = :now, next_attempt_at = NULL
       WHERE tenant_id = :tenant AND id = ANY(:ids)
         AND status IN ('queued', 'scheduled', 'deferred', 'sending', 'retrying')
      RETURNING id
    )
    INSERT INTO decisions (tenant_id, message_id, at, kind, verdict, reason)
    SELECT :tenant, id, :now, 'sweep', 'failed', :reason FROM moved
""")

_STATEMENTS: Final = Statements(unstarted=_UNSTARTED, still=_STILL, touch=_TOUCH, bury=_BURY)


@dataclass(frozen=True, slots=True)
class StrandedMessage:
    tenant: str
    id: str
    channel: Channel
    workflow_id: str
    priority: int
    send_at: datetime | None
    request_id: str | None


class Stranded(StrandedRecords[StrandedMessage]):
    def __init__(self, database: Database) -> None:
        super().__init__(database, _STATEMENTS, _stranded)


def _stranded(row: Row[Any]) -> StrandedMessage:
    return StrandedMessage(
        tenant=row.tenant_id,
        id=row.id,
        channel=Channel(row.channel),
        workflow_id=row.workflow_id,
        priority=row.priority,
        send_at=row.send_at,
        request_id=row.request_id,
    )
