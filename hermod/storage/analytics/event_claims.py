"""Handing events on to ClickHouse: which rows go together is decided once, and stays decided until they are there.

An insert's rows carry its name. So whoever repeats it after a crash finds the same rows, and gives them the same
tokens; and rows are only taken where no row carries the name, so that a name can be used again. Claims of one tenant
come one after another (an advisory lock), so that two tries of one insert cannot take different rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Row

from hermod.contracts.ids import since
from hermod.ports.analytics import Claimed, ClaimedBatch, RefusedLines
from hermod.storage.analytics.event_outbox import EVENTS, cut
from hermod.storage.database.engine import Database, sql
from hermod.storage.database.readable import each
from hermod.storage.secrets.contents import Contents

MOST_EVENTS: Final = 100_000
MOST_BYTES: Final = 16 * 1024 * 1024
"""Bounds of one insert, and one row more."""
MOST_BATCHES: Final = 5_000
MOST_INSERTS: Final = 4
"""Of one tenant under way at once. While ClickHouse is away no more workflows wait for it than these."""

_LOCK: Final = sql("SELECT pg_advisory_xact_lock(hashtextextended('event_batches/' || :tenant, 0))")

_CLAIM: Final = sql("""
    WITH waiting AS (
      SELECT id, events, octet_length(body) AS bytes FROM event_batches
       WHERE tenant_id = :tenant AND insert_id IS NULL ORDER BY id LIMIT CAST(:batches AS int)
    ), counted AS (
      SELECT id, sum(events) OVER before AS events, sum(bytes) OVER before AS bytes FROM waiting
      WINDOW before AS (ORDER BY id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
    )
    UPDATE event_batches b SET insert_id = CAST(:insert AS text), claimed_at = :now
      FROM counted c
     WHERE b.tenant_id = :tenant AND b.id = c.id
       AND (c.events IS NULL OR (c.events < CAST(:events AS int) AND c.bytes < CAST(:bytes AS int)))
       AND NOT EXISTS (SELECT FROM event_batches o WHERE o.tenant_id = :tenant AND o.insert_id = CAST(:insert AS text))
       AND (SELECT count(DISTINCT o.insert_id) FROM event_batches o
             WHERE o.tenant_id = :tenant AND o.insert_id IS NOT NULL) < CAST(:inserts AS int)
""")

_CLAIMED: Final = sql("""
    SELECT id, sink, events, body, apart FROM event_batches
     WHERE tenant_id = :tenant AND insert_id = CAST(:insert AS text) ORDER BY id
""")

_PART: Final = sql("""
    UPDATE event_batches SET apart = array_append(apart, CAST(:token AS text)) WHERE tenant_id = :tenant AND id = :id
""")

_DONE: Final = sql("DELETE FROM event_batches WHERE tenant_id = :tenant AND id = ANY(:ids)")

_SET_ASIDE: Final = sql("""
    INSERT INTO event_refusals (tenant_id, id, sink, type, events, body, reason)
    SELECT :tenant, r.* FROM unnest(CAST(:ids AS text[]), CAST(:sinks AS text[]), CAST(:types AS text[]),
                                    CAST(:events AS int[]), CAST(:bodies AS bytea[]), CAST(:reasons AS text[])) AS r
    ON CONFLICT DO NOTHING
""")

_SET_UNREADABLE_ASIDE: Final = sql("""
    WITH gone AS (
      DELETE FROM event_batches
       WHERE tenant_id = :tenant AND id = ANY(CAST(:ids AS text[])) AND insert_id = CAST(:insert AS text)
      RETURNING id, sink, events, body
    )
    INSERT INTO event_refusals (tenant_id, id, sink, type, events, body, reason)
    SELECT :tenant, gone.id, gone.sink, '*', gone.events, gone.body, r.reason
      FROM gone JOIN unnest(CAST(:ids AS text[]), CAST(:reasons AS text[])) AS r(id, reason) ON r.id = gone.id
    ON CONFLICT DO NOTHING
""")

_MORE: Final = sql("SELECT EXISTS (SELECT FROM event_batches WHERE tenant_id = :tenant AND insert_id IS NULL) AS more")

_UNDER_WAY: Final = sql("""
    SELECT count(DISTINCT insert_id) AS n FROM event_batches WHERE tenant_id = :tenant AND insert_id IS NOT NULL
""")

# From one tenant to the next by the index, however much each of them has waiting.
_WAITING: Final = sql("""
    WITH RECURSIVE tenant AS (
      (SELECT tenant_id FROM event_batches WHERE insert_id IS NULL ORDER BY tenant_id LIMIT 1)
      UNION ALL
      SELECT (SELECT b.tenant_id FROM event_batches b WHERE b.insert_id IS NULL AND b.tenant_id > t.tenant_id
               ORDER BY b.tenant_id LIMIT 1)
        FROM tenant t WHERE t.tenant_id IS NOT NULL
    )
    SELECT tenant_id FROM tenant t
     WHERE EXISTS (SELECT FROM event_batches b
                    WHERE b.tenant_id = t.tenant_id AND b.insert_id IS NULL AND b.id < CAST(:before_id AS text))
       AND (SELECT count(DISTINCT o.insert_id) FROM event_batches o
             WHERE o.tenant_id = t.tenant_id AND o.insert_id IS NOT NULL) < CAST(:inserts AS int)
     LIMIT CAST(:limit AS int)
""")

_STILL: Final = sql("""
    SELECT tenant_id, insert_id, min(claimed_at) AS since FROM event_batches
     WHERE insert_id IS NOT NULL AND claimed_at < :until
     GROUP BY tenant_id, insert_id ORDER BY since LIMIT CAST(:limit AS int)
""")

_TOUCH: Final = sql("""
    UPDATE event_batches SET claimed_at = :now WHERE tenant_id = :tenant AND insert_id = CAST(:insert AS text)
""")


@dataclass(frozen=True, slots=True)
class StillInsert:
    """An insert that has been under way for so long that its workflow may be gone."""

    tenant: str
    insert: str


class SqlEventOutbox:
    """Implements `hermod.ports.analytics.EventOutbox`, and finds what nobody is working on."""

    def __init__(self, database: Database, contents: Contents) -> None:
        self._database = database
        self._contents = contents

    async def claim(self, tenant: str, insert: str, now: datetime) -> Claimed:
        unseal = await self._contents.opening(tenant)
        names = {"tenant": tenant, "insert": insert}
        bounds = {"batches": MOST_BATCHES, "events": MOST_EVENTS, "bytes": MOST_BYTES, "inserts": MOST_INSERTS}
        async with self._database.begin() as connection:
            await connection.execute(_LOCK, {"tenant": tenant})
            await connection.execute(_CLAIM, {**names, **bounds, "now": now})
            rows = (await connection.execute(_CLAIMED, names)).all()
        apart = frozenset(token for row in rows for token in row.apart or ())
        batches, broken = each("events", rows, lambda row: _batch(row, unseal(row.id, bytes(row.body))))
        if broken:
            reasons = {"ids": list(broken), "reasons": [f"cannot be read: {reason}" for reason in broken.values()]}
            await self._database.execute(_SET_UNREADABLE_ASIDE, names | reasons)
        return Claimed(batches, apart)

    async def part(self, tenant: str, batch: str, token: str) -> None:
        await self._database.execute(_PART, {"tenant": tenant, "id": batch, "token": token})

    async def done(self, tenant: str, batches: Sequence[str], refused: Sequence[RefusedLines]) -> bool:
        seal = await self._contents.sealing(tenant)
        async with self._database.begin() as connection:
            if refused:
                await connection.execute(
                    _SET_ASIDE,
                    {
                        "tenant": tenant,
                        "ids": [one.batch for one in refused],
                        "sinks": [one.table for one in refused],
                        "types": [one.type for one in refused],
                        "events": [one.lines.count(b"\n") for one in refused],
                        "bodies": [seal(one.batch, one.lines) for one in refused],
                        "reasons": [one.reason for one in refused],
                    },
                )
            await connection.execute(_DONE, {"tenant": tenant, "ids": list(batches)})
        # After the commit: whoever saw these inserts under way, and so started none, has committed its rows by now.
        (row,) = await self._database.rows(_MORE, {"tenant": tenant})
        return bool(row.more)

    async def is_crowded(self, tenant: str) -> bool:
        """Whether as many inserts are under way as may be: one more would find nothing to do."""
        (row,) = await self._database.rows(_UNDER_WAY, {"tenant": tenant})
        return int(row.n) >= MOST_INSERTS

    async def waiting(self, now: datetime, *, older_than: timedelta, limit: int) -> list[str]:
        """Tenants with events that nobody has taken for so long."""
        names = {"before_id": since("evb", now - older_than), "inserts": MOST_INSERTS, "limit": limit}
        return [row.tenant_id for row in await self._database.rows(_WAITING, names)]

    async def still(self, now: datetime, *, older_than: timedelta, limit: int) -> list[StillInsert]:
        rows = await self._database.rows(_STILL, {"until": now - older_than, "limit": limit})
        return [StillInsert(row.tenant_id, row.insert_id) for row in rows]

    async def touch(self, found: StillInsert, now: datetime) -> None:
        """Looked at, and not to be looked at again for a while."""
        await self._database.execute(_TOUCH, {"tenant": found.tenant, "insert": found.insert, "now": now})


def _whole(lines: bytes) -> bytes:
    return lines if lines.endswith(b"\n") else lines + b"\n"


def _batch(row: Row[Any], body: bytes) -> ClaimedBatch:
    lines = {kind: text for kind, _, text in cut(body)} if row.sink == EVENTS else {"": _whole(body)}
    return ClaimedBatch(row.id, row.sink, lines, row.events)
