"""Deliveries that wait together for an endpoint in trouble, and the end of all that wait for one that is disabled.

A waiting delivery belongs to its endpoint's waiter, `webhook-endpoint/{tenant}/{endpoint}`, which has no list of them:
it asks here. An index of its own has just these rows, so that a healthy endpoint's deliveries cost nothing more.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from hermod.contracts.errors import Unavailable
from hermod.contracts.notifications.delivery import BATCH_SIZE
from hermod.contracts.webhooks.deliveries import BATCH_BYTES
from hermod.contracts.webhooks.steps import NextForEndpoint
from hermod.domain.webhooks.endpoint_health import FAILING, FOR_THE_ENDPOINT, is_half_open, is_paused
from hermod.storage.database.engine import Database, sql
from hermod.telemetry import get_logger

CLOSED_AT_ONCE: Final = 5_000
"""Deliveries in one statement."""
SHORTEST_WAIT: Final = 1.0
"""Seconds. Nothing that waits is looked at more often."""

WITH_WAITER: Final = "starts_with(workflow_id, 'webhook-endpoint/')"
"""Of `webhook_deliveries`: its endpoint's waiter owns it. In these words, which are the index's."""
_WAITING: Final = (
    f"tenant_id = :tenant AND endpoint_id = CAST(:endpoint AS text) AND finished_at IS NULL AND {WITH_WAITER}"
)
_DUE_AT: Final = """
    least(coalesce(next_attempt_at, updated_at),
          CASE WHEN wait_reason = ANY(CAST(:for_the_endpoint AS text[])) THEN updated_at + interval '1 second' END)
"""
"""Once the endpoint's pause is over. Who looked at the endpoint just before its pause ended holds back once more, with
a time from before; hence the second."""

_log = get_logger(__name__)

_STANDING: Final = sql("""
    SELECT count(*) > 0 AS known, coalesce(bool_or(enabled), false) AS enabled,
           max(paused_until) AS paused_until, max(pause_reason) AS pause_reason
      FROM webhook_endpoints WHERE tenant_id = :tenant AND id = CAST(:endpoint AS text) AND deleted_at IS NULL
""")

_DUE: Final = sql(f"""
    SELECT d.id, coalesce(octet_length(e.body), 0) AS size
      FROM (SELECT id, event_id FROM webhook_deliveries WHERE {_WAITING} AND {_DUE_AT} <= :now
             ORDER BY id LIMIT CAST(:limit AS int)) d
      LEFT JOIN webhook_events e ON e.tenant_id = :tenant AND e.id = d.event_id
     ORDER BY d.id
""")  # noqa: S608 - the words are ours

_FIRST_DUE: Final = sql(f"SELECT min({_DUE_AT}) AS at FROM webhook_deliveries WHERE {_WAITING}")  # noqa: S608

_COME_FIRST: Final = sql(f"""
    WITH first AS (
      SELECT coalesce(next_attempt_at, '-infinity') AS due, id FROM webhook_deliveries
       WHERE {_WAITING} AND id = ANY(CAST(:ids AS text[])) ORDER BY 1, 2 LIMIT 1
    )
    SELECT id FROM first
     WHERE NOT EXISTS (SELECT 1 FROM webhook_deliveries d
                        WHERE {_WAITING} AND d.id <> ALL(CAST(:ids AS text[]))
                          AND (coalesce(d.next_attempt_at, '-infinity'), d.id) < (first.due, first.id))
""")  # noqa: S608

_FORGOTTEN: Final = sql(f"""
    SELECT DISTINCT d.tenant_id, d.endpoint_id
      FROM (SELECT tenant_id, endpoint_id, {_DUE_AT} AS due_at FROM webhook_deliveries
             WHERE finished_at IS NULL AND {WITH_WAITER} AND updated_at < :until) d
      LEFT JOIN webhook_endpoints e ON e.tenant_id = d.tenant_id AND e.id = d.endpoint_id AND e.deleted_at IS NULL
     WHERE CASE WHEN e.enabled THEN greatest(d.due_at, e.paused_until) < :until ELSE true END
     LIMIT CAST(:limit AS int)
