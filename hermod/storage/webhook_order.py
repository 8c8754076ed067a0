"""The lines of ordered deliveries: one for each endpoint and ordering key, in the order in which events were accepted.

The order is `webhook_deliveries.place`, which the database counts up: an event that was accepted before another one
was handed over comes before it, whatever the clocks of the machines say. Nothing is remembered elsewhere.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from hermod.contracts.webhook_steps import HeadOfLine
from hermod.storage.engine import Database, sql

_HEAD: Final = sql("""
    WITH head AS (
      SELECT id, place FROM webhook_deliveries
       WHERE tenant_id = :tenant AND endpoint_id = CAST(:endpoint AS text) AND order_key = CAST(:key AS text)
         AND finished_at IS NULL
       ORDER BY place LIMIT 1
    )
    SELECT head.id,
           CASE WHEN EXISTS (SELECT 1 FROM webhook_endpoints e
                              WHERE e.tenant_id = :tenant AND e.id = CAST(:endpoint AS text)
                                AND e.when_exhausted = 'block' AND e.deleted_at IS NULL) THEN
             (SELECT d.id FROM webhook_deliveries d
               WHERE d.tenant_id = :tenant AND d.endpoint_id = CAST(:endpoint AS text)
                 AND d.order_key = CAST(:key AS text) AND d.place < head.place
                 AND (d.dead_at IS NOT NULL OR d.parked_at IS NOT NULL) AND d.discarded_at IS NULL
                 AND d.status IN ('failed', 'parked')
               ORDER BY d.place LIMIT 1) END AS blocked_by
      FROM head
""")

_OLDEST: Final = sql("""
    SELECT id FROM webhook_deliveries
     WHERE tenant_id = :tenant AND endpoint_id = CAST(:endpoint AS text) AND order_key = CAST(:key AS text)
       AND finished_at IS NULL
     ORDER BY place LIMIT 1
""")

_QUEUED: Final = sql("""
    UPDATE webhook_deliveries SET status = 'queued', updated_at = :now
     WHERE tenant_id = :tenant AND endpoint_id = CAST(:endpoint AS text) AND order_key = CAST(:key AS text)
       AND finished_at IS NULL AND status = 'pending'
       AND (CAST(:only AS text[]) IS NULL OR id = ANY(CAST(:only AS text[])))
""")

_FORGOTTEN: Final = sql("""
    WITH heads AS (
      SELECT DISTINCT ON (tenant_id, endpoint_id, order_key)
             tenant_id, endpoint_id, order_key, id, status, updated_at, next_attempt_at
        FROM webhook_deliveries WHERE finished_at IS NULL AND order_key IS NOT NULL
       ORDER BY tenant_id, endpoint_id, order_key, place
    )
    SELECT tenant_id, endpoint_id, order_key, id FROM heads
     WHERE updated_at < CASE WHEN status = 'pending' THEN CAST(:unstarted AS timestamptz) ELSE :until END
       AND coalesce(next_attempt_at, updated_at) < CASE WHEN status = 'pending' THEN :now ELSE :until END
     ORDER BY updated_at LIMIT CAST(:limit AS int)
""")

_SEEN: Final = sql("""
    UPDATE webhook_deliveries SET updated_at = :now, status = CASE status WHEN 'pending' THEN 'queued' ELSE status END
     WHERE finished_at IS NULL
       AND (tenant_id, id) IN (SELECT * FROM unnest(CAST(:tenants AS text[]), CAST(:ids AS text[])))
""")


class Line(NamedTuple):
    """`key` is the fingerprint of an ordering key."""

    tenant: str
    endpoint: str
    key: str


class WebhookOrder:
    """`hermod.ports.webhook_lines.Lines`, and the sweeper's look for lines that nobody works on."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def head(self, tenant: str, endpoint: str, key: str) -> HeadOfLine:
        rows = await self._database.rows(_HEAD, {"tenant": tenant, "endpoint": endpoint, "key": key})
        if not rows:
            return HeadOfLine()
        blocked_by = rows[0].blocked_by
        return HeadOfLine(delivery=None if blocked_by else rows[0].id, blocked_by=blocked_by)

    async def oldest(self, line: Line) -> str | None:
        """The open delivery that is first in line, blocked or not."""
        rows = await self._database.rows(_OLDEST, line._asdict())
        return rows[0].id if rows else None

    async def mark_queued(self, line: Line, now: datetime, *, only: Collection[str] | None = None) -> None:
        """The line's workflow will come to them (all of its deliveries, or `only` these): pending becomes queued."""
        names = line._asdict() | {"only": None if only is None else list(only), "now": now}
        await self._database.execute(_QUEUED, names)

    async def forgotten(
        self, now: datetime, *, unstarted: timedelta, still: timedelta, limit: int
    ) -> list[tuple[Line, str]]:
        """Lines that nobody may be working on, with their first deliveries: one that has been pending for longer than
        `unstarted`, or that is due and has not been touched for longer than `still`.
        """
        names = {"now": now, "unstarted": now - unstarted, "until": now - still, "limit": limit}
        rows = await self._database.rows(_FORGOTTEN, names)
        return [(Line(row.tenant_id, row.endpoint_id, row.order_key), row.id) for row in rows]

    async def seen(self, heads: Sequence[tuple[Line, str]], now: datetime) -> None:
        """The workflows of their lines have been woken: not to be looked at again for a while."""
        tenants = [line.tenant for line, _ in heads]
        await self._database.execute(_SEEN, {"tenants": tenants, "ids": [head for _, head in heads], "now": now})
