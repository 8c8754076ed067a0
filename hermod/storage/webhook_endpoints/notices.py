"""Whom to tell of disabled endpoints. `hermod.storage.webhook_endpoints.health` writes a notice as it disables one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Final
from urllib.parse import urlsplit

from sqlalchemy import Row

from hermod.contracts.webhooks.notices import ENDPOINT_DISABLED, EndpointDisabled
from hermod.storage.database.engine import Database, sql
from hermod.storage.database.readable import listed, or_none
from hermod.storage.webhook_endpoints.rows import payload_filter

_OPEN: Final = sql("""
    SELECT n.tenant_id, n.endpoint_id, n.disabled_at, n.reason, n.failing_since, n.announced_at, n.written_at,
           e.url, e.description, t.owner_email
      FROM webhook_notices n
      JOIN webhook_endpoints e ON e.tenant_id = n.tenant_id AND e.id = n.endpoint_id
      JOIN tenants t ON t.id = n.tenant_id
     WHERE n.announced_at IS NULL OR n.written_at IS NULL
     ORDER BY n.disabled_at LIMIT CAST(:limit AS int)
""")

_DONE: Final = sql("""
    UPDATE webhook_notices
       SET announced_at = coalesce(announced_at, CASE WHEN CAST(:announced AS bool) THEN CAST(:now AS timestamptz) END),
           written_at = coalesce(written_at, CASE WHEN CAST(:written AS bool) THEN CAST(:now AS timestamptz) END)
     WHERE tenant_id = :tenant AND endpoint_id = :id AND disabled_at = CAST(:disabled_at AS timestamptz)
""")


_ASKED: Final = sql("""
    SELECT id, filter::text AS filter FROM webhook_endpoints
     WHERE tenant_id = :tenant AND enabled AND deleted_at IS NULL AND id <> :id
       AND event_types && CAST(:filters AS text[])
     ORDER BY id
""")

_FILTERS: Final = (ENDPOINT_DISABLED, f"{ENDPOINT_DISABLED.partition('.')[0]}.*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """An endpoint that was disabled, and who has not been told."""

    tenant: str
    told: EndpointDisabled
    announced: bool
    """To the endpoints that asked for it."""
    written: bool
    """To the owner; also where there is none."""
    owner_email: str | None

    @property
    def key(self) -> str:
        """`{endpoint}/{disabled_at}`: makes telling it twice harmless."""
        return f"{self.told.endpoint_id}/{self.told.disabled_at:%Y%m%dT%H%M%S.%fZ}"


class WebhookNotices:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def open(self, limit: int) -> Sequence[Notice]:
        """Over all tenants, the oldest first."""
        rows = await self._database.rows(_OPEN, {"limit": limit})
        return list(listed("notice", rows, _notice, key="endpoint_id"))

    async def listeners(self, notice: Notice) -> list[str]:
        """The endpoints that asked for such events by name. The disabled one is none of them."""
        names = {"tenant": notice.tenant, "id": notice.told.endpoint_id, "filters": list(_FILTERS)}
        rows = await self._database.rows(_ASKED, names)
        asked = [(row.id, or_none("filter", row.id, partial(payload_filter, row.filter))) for row in rows]
        payload = notice.told.model_dump(mode="json")
        return [endpoint for endpoint, holds in asked if holds is None or holds(payload)]

    async def done(self, notice: Notice, now: datetime, *, announced: bool = False, written: bool = False) -> None:
        names = {
            "tenant": notice.tenant,
            "id": notice.told.endpoint_id,
            "disabled_at": notice.told.disabled_at,
            "announced": announced,
            "written": written,
            "now": now,
        }
        await self._database.execute(_DONE, names)


def _notice(row: Row[Any]) -> Notice:
    parts = urlsplit(row.url)
    return Notice(
        tenant=row.tenant_id,
        told=EndpointDisabled(
            endpoint_id=row.endpoint_id,
            url=f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}",
            description=row.description,
            reason=row.reason,
            disabled_at=row.disabled_at,
            failing_since=row.failing_since,
        ),
        announced=row.announced_at is not None,
        written=row.written_at is not None,
        owner_email=row.owner_email,
    )
