"""Records whose time is over, and rows that are used up: deleted in small statements, the oldest first.

A record goes with everything that hangs on it: a message with its requests, decisions, reports and idempotency key, a
webhook delivery with its attempts. What is open never goes, and a dead letter that nobody retried or discarded stays
for at least as long as its content may, unless its tenant says otherwise, by age or by count. The audit log stays.

Ids sort by time, so old records are a range of the primary key, and a cursor passes by what has just been deleted. The
ids stand in an array beside each DELETE, which leads the planner to the index whatever its statistics say. Rows that
somebody holds (`SKIP LOCKED`) wait for the next run. A record is locked first, then what hangs on it: the order of
`hermod.storage.secrets.contents`, which makes a retry that comes meanwhile wait, and find nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Row, TextClause

from hermod.contracts.ids import following, since
from hermod.contracts.tenants.retention import LEAST_AGE, Keep, Retention
from hermod.storage.database.engine import Database, sql
from hermod.storage.database.readable import listed
from hermod.storage.operations.workers import HAS_LOCK
from hermod.storage.secrets.contents import DEAD_LETTER_DAYS

CHUNK: Final = 1_000
"""Rows of one table, or records with all that hangs on them, in one statement."""
IDLE: Final = timedelta(days=1)
"""A bucket that nobody used for so long is full, and a row that says so says nothing. A worker that was not seen for so
long was killed, and all its requests have ended; one that holds its lock could only not write, and stays."""
KEYED: Final = timedelta(days=1)
"""A message with an idempotency key stays so long after its end, or a repeat of its call would be sent."""
EVENT_IDS: Final = timedelta(days=7)
"""The same event id within so long is the same event."""

_TENANTS: Final = sql("""
    SELECT id, retention, coalesce(content_days, CAST(:content_days AS int)) AS content_days FROM tenants ORDER BY id
""")

_DEAD_IN_TIME: Final = """
    finished_at < CASE WHEN discarded_at IS NULL THEN CAST(:dead_before AS timestamptz)
                       ELSE CAST(:before AS timestamptz) END