""")  # noqa: S608

_CLOSE: Final = sql("""
    WITH standing AS (
      SELECT count(*) > 0 AS known, coalesce(bool_or(enabled), false) AS enabled
        FROM webhook_endpoints WHERE tenant_id = :tenant AND id = CAST(:endpoint AS text) AND deleted_at IS NULL
    ), chosen AS (
      SELECT id FROM webhook_deliveries
       WHERE tenant_id = :tenant AND endpoint_id = CAST(:endpoint AS text) AND finished_at IS NULL
         AND order_key IS NULL AND status IN ('pending', 'queued', 'retrying') AND NOT (SELECT enabled FROM standing)
       LIMIT CAST(:limit AS int) FOR NO KEY UPDATE SKIP LOCKED
    )
    UPDATE webhook_deliveries d
       SET status = CASE WHEN s.known THEN 'parked' ELSE 'cancelled' END,
           parked_at = CASE WHEN s.known THEN CAST(:now AS timestamptz) END,
           error = CASE WHEN s.known THEN d.error ELSE 'the endpoint was deleted' END,
           next_attempt_at = NULL, wait_reason = NULL, finished_at = :now, updated_at = :now
      FROM chosen c CROSS JOIN standing s
     WHERE d.tenant_id = :tenant AND d.id = c.id
    RETURNING d.id
""")
"""Never one with a request under way, and none that somebody else is changing, who will see for himself."""


class WaitingFor(NamedTuple):
    tenant: str
    endpoint: str


async def close_open_deliveries(database: Database, tenant: str, endpoint: str, now: datetime) -> None:
    """Park what is at rest where the endpoint is disabled, cancel it where that was deleted, whoever owns it.

    Call it after that was committed. Deliveries that keep order are left to their line, which would stand behind a
    parked one; what the database cannot take now is closed by its workflow when that comes to it.
    """
    names = {"tenant": tenant, "endpoint": endpoint, "now": now, "limit": CLOSED_AT_ONCE}
    try:
        while len(await database.rows(_CLOSE, names)) == CLOSED_AT_ONCE:
            pass
    except Unavailable:
        _log.warning("open_deliveries_not_closed", tenant=tenant, endpoint=endpoint)


class WebhookWaiting:
    """`hermod.ports.webhooks.lines.WaitingDeliveries`, and the sweeper's look for endpoints whose waiter is gone."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def next(self, tenant: str, endpoint: str, now: datetime) -> NextForEndpoint:
        names = {"tenant": tenant, "endpoint": endpoint, "now": now, "for_the_endpoint": list(FOR_THE_ENDPOINT)}
        (standing,) = await self._database.rows(_STANDING, names)
        paused_until, pause_reason = standing.paused_until, standing.pause_reason
        if not standing.enabled:
            await close_open_deliveries(self._database, tenant, endpoint, now)
        elif not is_paused(paused_until, now):
            # Of an endpoint that is half open one delivery finds out how it is; the others need not be fetched.
            limit = 1 if is_half_open(paused_until, pause_reason, now) else BATCH_SIZE
            if due := await self._due(names | {"limit": limit}):
                return NextForEndpoint(deliveries=due)
        (first,) = await self._database.rows(_FIRST_DUE, names)
        if first.at is None:
            return NextForEndpoint()
        if standing.enabled and is_paused(paused_until, now):
            what = "failing: next try at" if pause_reason == FAILING else "paused by its receiver until"
            return _wait(paused_until, now, what)
        if first.at <= now:
            return NextForEndpoint(deliveries=await self._due(names | {"limit": BATCH_SIZE}), seconds=SHORTEST_WAIT)
        return _wait(first.at, now, "next attempt at")

    async def come_first(self, tenant: str, endpoint: str, deliveries: Collection[str]) -> bool:
        """Whether one of these waiting deliveries is due before all others that wait for the endpoint."""
        names = {"tenant": tenant, "endpoint": endpoint, "ids": list(deliveries)}
        return bool(await self._database.rows(_COME_FIRST, names))

    async def forgotten(self, now: datetime, *, still: timedelta, limit: int) -> list[WaitingFor]:
        """Endpoints for which something waits that could have gone, or ended, longer ago than `still`."""
        names = {"until": now - still, "limit": limit, "for_the_endpoint": list(FOR_THE_ENDPOINT)}
        return [WaitingFor(row.tenant_id, row.endpoint_id) for row in await self._database.rows(_FORGOTTEN, names)]

    async def _due(self, names: dict[str, object]) -> tuple[str, ...]:
        """The oldest, as many as one dispatch has in memory; one at least."""
        chosen: list[str] = []
        size = 0
        for row in await self._database.rows(_DUE, names):
            size += row.size
            if chosen and size > BATCH_BYTES:
                break
            chosen.append(row.id)
        return tuple(chosen)


def _wait(until: datetime, now: datetime, what: str) -> NextForEndpoint:
    seconds = max((until - now).total_seconds(), SHORTEST_WAIT)
    return NextForEndpoint(seconds=seconds, reason=f"{what} {until:%Y-%m-%d %H:%M:%S} UTC")
