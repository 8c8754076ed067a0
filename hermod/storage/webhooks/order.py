"""The lines of ordered deliveries: one for each endpoint and ordering key, in the order in which events were accepted.

The order is `webhook_deliveries.place`, which the database counts up: an event that was accepted before another one
was handed over comes before it, whatever the clocks of the machines say. Nothing is remembered elsewhere.

A delivery whose event is gone can never be made, and the one that is first in line would stand there for ever. So
whoever looks for the head ends such a delivery as a dead letter, with its reason. One that is `sending` is left to the
ledger, which knows what became of its request.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from hermod.contracts.webhooks.steps import HeadOfLine
from hermod.storage.database.engine import Database, sql
from hermod.storage.webhooks.reopening import PAYLOAD_GONE
from hermod.telemetry import RECORDS_MISSING, get_logger

_log = get_logger(__name__)

_HEAD: Final = sql("""
    WITH head AS (
      SELECT id, place, status, event_id FROM webhook_deliveries
       WHERE tenant_id = :tenant AND endpoint_id = CAST(:endpoint AS text) AND order_key = CAST(:key AS text)
         AND finished_at IS NULL
       ORDER BY place LIMIT 1
    )
    SELECT head.id, head.status <> 'sending' AND NOT EXISTS (
             SELECT 1 FROM webhook_events e WHERE e.tenant_id = :tenant AND e.id = head.event_id) AS is_undeliverable,
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

_END_UNDELIVERABLE: Final = sql("""
    UPDATE webhook_deliveries d
       SET status = 'failed', error = :reason, dead_at = now(), finished_at = now(), updated_at = now(),
           next_attempt_at = NULL, wait_reason = NULL
     WHERE d.tenant_id = :tenant AND d.id = CAST(:delivery AS text)
       AND d.finished_at IS NULL AND d.status <> 'sending'
       AND NOT EXISTS (SELECT 1 FROM webhook_events e WHERE e.tenant_id = d.tenant_id AND e.id = d.event_id)
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
    """`hermod.ports.webhooks.lines.Lines`, and the sweeper's look for lines that nobody works on."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def head(self, tenant: str, endpoint: str, key: str) -> HeadOfLine:
        while rows := await self._database.rows(_HEAD, {"tenant": tenant, "endpoint": endpoint, "key": key}):
            (head,) = rows
            if not head.is_undeliverable:
                return HeadOfLine(delivery=None if head.blocked_by else head.id, blocked_by=head.blocked_by)
            await self._end(tenant, head.id)
        return HeadOfLine()

    async def _end(self, tenant: str, delivery: str) -> None:
        """Its event is gone, so that nothing can be delivered."""
        names = {"tenant": tenant, "delivery": delivery, "reason": PAYLOAD_GONE}
        ended = await self._database.execute(_END_UNDELIVERABLE, names)
        if ended:
            RECORDS_MISSING.labels("webhook_event").inc()
            _log.warning("webhook_event_missing", tenant=tenant, delivery=delivery)

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
