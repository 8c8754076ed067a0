"""What a tenant may send: its rate, its rates by recipient domain, and its weight among the others."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from hermod.contracts.errors import InvalidInput
from hermod.contracts.tenants.limits import LEAST_WEIGHT, MOST_WEIGHT, Limits
from hermod.domain.rates import countable
from hermod.ports.notifications.limiter import RateRules
from hermod.storage.database.engine import Database, sql
from hermod.storage.database.ttl_cache import TtlCache
from hermod.storage.tenants.missing import no_tenant

CACHE_SECONDS: Final = 1.0

_RULES: Final = sql("""
    SELECT t.weight, t.rate_per_second,
           (SELECT json_object_agg(d.domain, d.rate_per_second) FROM domain_rates d WHERE d.tenant_id = t.id) AS domains
      FROM tenants t WHERE t.id = :tenant
""")
_PUT: Final = sql("""
    WITH changed AS (
      UPDATE tenants SET rate_per_second = CAST(:rate AS float8) WHERE id = :tenant RETURNING id
    ), wanted AS (
      SELECT d.domain, d.rate FROM changed,
             unnest(CAST(:domains AS text[]), CAST(:rates AS float8[])) AS d(domain, rate)
    ), gone AS (
      DELETE FROM domain_rates WHERE tenant_id = :tenant AND domain <> ALL(CAST(:domains AS text[]))
    ), kept AS (
      INSERT INTO domain_rates (tenant_id, domain, rate_per_second, updated_at)
      SELECT :tenant, domain, rate, :now FROM wanted
      ON CONFLICT (tenant_id, domain) DO UPDATE SET rate_per_second = excluded.rate_per_second, updated_at = :now
    ), audited AS (
      INSERT INTO audit (tenant_id, at, actor, action, subject) SELECT id, :now, :actor, 'limits.put', id FROM changed
    )
    SELECT id FROM changed
""")
_WEIGH: Final = sql("""
    WITH changed AS (
      UPDATE tenants SET weight = CAST(:weight AS float8) WHERE id = :tenant RETURNING id
    )
    INSERT INTO audit (tenant_id, at, actor, action, subject)
    SELECT id, :now, :actor, 'tenant.weight', id FROM changed RETURNING id
""")


class TenantLimits:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._recent = TtlCache(self._read, CACHE_SECONDS)

    async def rules(self, tenant: str) -> RateRules:
        """What applies, at most `CACHE_SECONDS` old. Callers that come while it is read share the reading."""
        return await self._recent.get(tenant) or RateRules()

    async def get(self, tenant: str) -> Limits:
        """Raises NotFound."""
        found = await self._read(tenant)
        if found is None:
            raise no_tenant(tenant)
        return _limits(found.rate, found.domains)

    async def put(self, tenant: str, limits: Limits, *, actor: str, now: datetime) -> Limits:
        """Replace all limits. Works within `CACHE_SECONDS` everywhere. Raises NotFound."""
        names = {
            "tenant": tenant,
            "rate": limits.rate_per_second,
            "domains": list(limits.domains),
            "rates": list(limits.domains.values()),
            "actor": actor,
            "now": now,
        }
        if not await self._database.rows(_PUT, names):
            raise no_tenant(tenant)
        self._recent.forget(tenant)
        return _limits(limits.rate_per_second, limits.domains)

    async def weigh(self, tenant: str, weight: float, *, actor: str, now: datetime) -> None:
        """Change a tenant's part of what it shares with others. Raises InvalidInput and NotFound."""
        if not LEAST_WEIGHT <= weight <= MOST_WEIGHT:
            raise InvalidInput.of("weight", f"between {LEAST_WEIGHT} and {MOST_WEIGHT:.0f}")
        names = {"tenant": tenant, "weight": weight, "actor": actor, "now": now}
        if not await self._database.rows(_WEIGH, names):
            raise no_tenant(tenant)
        self._recent.forget(tenant)

    async def _read(self, tenant: str) -> RateRules | None:
        rows = await self._database.rows(_RULES, {"tenant": tenant})
        if not rows:
            return None
        row = rows[0]
        domains = {name: countable(rate) for name, rate in (row.domains or {}).items()}
        rate = None if row.rate_per_second is None else countable(row.rate_per_second)
        return RateRules(weight=row.weight, rate=rate, domains=domains)


def _limits(rate: float | None, domains: Mapping[str, float]) -> Limits:
    return Limits(rate_per_second=rate, domains=dict(sorted(domains.items())))
