"""`hermod.ports.notifications.limiter.Limiter` on PostgreSQL: one statement reserves, and the row that it locks makes
it exact.

The algorithm is GCRA: `rates.tat` is the time at which the bucket would be full again. What lies between now and then,
times the rate, are the tokens in use (`used`); a bucket holds a slice of them. A tenant's row in `rate_shares` is the
same for its part of the rate, and counts only while another tenant waits (`seen_at`).

Both rows are read with FOR UPDATE: a caller that had to wait for the lock computes with what the one before it wrote,
not with what its statement saw when it began.

The time is the database's, which is the same for everybody, and not what a caller read a moment ago. A caller whose
clock is ahead is believed, so that where time is skipped it is skipped here too.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from hermod.domain.rates import FURTHEST_AHEAD, burst
from hermod.ports.notifications.limiter import RateRules, Reservation, ReserveRequest
from hermod.storage.database.engine import Database, sql
from hermod.storage.tenants.limits import TenantLimits

WAITS_FOR: Final = 2.0
"""Seconds for which a tenant that did not get all it wanted is left its share; longer where a token takes longer."""
SHARE_WAIT: Final = 1.0
"""Seconds after which one that is held to its share asks again, at the latest: the others may have gone."""
ABSURD: Final = 60.0
"""Seconds beyond what anybody may reserve; a `tat` further away comes from a clock that was wrong, or another rate."""

_CREATE: Final = sql("""
    INSERT INTO rates (bucket, tat) VALUES (CAST(:bucket AS text), :now) ON CONFLICT DO NOTHING
""")

_RESERVE: Final = sql("""
    WITH asked AS (
      SELECT CAST(:rate AS float8) AS rate, CAST(:slice AS float8) AS slice, CAST(:ahead AS float8) AS ahead,
             CAST(:weight AS float8) AS weight, CAST(:most AS int) AS most, CAST(:wanted AS int) AS wanted
    ), bucket AS (
      SELECT tat FROM rates WHERE bucket = CAST(:bucket AS text) FOR UPDATE
    ), shares AS (
      SELECT tenant_id, weight, tat, seen_at FROM rate_shares
       WHERE bucket = CAST(:bucket AS text) AND (SELECT tat FROM bucket) IS NOT NULL
         AND (tenant_id = :tenant OR seen_at > :now - make_interval(secs => CAST(:waits_for AS float8)))
         FOR UPDATE
    ), others AS (
      SELECT coalesce(sum(weight), 0) AS weight FROM shares
       WHERE tenant_id <> :tenant AND seen_at > :now - make_interval(secs => CAST(:waits_for AS float8))
    ), moment AS MATERIALIZED (
      SELECT greatest(CAST(:now AS timestamptz), clock_timestamp()) AS at FROM bucket
    ), times AS (
      SELECT asked.*, moment.at, others.weight > 0 AS shared, asked.weight / (asked.weight + others.weight) AS part,
             extract(epoch FROM bucket.tat - moment.at) AS whole_ahead,
             extract(epoch FROM (SELECT tat FROM shares WHERE tenant_id = :tenant) - moment.at) AS own_ahead
        FROM asked, others, bucket, moment
    ), known AS (
      SELECT *,
             CASE WHEN whole_ahead * rate > slice + rate * CAST(:absurd AS float8) THEN 0
                  ELSE greatest(whole_ahead * rate, 0) END AS used,
             greatest(coalesce(own_ahead, 0) * rate * part, 0) AS own_used,
             greatest(1, slice * part) AS own_slice, CASE WHEN ahead > 0 THEN greatest(1, ahead * part) ELSE 0 END
               AS own_ahead_of
        FROM times
    ), room AS (
      SELECT *, floor(least(
               CASE WHEN used <= slice - 1 + 1e-3 THEN slice - used
                    ELSE least(slice + ahead - used, greatest(1, slice / 4)) END,
               CASE WHEN shared THEN greatest(own_slice + own_ahead_of - own_used, slice * part - used)
                    ELSE most END,
               most) + 1e-3) AS tokens
        FROM known
    ), granted AS (
      SELECT *, greatest(tokens, 0) AS given FROM room
    ), taken AS (
      UPDATE rates SET tat = g.at + make_interval(secs => (g.used + g.given) / g.rate)
        FROM granted g WHERE bucket = CAST(:bucket AS text) AND g.given > 0
    ), noted AS (
      INSERT INTO rate_shares (bucket, tenant_id, weight, tat, seen_at)
      SELECT CAST(:bucket AS text), :tenant, weight,
             at + make_interval(secs => least(own_used + given, own_slice + own_ahead_of) / (rate * part)),
             CASE WHEN given < wanted THEN at ELSE 'epoch' END
        FROM granted WHERE :tenant <> ''
      ON CONFLICT (bucket, tenant_id) DO UPDATE SET weight = excluded.weight, tat = excluded.tat,
                                                    seen_at = excluded.seen_at
    )
    SELECT CAST(given AS int) AS tokens, greatest((used + given - slice) / rate, 0) AS delay,
           greatest((used + given + greatest(1, least(wanted - given, slice / 2)) - slice - ahead) / rate,
                    CASE WHEN shared THEN
                      least((least(own_used + given, own_slice) + greatest(1, least(wanted - given, own_slice / 2))
                             - own_slice) / (rate * part), CAST(:share_wait AS float8)) END,
                    0) AS wait
      FROM granted
""")

_GIVE_BACK: Final = sql("""
    UPDATE rates SET tat = tat - make_interval(secs => CAST(:tokens AS int) / CAST(:rate AS float8))
     WHERE bucket = CAST(:bucket AS text)
""")


class Rates:
    def __init__(self, database: Database, limits: TenantLimits) -> None:
        self._database = database
        self._limits = limits

    async def rules(self, tenant: str) -> RateRules:
        return await self._limits.rules(tenant)

    async def reserve(self, ask: ReserveRequest, now: datetime) -> Reservation:
        names = {
            "bucket": ask.bucket,
            "tenant": ask.tenant or "",
            "weight": ask.weight,
            "rate": ask.rate,
            "slice": ask.burst or burst(ask.rate),
            "ahead": ask.borrow_ahead,
            "most": ask.most,
            "wanted": max(ask.wanted, ask.most),
            "waits_for": max(WAITS_FOR, 4 / ask.rate),
            "absurd": ABSURD + FURTHEST_AHEAD,
            "share_wait": SHARE_WAIT,
            "now": now,
        }
        rows = await self._database.rows(_RESERVE, names)
        if not rows:
            await self._database.execute(_CREATE, {"bucket": ask.bucket, "now": now})
            rows = await self._database.rows(_RESERVE, names)
        (row,) = rows
        return Reservation(tokens=row.tokens, delay=float(row.delay), wait=float(row.wait))

    async def give_back(self, bucket: str, rate: float, tokens: int) -> None:
        await self._database.execute(_GIVE_BACK, {"bucket": bucket, "rate": rate, "tokens": tokens})
