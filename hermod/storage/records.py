"""Records whose time is over, and rows that are used up: deleted in small statements, the oldest first.

A record goes with everything that hangs on it: a message with its requests, decisions, reports and idempotency key, a
webhook delivery with its attempts. What is open never goes, and a dead letter that nobody retried or discarded stays
for at least as long as its content may. The audit log stays.

Ids sort by time, so old records are a range of the primary key, and a cursor passes by what has just been deleted. The
ids stand in an array beside each DELETE, which leads the planner to the index whatever its statistics say. Rows that
somebody holds (`SKIP LOCKED`) wait for the next run. A record is locked first, then what hangs on it: the order of
`hermod.storage.contents`, which makes a retry that comes meanwhile wait, and find nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import TextClause

from hermod.contracts.ids import since
from hermod.storage.contents import DEAD_LETTER_DAYS
from hermod.storage.engine import Database, sql
from hermod.storage.tables import metadata
from hermod.storage.workers import HAS_LOCK

CHUNK: Final = 1_000
"""Rows of one table, or records with all that hangs on them, in one statement."""
IDLE: Final = timedelta(days=1)
"""A bucket that nobody used for so long is full, and a row that says so says nothing. A worker that was not seen for so
long was killed, and all its requests have ended; one that holds its lock could only not write, and stays."""
EVENT_IDS: Final = timedelta(days=7)
"""The same event id within so long is the same event."""

_TENANTS: Final = sql("""
    SELECT id, coalesce(content_days, CAST(:content_days AS int)) AS content_days FROM tenants ORDER BY id
""")

_MESSAGES: Final = sql("""
    WITH done AS MATERIALIZED (
      SELECT id FROM messages
       WHERE tenant_id = :tenant AND id > CAST(:after AS text) AND id < CAST(:before_id AS text)
         AND finished_at < CAST(:before AS timestamptz)
         AND (dead_at IS NULL OR discarded_at IS NOT NULL OR finished_at < CAST(:dead_before AS timestamptz))
       ORDER BY id LIMIT CAST(:most AS int) FOR UPDATE SKIP LOCKED
    ), asked AS (
      DELETE FROM attempts WHERE tenant_id = :tenant AND message_id = ANY(ARRAY(SELECT id FROM done))
    ), decided AS (
      DELETE FROM decisions WHERE tenant_id = :tenant AND message_id = ANY(ARRAY(SELECT id FROM done))
    ), reported AS (
      DELETE FROM receipts WHERE tenant_id = :tenant AND message_id = ANY(ARRAY(SELECT id FROM done))
    ), keyed AS (
      DELETE FROM idempotency_keys WHERE tenant_id = :tenant AND message_id = ANY(ARRAY(SELECT id FROM done))
    ), said AS (
      DELETE FROM message_contents WHERE tenant_id = :tenant AND message_id = ANY(ARRAY(SELECT id FROM done))
    ), gone AS (
      DELETE FROM messages WHERE tenant_id = :tenant AND id = ANY(ARRAY(SELECT id FROM done))
    )
    SELECT count(*) AS n, max(id) AS last FROM done
""")

# Where the endpoint's choice is to block, what was given up stands in the way of others until somebody discards it.
_DELIVERIES: Final = sql("""
    WITH done AS MATERIALIZED (
      SELECT d.id FROM webhook_deliveries d
       WHERE d.tenant_id = :tenant AND d.id > CAST(:after AS text) AND d.id < CAST(:before_id AS text)
         AND d.finished_at < CAST(:before AS timestamptz)
         AND ((d.dead_at IS NULL AND d.parked_at IS NULL) OR d.discarded_at IS NOT NULL
              OR (d.finished_at < CAST(:dead_before AS timestamptz)
                  AND (d.order_key IS NULL OR NOT EXISTS (
                    SELECT 1 FROM webhook_endpoints e
                     WHERE e.tenant_id = :tenant AND e.id = d.endpoint_id AND e.when_exhausted = 'block'
                       AND e.deleted_at IS NULL))))
       ORDER BY d.id LIMIT CAST(:most AS int) FOR UPDATE OF d SKIP LOCKED
    ), asked AS (
      DELETE FROM webhook_attempts WHERE tenant_id = :tenant AND delivery_id = ANY(ARRAY(SELECT id FROM done))
    ), gone AS (
      DELETE FROM webhook_deliveries WHERE tenant_id = :tenant AND id = ANY(ARRAY(SELECT id FROM done))
    )
    SELECT count(*) AS n, max(id) AS last FROM done
