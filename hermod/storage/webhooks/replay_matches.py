"""What a replay is about: deliveries of one endpoint that ended, in the order of their ids, with payloads that the
endpoint asks for now. Payloads may be encrypted, so the database finds deliveries, and we look into them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson
from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from hermod.domain.webhooks.payload_filters import Holds
from hermod.heavy_work import off_loop
from hermod.storage.database.engine import sql
from hermod.storage.database.readable import or_none
from hermod.storage.webhook_endpoints.rows import payload_filter
from hermod.storage.webhooks.event_filters import asks_for

MOST_PAYLOADS: Final = 200
"""Of so many deliveries the payloads are looked into at once, where the endpoint has a filter."""
MOST_COUNTED: Final = 2_000
"""So many are counted by their payloads before a replay begins."""

Unseal = Callable[[str, bytes], bytes]
"""As `Contents.opening` gives it."""

MATCHING: Final = f"""
    d.tenant_id = :tenant AND d.endpoint_id = CAST(:endpoint AS text) AND d.id > CAST(:cursor AS text)
    AND d.created_at >= CAST(:since AS timestamptz) AND d.created_at < :until
    AND d.status = ANY(CAST(:statuses AS text[])) AND d.discarded_at IS NULL
    AND (CAST(:types AS text[]) = '{{}}'
         OR EXISTS (SELECT 1 FROM unnest(CAST(:types AS text[])) AS f(type) WHERE {asks_for("f.type", "d.event_type")}))
    AND EXISTS (SELECT 1 FROM webhook_events e WHERE e.tenant_id = d.tenant_id AND e.id = d.event_id)
"""  # noqa: S608 - ours
"""The tenant's deliveries that a replay is about; those whose event was dropped cannot be sent again."""

_COUNT: Final = sql(f"SELECT count(*) AS n FROM webhook_deliveries d WHERE {MATCHING}")  # noqa: S608 - ours

_PAYLOADS: Final = sql(f"""
    WITH page AS MATERIALIZED (
      SELECT d.id, d.event_id FROM webhook_deliveries d
       WHERE {MATCHING} ORDER BY d.id LIMIT CAST(:most AS int)
    )
    SELECT page.id, page.event_id, e.body
      FROM page LEFT JOIN webhook_events e ON e.tenant_id = :tenant AND e.id = page.event_id ORDER BY page.id
""")  # noqa: S608 - ours


def filter_of(endpoint: Row[Any]) -> Holds | None:
    """None: it asks for every payload. One that cannot be read lets everything through."""
    return or_none("filter", endpoint.id, lambda: payload_filter(endpoint.filter))


async def count(connection: AsyncConnection, names: Mapping[str, Any], holds: Holds | None, unseal: Unseal) -> int:
    """How many match; of more than MOST_COUNTED, those after them by all but their payloads."""
    names, wanted = {**names, "most": MOST_PAYLOADS}, 0
    if holds is not None:
        for _ in range(MOST_COUNTED // MOST_PAYLOADS):
            verdicts = await look(connection, names, holds, unseal)
            wanted += sum(verdicts.values())
            if len(verdicts) < MOST_PAYLOADS:
                return wanted
            names["cursor"] = list(verdicts)[-1]
    return wanted + int((await connection.execute(_COUNT, names)).scalar_one())


async def look(connection: AsyncConnection, names: Mapping[str, Any], holds: Holds, unseal: Unseal) -> dict[str, bool]:
    """The next `most` deliveries that match but for their payloads, and whether the endpoint asks for those."""
    rows = (await connection.execute(_PAYLOADS, names)).all()

    def verdicts() -> dict[str, bool]:
        return {row.id: _is_asked_for(row, unseal, holds) for row in rows}

    return await off_loop(verdicts)


def _is_asked_for(row: Row[Any], unseal: Unseal, holds: Holds) -> bool:
    """What cannot be read is: its delivery then ends with the reason."""
    if row.body is None:
        return False
    payload = or_none("event", row.event_id, lambda: orjson.loads(unseal(row.event_id, bytes(row.body)))["data"])
    return payload is None or holds(payload)