"""
_MESSAGE_KINDS: Final = {
    "completed": "dead_at IS NULL",
    "failed": f"""
        dead_at IS NOT NULL AND {_DEAD_IN_TIME}
        AND (status <> 'unknown' OR discarded_at IS NOT NULL OR finished_at < CAST(:unknown_before AS timestamptz))
    """,
}
# Where the endpoint's choice is to block, what was given up stands in the way of others until somebody discards it.
_DELIVERY_KINDS: Final = {
    "completed": "dead_at IS NULL AND parked_at IS NULL",
    "failed": f"""
        (dead_at IS NOT NULL OR parked_at IS NOT NULL) AND {_DEAD_IN_TIME}
        AND (discarded_at IS NOT NULL OR order_key IS NULL OR NOT EXISTS (
          SELECT 1 FROM webhook_endpoints e
           WHERE e.tenant_id = :tenant AND e.id = d.endpoint_id AND e.when_exhausted = 'block'
             AND e.deleted_at IS NULL))
    """,  # noqa: S608 - ours
}

_MESSAGES: Final = """
    WITH done AS MATERIALIZED (
      SELECT id FROM messages
       WHERE tenant_id = :tenant AND id > CAST(:after AS text) AND id < CAST(:before_id AS text)
         AND finished_at < CAST(:before AS timestamptz) AND {kind}
         AND (finished_at < CAST(:keyed_before AS timestamptz) OR NOT EXISTS (
           SELECT 1 FROM idempotency_keys k WHERE k.tenant_id = :tenant AND k.message_id = messages.id))
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
"""
_DELIVERIES: Final = """
    WITH done AS MATERIALIZED (
      SELECT d.id FROM webhook_deliveries d
       WHERE d.tenant_id = :tenant AND d.id > CAST(:after AS text) AND d.id < CAST(:before_id AS text)
         AND d.finished_at < CAST(:before AS timestamptz) AND {kind}
       ORDER BY d.id LIMIT CAST(:most AS int) FOR UPDATE OF d SKIP LOCKED
    ), asked AS (
      DELETE FROM webhook_attempts WHERE tenant_id = :tenant AND delivery_id = ANY(ARRAY(SELECT id FROM done))
    ), gone AS (
      DELETE FROM webhook_deliveries WHERE tenant_id = :tenant AND id = ANY(ARRAY(SELECT id FROM done))
    )
    SELECT count(*) AS n, max(id) AS last FROM done
"""
# The newest one that there are too many of: it goes, with all before it.
_TOO_MANY: Final = """
    SELECT id FROM {table} WHERE tenant_id = :tenant AND finished_at IS NOT NULL AND {ended}
     ORDER BY id DESC OFFSET CAST(:count AS bigint) LIMIT 1
"""
_ENDED: Final = {
    "messages": {"completed": "dead_at IS NULL", "failed": "dead_at IS NOT NULL"},
    "webhook_deliveries": {
        "completed": "dead_at IS NULL AND parked_at IS NULL",
        "failed": "(dead_at IS NOT NULL OR parked_at IS NOT NULL)",
    },
}


@dataclass(frozen=True, slots=True)
class _Kind:
    """Records of one table that ended in one way."""

    table: str
    prefix: str
    end: str
    drop: TextClause
    too_many: TextClause


_KINDS: Final = tuple(
    _Kind(
        table,
        prefix,
        end,
        sql(statement.format(kind=condition)),
        sql(_TOO_MANY.format(table=table, ended=_ENDED[table][end])),
    )
    for table, prefix, statement, conditions in (
        ("messages", "msg", _MESSAGES, _MESSAGE_KINDS),
        ("webhook_deliveries", "whd", _DELIVERIES, _DELIVERY_KINDS),
    )
    for end, condition in conditions.items()
)


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


_OF_TENANTS: Final = sql("""
    SELECT quote_ident(table_name) AS name FROM information_schema.columns
     WHERE table_schema = current_schema() AND column_name = 'tenant_id' AND table_name <> 'audit' ORDER BY table_name
""")
"""All tables with rows of tenants: what a deleted one leaves, but the audit."""
_DELETED_TENANTS: Final = sql("""
    SELECT id FROM tenants WHERE deleted_at IS NOT NULL AND id = coalesce(CAST(:only AS text), id) ORDER BY id
""")
_FORGET_TENANT: Final = sql("DELETE FROM tenants WHERE id = :tenant AND deleted_at IS NOT NULL")


class Records:
    """Implements `hermod.ports.retention.RecordRetention`."""

    def __init__(self, database: Database, *, days: int, content_days: int) -> None:
        """`days`: how long the record of what ended is kept, 0 for ever; never shorter than its tenant's contents."""
        self._database = database
        self._days = days
        self._content_days = content_days

    async def purge_expired(self, now: datetime, *, beat: Callable[[], None] = lambda: None) -> Mapping[str, int]:
        dropped: Counter[str] = Counter()
        for table, (age, statement) in _USED_UP.items():
            dropped[table] += await self._drop_rows(statement, now - age, beat)
        dropped.update(await self.drop_deleted_tenants(beat=beat))
        rows = await self._database.rows(_TENANTS, {"content_days": self._content_days})
        for row, retention in listed("retention", rows, _with_retention):
            usual = max(self._days, row.content_days) if self._days else None
            for kind in _KINDS:
                keep: Keep = getattr(getattr(retention, kind.table), kind.end)
                dropped[kind.table] += await self._drop_kind(kind, row.id, keep, usual, now, beat)
        if self._days:
            for table, statement in _AGED.items():
                dropped[table] += await self._drop_rows(statement, now - timedelta(days=self._days), beat)
        return {table: count for table, count in dropped.items() if count}

    async def _drop_tenant(self, tenant: str, beat: Callable[[], None]) -> Mapping[str, int]:
        """All that a deleted tenant has left, and then itself: its id may be used again. Where somebody holds a row,
        that is left for the next run, and so is the tenant: the next one of this id would have the row."""
        dropped: Counter[str] = Counter()
        is_empty = True
        for table in [row.name for row in await self._database.rows(_OF_TENANTS, {})]:
            # In no order, which each chunk would sort anew.
            statement = _rows_of(table, "t.tenant_id = :tenant", "t.tenant_id")
            count = CHUNK
            while count == CHUNK:
                count = await self._database.execute(statement, {"tenant": tenant, "most": CHUNK})
                dropped[table] += count
                beat()
            left = sql(f"SELECT 1 FROM {table} WHERE tenant_id = :tenant LIMIT 1")  # noqa: S608 - ours
            is_empty = not await self._database.rows(left, {"tenant": tenant}) and is_empty
        if is_empty:
            await self._database.execute(_FORGET_TENANT, {"tenant": tenant})
        return dropped

    async def drop_deleted_tenants(
        self, *, only: str | None = None, beat: Callable[[], None] = lambda: None
    ) -> Mapping[str, int]:
        """All that deleted tenants have left, and then themselves. `only`: this one, where it was deleted."""
        dropped: Counter[str] = Counter()
        for row in await self._database.rows(_DELETED_TENANTS, {"only": only}):
            dropped.update(await self._drop_tenant(row.id, beat))
        return dropped

    async def _drop_kind(
        self, kind: _Kind, tenant: str, keep: Keep, usual: int | None, now: datetime, beat: Callable[[], None]
    ) -> int:
        """`usual`: days where the tenant says nothing, None for ever."""
        dropped = 0
        if keep.age is not None or usual is not None:
            names = _bounds(tenant, keep.age, usual or 0, now)
            dropped += await self._drop_records(kind.drop, since(kind.prefix, names["before"]), names, beat)
        if keep.count is not None:
            rows = await self._database.rows(kind.too_many, {"tenant": tenant, "count": keep.count})
            if rows:
                unknown = now - (keep.age or timedelta(days=DEAD_LETTER_DAYS))
                names = _bounds(tenant, LEAST_AGE, 0, now) | {"unknown_before": unknown}
                dropped += await self._drop_records(kind.drop, following(rows[0].id), names, beat)
        return dropped

    async def _drop_records(
        self, statement: TextClause, before_id: str, names: Mapping[str, Any], beat: Callable[[], None]
    ) -> int:
        """Of those with ids before `before_id`."""
        dropped, count, after = 0, CHUNK, ""
        bound = {"before_id": before_id, "most": CHUNK}
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


def _bounds(tenant: str, age: timedelta | None, usual: int, now: datetime) -> dict[str, Any]:
    """`age`: as the tenant says, dead letters or not; else `usual` days, and dead letters for their own time."""
    dead = age or timedelta(days=max(usual, DEAD_LETTER_DAYS))
    return {
        "tenant": tenant,
        "before": now - (age or timedelta(days=usual)),
        "dead_before": now - dead,
        "unknown_before": now - dead,
        "keyed_before": now - KEYED,
    }


def _with_retention(row: Row[Any]) -> tuple[Row[Any], Retention]:
    return row, Retention.model_validate(row.retention or {})
