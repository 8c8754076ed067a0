"""What was accepted and nobody has begun, by lane: how much it is, and since when the oldest of it waits.

What has a reason to wait is not counted: its due time, its next attempt, a rate, an account, a paused endpoint, an
older delivery of the same ordering key. Like the sweeper's, this looks across tenants, in one statement over the
indexes of unfinished records, whose conditions leave every step of a record a HOT update.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from hermod.contracts.queues import Lane
from hermod.storage.database.engine import Database, sql

# `since` is the acceptance of a record, or the due time. One that was begun and reopened waits since then, and that is
# its last change: the sweeper, whose look is a change too, leaves alone what is pending.
_MESSAGES: Final = """
    SELECT channel AS lane, count(*) AS records, min(since) AS since
      FROM (SELECT channel, greatest(send_at, CASE WHEN status = 'pending' OR attempt_count > 0 OR round > 1
                                                   THEN updated_at ELSE created_at END) AS since
              FROM messages
             WHERE finished_at IS NULL AND status IN ('pending', 'queued', 'scheduled') AND next_attempt_at IS NULL
               AND (send_at IS NULL OR send_at <= :now)) m
     GROUP BY channel
"""

# Of a line that keeps order the first delivery counts, unless the line is blocked and waits for a person. A delivery
# may have waited for others of its endpoint, which takes so many at a time, or may have been reopened by a replay and
# never tried before. So it waits since one of the ten before it was worked on, which is looked up for the oldest ones.
_SINCE: Final = "CASE WHEN status = 'pending' OR attempt_count > 0 THEN updated_at ELSE created_at END AS since"
_WEBHOOKS: Final = f"""
    WITH heads AS (
      SELECT DISTINCT ON (tenant_id, endpoint_id, order_key)
             tenant_id, endpoint_id, order_key, place, id, status, next_attempt_at, {_SINCE}
        FROM webhook_deliveries WHERE finished_at IS NULL AND order_key IS NOT NULL
       ORDER BY tenant_id, endpoint_id, order_key, place
    ), waiting AS (
      SELECT tenant_id, endpoint_id, id, {_SINCE} FROM webhook_deliveries
       WHERE finished_at IS NULL AND order_key IS NULL AND status IN ('pending', 'queued') AND next_attempt_at IS NULL
      UNION ALL
      SELECT h.tenant_id, h.endpoint_id, h.id, h.since
        FROM heads h LEFT JOIN webhook_endpoints e ON e.tenant_id = h.tenant_id AND e.id = h.endpoint_id
       WHERE h.status IN ('pending', 'queued') AND h.next_attempt_at IS NULL
         AND CASE WHEN e.when_exhausted = 'block' AND e.deleted_at IS NULL THEN NOT EXISTS (
               SELECT 1 FROM webhook_deliveries o
                WHERE o.tenant_id = h.tenant_id AND o.endpoint_id = h.endpoint_id AND o.order_key = h.order_key
                  AND o.place < h.place AND (o.dead_at IS NOT NULL OR o.parked_at IS NOT NULL)
                  AND o.discarded_at IS NULL AND o.status IN ('failed', 'parked')) ELSE true END
    ), oldest AS (
      SELECT * FROM waiting ORDER BY since LIMIT 100
    )
    SELECT 'webhooks', (SELECT count(*) FROM waiting), min(greatest(w.since, (
             SELECT max(b.updated_at)
               FROM (SELECT o.updated_at, o.status FROM webhook_deliveries o
                      WHERE o.tenant_id = w.tenant_id AND o.endpoint_id = w.endpoint_id AND o.id < w.id
                      ORDER BY o.id DESC LIMIT 10) b
              WHERE b.status NOT IN ('pending', 'queued'))))
      FROM oldest w
"""  # noqa: S608 - ours

# Its workflow makes a submission `processing` before any worker has it; begun it is with the first thing that it does.
_SUBMISSIONS: Final = """
    SELECT 'submissions', count(*), min(CASE WHEN status = 'pending' THEN updated_at ELSE created_at END)
      FROM form_submissions
     WHERE finished_at IS NULL AND status IN ('pending', 'processing')
       AND saved_at IS NULL AND announced = '{}' AND error_code IS NULL
"""
_PARTIALS: Final = "SELECT 'partials', count(*), min(waits_since) FROM form_partials WHERE waits_since IS NOT NULL"
_EVENTS: Final = "SELECT 'events', coalesce(sum(events), 0), min(created_at) FROM event_batches WHERE insert_id IS NULL"

BACKLOG: Final = sql(" UNION ALL ".join(f"({one})" for one in (_MESSAGES, _WEBHOOKS, _SUBMISSIONS, _PARTIALS, _EVENTS)))


@dataclass(frozen=True, slots=True)
class Waiting:
    """Of one lane: records that nobody has begun, and the seconds that the oldest of them waits."""

    records: int = 0
    oldest_seconds: float = 0.0


class Backlog:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def look(self, now: datetime) -> Mapping[Lane, Waiting]:
        """Every lane, at this moment. Raises Unavailable."""
        found = dict.fromkeys(Lane, Waiting())
        for row in await self._database.rows(BACKLOG, {"now": now}):
            waits = 0.0 if row.since is None else max((now - row.since).total_seconds(), 0.0)
            found[Lane(row.lane)] = Waiting(int(row.records), waits)
        return found