""")

_RECORDS: Final = (("messages", "msg", _MESSAGES), ("webhook_deliveries", "whd", _DELIVERIES))


def _rows_of(table: str, condition: str, order: str) -> TextClause:
    return sql(f"""
        DELETE FROM {table} WHERE ctid = ANY(ARRAY(
          SELECT t.ctid FROM {table} t WHERE {condition}
           ORDER BY {order} LIMIT CAST(:most AS int) FOR UPDATE OF t SKIP LOCKED))
    """)  # noqa: S608 - ours


# A contact keeps its last device, though removed: it is what tells a contact from a stranger.
_AGED: Final = {
    "receipts": _rows_of(
        "receipts", "t.message_id IS NULL AND t.settled_at IS NOT NULL AND t.received_at < :until", "t.received_at"
    ),
    "payment_events": _rows_of("payment_events", "t.submission_id IS NULL AND t.received_at < :until", "t.received_at"),
    "form_partials": _rows_of(
        "form_partials",
        "t.updated_at < :until AND t.data IS NULL AND t.waits_since IS NULL AND t.due_at IS NULL",
        "t.updated_at",
    ),
    "journey_steps": _rows_of("journey_steps", "t.at < :until", "t.at"),
    "suppressions": _rows_of("suppressions", "t.expires_at < :until", "t.expires_at"),
    "soft_bounces": _rows_of("soft_bounces", "t.last_at < :until", "t.last_at"),
    "devices": _rows_of(
        "devices",
        """
        t.removed_at < :until AND EXISTS (
          SELECT 1 FROM devices o
           WHERE o.tenant_id = t.tenant_id AND o.contact_id = t.contact_id AND o.token_hash <> t.token_hash
             AND (o.removed_at IS NULL OR (o.removed_at, o.token_hash) > (t.removed_at, t.token_hash)))
        """,
        "t.removed_at",
    ),
    "webhook_replays": _rows_of("webhook_replays", "t.finished_at < :until", "t.finished_at"),
    "webhook_health": _rows_of("webhook_health", "t.minute < :until", "t.minute"),
    "webhook_notices": _rows_of(
        "webhook_notices",
        "t.disabled_at < :until AND t.announced_at IS NOT NULL AND t.written_at IS NOT NULL",
        "t.disabled_at",
    ),
    "webhook_endpoints": _rows_of(
        "webhook_endpoints",
        """
        t.deleted_at < :until
        AND NOT EXISTS (SELECT 1 FROM webhook_deliveries d WHERE d.tenant_id = t.tenant_id AND d.endpoint_id = t.id)
        AND NOT EXISTS (SELECT 1 FROM webhook_notices n WHERE n.tenant_id = t.tenant_id AND n.endpoint_id = t.id)
        """,
        "t.deleted_at",
    ),
}
"""Rows that stand for themselves, of all tenants, in the order in which one may hold the next one."""

_USED_UP: Final = {
    "rates": (IDLE, _rows_of("rates", "t.tat < :until", "t.tat")),
    "rate_shares": (IDLE, _rows_of("rate_shares", "t.tat < :until AND t.seen_at < :until", "t.tat")),
    "workers": (IDLE, _rows_of("workers", f"t.seen_at < :until AND NOT {HAS_LOCK}", "t.seen_at")),
    "event_ids": (EVENT_IDS, _rows_of("event_ids", "t.created_at < :until", "t.created_at")),
    "event_refusals": (
        timedelta(days=DEAD_LETTER_DAYS),
        _rows_of("event_refusals", "t.created_at < :until", "t.created_at"),
    ),
}
"""Rows that have a time of their own, however long records are kept."""


_LEFT_BY_TENANTS: Final = {
    table.name: sql(f"""
        DELETE FROM {table.name} WHERE ctid = ANY(ARRAY(
          SELECT ctid FROM {table.name} WHERE tenant_id = :tenant LIMIT CAST(:most AS int)))
    """)  # noqa: S608 - ours
    for table in metadata.sorted_tables
    if "tenant_id" in table.columns and table.name != "audit"
}
"""All that deleted tenants leave, but the audit."""
_DELETED_TENANTS: Final = sql("SELECT id FROM tenants WHERE deleted_at IS NOT NULL ORDER BY id")
_FORGET_TENANT: Final = sql("DELETE FROM tenants WHERE id = :tenant AND deleted_at IS NOT NULL")


class Records:
    """Implements `hermod.ports.retention.OldRecords`."""

    def __init__(self, database: Database, *, days: int, content_days: int) -> None:
        """`days`: how long the record of what ended is kept, 0 for ever; never shorter than its tenant's contents."""
        self._database = database
        self._days = days
        self._content_days = content_days

    async def drop_old(self, now: datetime, *, beat: Callable[[], None] = lambda: None) -> Mapping[str, int]:
        dropped: Counter[str] = Counter()
        for table, (age, statement) in _USED_UP.items():
            dropped[table] += await self._drop_rows(statement, now - age, beat)
        for row in await self._database.rows(_DELETED_TENANTS, {}):
            dropped.update(await self._drop_tenant(row.id, beat))
        if self._days:
            for row in await self._database.rows(_TENANTS, {"content_days": self._content_days}):
                names = _bounds(row.id, max(self._days, row.content_days), now)
                for table, prefix, statement in _RECORDS:
                    dropped[table] += await self._drop_records(statement, prefix, names, beat)
            for table, statement in _AGED.items():
                dropped[table] += await self._drop_rows(statement, now - timedelta(days=self._days), beat)
        return {table: count for table, count in dropped.items() if count}

    async def _drop_tenant(self, tenant: str, beat: Callable[[], None]) -> Mapping[str, int]:
        """All that a deleted tenant has left, and then itself: its id may be used again."""
        dropped: Counter[str] = Counter()
        for table, statement in _LEFT_BY_TENANTS.items():
            count = CHUNK
            while count == CHUNK:
                count = await self._database.execute(statement, {"tenant": tenant, "most": CHUNK})
                dropped[table] += count
                beat()
        await self._database.execute(_FORGET_TENANT, {"tenant": tenant})
        return dropped

    async def _drop_records(
        self, statement: TextClause, prefix: str, names: Mapping[str, Any], beat: Callable[[], None]
    ) -> int:
        dropped, count, after = 0, CHUNK, ""
        bound = {"before_id": since(prefix, names["before"]), "most": CHUNK}
        while count == CHUNK:
            (row,) = await self._database.rows(statement, {**names, **bound, "after": after})
            count, after = row.n, row.last
            dropped += count
            beat()
        return dropped

    async def _drop_rows(self, statement: TextClause, until: datetime, beat: Callable[[], None]) -> int:
        dropped, count = 0, CHUNK
        while count == CHUNK:
            count = await self._database.execute(statement, {"until": until, "most": CHUNK})
            dropped += count
            beat()
        return dropped


def _bounds(tenant: str, days: int, now: datetime) -> dict[str, Any]:
    return {
        "tenant": tenant,
        "before": now - timedelta(days=days),
        "dead_before": now - timedelta(days=max(days, DEAD_LETTER_DAYS)),
    }
