"""A tenant's events as they stand in ClickHouse."""

from __future__ import annotations

from typing import Any

from hermod.contracts.errors import Unavailable
from starter import Hermod
from tests.support.polling import eventually

_ROWS = """
    SELECT type, occurred_at, received_at, event_id, contact, session, source, toJSONString(properties) AS properties
      FROM events WHERE tenant = {tenant:String} ORDER BY occurred_at, event_id
"""


async def events_of(hermod: Hermod) -> list[dict[str, Any]]:
    """None where ClickHouse is away, or was never asked for anything."""
    try:
        return await hermod.core.analytics.clickhouse.rows(_ROWS, {"tenant": hermod.tenant})
    except Unavailable:
        return []


async def arrived(hermod: Hermod, count: int, *, within: float = 30.0) -> list[dict[str, Any]]:
    """The events, once there are so many."""

    async def there() -> list[dict[str, Any]]:
        found = await events_of(hermod)
        assert len(found) >= count, f"{len(found)} of {count} are in ClickHouse"
        return found

    found = await eventually(there, within=within, every=0.1)
    assert found is not None
    assert len(found) == count, f"{len(found)} instead of {count}"
    return found
