"""Finding deliveries that nobody is working on, over all tenants, as `hermod.storage.stranded` does for messages.

Those that keep order are found by their line (`hermod.storage.webhook_order`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Row

from hermod.storage.engine import Database, sql

_COLUMNS: Final = "tenant_id, id, endpoint_id, workflow_id, request_id"

_UNSTARTED: Final = sql(f"""
    SELECT {_COLUMNS} FROM webhook_deliveries
     WHERE finished_at IS NULL AND order_key IS NULL AND status = 'pending' AND updated_at < :until
     ORDER BY created_at LIMIT CAST(:limit AS int)
""")  # noqa: S608

_STILL: Final = sql(f"""
    SELECT {_COLUMNS} FROM webhook_deliveries
     WHERE finished_at IS NULL AND order_key IS NULL AND status <> 'pending' AND updated_at < :until
       AND coalesce(next_attempt_at, updated_at) < :until
     ORDER BY created_at LIMIT CAST(:limit AS int)
""")  # noqa: S608

_TOUCH: Final = sql("UPDATE webhook_deliveries SET updated_at = :now WHERE tenant_id = :tenant AND id = ANY(:ids)")

_BURY: Final = sql("""
    UPDATE webhook_deliveries
       SET status = 'failed', error = :reason, finished_at = :now, dead_at = :now, updated_at = :now,
           failed_run = CAST(:closed_run AS text), next_attempt_at = NULL
     WHERE tenant_id = :tenant AND id = ANY(:ids) AND status IN ('queued', 'sending', 'retrying')
""")


@dataclass(frozen=True, slots=True)
class StrandedDelivery:
    tenant: str
    id: str
    endpoint: str
    workflow_id: str
    request_id: str | None


class StrandedDeliveries:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def unstarted(self, now: datetime, *, older_than: timedelta, limit: int) -> list[StrandedDelivery]:
        """Accepted so long ago, and still without a workflow."""
        rows = await self._database.rows(_UNSTARTED, {"until": now - older_than, "limit": limit})
        return [_stranded(row) for row in rows]

    async def still(self, now: datetime, *, older_than: timedelta, limit: int) -> list[StrandedDelivery]:
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


def _stranded(row: Row[Any]) -> StrandedDelivery:
    return StrandedDelivery(
        tenant=row.tenant_id,
        id=row.id,
        endpoint=row.endpoint_id,
        workflow_id=row.workflow_id,
        request_id=row.request_id,
    )
