"""Events that were acknowledged and that ClickHouse cannot take: they are kept, and shown to whoever told of them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final

import orjson
from sqlalchemy import Row

from hermod.contracts.analytics.queries import RefusedEvents, RefusedEventsPage
from hermod.storage.database.engine import Database, sql
from hermod.storage.database.readable import or_none
from hermod.storage.secrets.contents import Contents

MOST_SHOWN: Final = 20
"""Events of one refusal that are shown as they came."""
_OURS: Final = frozenset({"tenant", "received_at", "source"})

_PAGE: Final = sql("""
    SELECT id, type, events, body, reason, created_at FROM event_refusals
     WHERE tenant_id = :tenant AND sink = 'events'
       AND (CAST(:id AS text) IS NULL OR (id, type) < (CAST(:id AS text), CAST(:type AS text)))
     ORDER BY id DESC, type DESC LIMIT CAST(:limit AS int)
""")
_COUNT: Final = sql("SELECT coalesce(sum(events), 0) AS n FROM event_refusals WHERE created_at > :since")


class EventRefusals:
    def __init__(self, database: Database, contents: Contents) -> None:
        self._database = database
        self._contents = contents

    async def page(self, tenant: str, *, cursor: str | None, limit: int) -> RefusedEventsPage:
        """The newest first. Raises Unavailable."""
        own, _, kind = (cursor or "").partition(":")
        names = {"tenant": tenant, "id": own or None, "type": kind, "limit": limit + 1}
        rows = await self._database.rows(_PAGE, names)
        unseal = await self._contents.opening(tenant)
        items = tuple(_view(row, unseal) for row in rows[:limit])
        last = items[-1] if len(rows) > limit else None
        return RefusedEventsPage(items=items, next_cursor=f"{last.id}:{last.type}" if last is not None else None)

    async def count(self, now: datetime, *, within: timedelta) -> int:
        """Of all tenants, within so long. Raises Unavailable."""
        (row,) = await self._database.rows(_COUNT, {"since": now - within})
        return int(row.n)


def _view(row: Row[Any], unseal: Callable[[str, bytes], bytes]) -> RefusedEvents:
    def read() -> tuple[dict[str, Any], ...]:
        lines = unseal(row.id, bytes(row.body)).splitlines()[:MOST_SHOWN]
        return tuple({name: value for name, value in orjson.loads(line).items() if name not in _OURS} for line in lines)

    return RefusedEvents(
        id=row.id,
        type=row.type,
        count=row.events,
        reason=row.reason,
        refused_at=row.created_at,
        events=or_none("refused_events", row.id, read) or (),
    )
