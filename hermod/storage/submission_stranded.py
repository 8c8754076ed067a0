"""Finding submissions that nobody is working on, over all tenants, as `hermod.storage.stranded` does for messages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Row

from hermod.storage.engine import Database, sql

_COLUMNS: Final = "tenant_id, id, workflow_id, request_id"
_UNSTARTED: Final = sql(f"""
    SELECT {_COLUMNS} FROM form_submissions
     WHERE finished_at IS NULL AND status = 'pending' AND updated_at < :until
     ORDER BY created_at LIMIT CAST(:limit AS int)
""")  # noqa: S608 - ours
# One that waits for its payment is left alone until that has expired; a payment that comes wakes it by itself.
_STILL: Final = sql(f"""
    SELECT {_COLUMNS} FROM form_submissions
     WHERE finished_at IS NULL AND status <> 'pending' AND updated_at < :until
       AND (status <> 'awaiting_payment' OR payment_expires_at < :until)
     ORDER BY created_at LIMIT CAST(:limit AS int)
""")  # noqa: S608 - ours
_TOUCH: Final = sql("UPDATE form_submissions SET updated_at = :now WHERE tenant_id = :tenant AND id = ANY(:ids)")
_BURY: Final = sql("""
    UPDATE form_submissions
       SET status = 'failed', error_code = 'workflow_closed', error = :reason, dead_at = :now, finished_at = :now,
           failed_run = CAST(:closed_run AS text), updated_at = :now
     WHERE tenant_id = :tenant AND id = ANY(:ids) AND finished_at IS NULL
""")


@dataclass(frozen=True, slots=True)
class StrandedSubmission:
    tenant: str
    id: str
    workflow_id: str
    request_id: str | None


class StrandedSubmissions:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def unstarted(self, now: datetime, *, older_than: timedelta, limit: int) -> list[StrandedSubmission]:
        """Accepted so long ago, and still without a workflow."""
        rows = await self._database.rows(_UNSTARTED, {"until": now - older_than, "limit": limit})
        return [_stranded(row) for row in rows]

    async def still(self, now: datetime, *, older_than: timedelta, limit: int) -> list[StrandedSubmission]:
        """Open, due, and untouched for so long that their workflow may be gone."""
        rows = await self._database.rows(_STILL, {"until": now - older_than, "limit": limit})
        return [_stranded(row) for row in rows]

    async def touch(self, tenant: str, records: Sequence[str], now: datetime) -> None:
        """Looked at and found well: not to be looked at again for a while."""
        await self._database.execute(_TOUCH, {"tenant": tenant, "ids": list(records), "now": now})

    async def bury(self, tenant: str, records: Sequence[str], run: str, reason: str, now: datetime) -> None:
        """Their workflow was closed from outside without a word: dead letters, to be retried by whoever closed it."""
        names = {"tenant": tenant, "ids": list(records), "reason": reason, "closed_run": run, "now": now}
        await self._database.execute(_BURY, names)


def _stranded(row: Row[Any]) -> StrandedSubmission:
    return StrandedSubmission(tenant=row.tenant_id, id=row.id, workflow_id=row.workflow_id, request_id=row.request_id)
