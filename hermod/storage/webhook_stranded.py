"""Finding deliveries that nobody is working on, over all tenants, as `hermod.storage.stranded` does for messages.

Those that keep order are found by their line (`hermod.storage.webhook_order`), those that wait for an endpoint in
trouble by the endpoint (`hermod.storage.webhook_waiting`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Row

from hermod.storage.engine import Database, sql
from hermod.storage.stranded_records import Statements, StrandedRecords
from hermod.storage.webhook_waiting import WITH_WAITER

_COLUMNS: Final = "tenant_id, id, endpoint_id, workflow_id, request_id"
_BY_ITSELF: Final = f"order_key IS NULL AND NOT {WITH_WAITER}"

_UNSTARTED: Final = sql(f"""
    SELECT {_COLUMNS} FROM webhook_deliveries
     WHERE finished_at IS NULL AND {_BY_ITSELF} AND status = 'pending' AND updated_at < :until
     ORDER BY created_at LIMIT CAST(:limit AS int)
""")  # noqa: S608

_STILL: Final = sql(f"""
    SELECT {_COLUMNS} FROM webhook_deliveries
     WHERE finished_at IS NULL AND {_BY_ITSELF} AND status <> 'pending' AND updated_at < :until
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

_STATEMENTS: Final = Statements(unstarted=_UNSTARTED, still=_STILL, touch=_TOUCH, bury=_BURY)


@dataclass(frozen=True, slots=True)
class StrandedDelivery:
    tenant: str
    id: str
    endpoint: str
    workflow_id: str
    request_id: str | None


class StrandedDeliveries(StrandedRecords[StrandedDelivery]):
    def __init__(self, database: Database) -> None:
        super().__init__(database, _STATEMENTS, _stranded)


def _stranded(row: Row[Any]) -> StrandedDelivery:
    return StrandedDelivery(
        tenant=row.tenant_id,
        id=row.id,
        endpoint=row.endpoint_id,
        workflow_id=row.workflow_id,
        request_id=row.request_id,
    )
