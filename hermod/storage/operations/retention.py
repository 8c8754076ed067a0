"""How long and how many of its records a tenant keeps. `hermod.storage.operations.records` goes by it."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from hermod.contracts.tenants.retention import Retention
from hermod.storage.database.engine import Database, sql
from hermod.storage.tenants.missing import no_tenant

_GET: Final = sql("SELECT retention FROM tenants WHERE id = :tenant AND deleted_at IS NULL")
_PUT: Final = sql("""
    WITH changed AS (
      UPDATE tenants SET retention = CAST(:retention AS jsonb) WHERE id = :tenant AND deleted_at IS NULL RETURNING id
    )
    INSERT INTO audit (tenant_id, at, actor, action, subject)
    SELECT id, :now, :actor, 'retention.put', id FROM changed RETURNING id
""")


class TenantRetention:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, tenant: str) -> Retention:
        """Raises NotFound."""
        rows = await self._database.rows(_GET, {"tenant": tenant})
        if not rows:
            raise no_tenant(tenant)
        return Retention.model_validate(rows[0].retention or {})

    async def put(self, tenant: str, retention: Retention, *, actor: str, now: datetime) -> Retention:
        """Goes from the next run of the retention on. Raises NotFound."""
        names = {"tenant": tenant, "retention": retention.model_dump_json(), "actor": actor, "now": now}
        if not await self._database.rows(_PUT, names):
            raise no_tenant(tenant)
        return retention
