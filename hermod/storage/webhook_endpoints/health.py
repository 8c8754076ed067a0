"""The health of webhook endpoints, for all workers alike. The rules are `hermod.domain.webhooks.endpoint_health`.

What requests come to is added up in memory and written once a second for all endpoints together, so that a busy healthy
endpoint costs no statement of its own. What other workers must know before more requests leave (a pause, a 410, a row
of failures, less load, the outcome of a probe) is written at once. A crash loses a second of the rolling window, and
at most the beginning of a row of failures: the next failures say the same again.

An endpoint is disabled in the same transaction that writes down whom to tell (`webhook_notices`); right after it, what
waits for the endpoint is parked.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Row

from hermod.contracts.errors import Unavailable
from hermod.domain.webhooks.endpoint_health import Condition, Tally, after, tally
from hermod.ports.webhooks.ledger import Endpoint, Exchange
from hermod.storage.database.engine import Database, sql
from hermod.storage.webhooks.waiting import close_open_deliveries
from hermod.telemetry import get_logger

WRITE_EVERY: Final = timedelta(seconds=1)
WINDOW: Final = timedelta(hours=1)
"""How much of the past `Health` tells of; older rows go."""
PROBE_GRACE: Final = timedelta(seconds=15)
"""On top of the endpoint's time-out: so long one request has a half-open endpoint to itself."""

_log = get_logger(__name__)

_CHANGING: Final = (
    "paused_until", "pause_reason", "pause_count", "concurrency", "slowed_at", "failing_since", "failed_at", "failures",
)  # fmt: skip
_COLUMNS: Final = ("enabled", "disabled_reason", "max_concurrency", *_CHANGING)

_COUNT: Final = sql(f"""
    WITH news AS (
      SELECT * FROM unnest(CAST(:tenants AS text[]), CAST(:endpoints AS text[]), CAST(:succeeded AS int[]),
                           CAST(:failed AS int[])) AS n(tenant, endpoint, succeeded, failed)
    ), counted AS (
      INSERT INTO webhook_health AS h (tenant_id, endpoint_id, minute, succeeded, failed)
      SELECT tenant, endpoint, date_trunc('minute', CAST(:now AS timestamptz)), succeeded, failed
        FROM news WHERE succeeded + failed > 0 ORDER BY tenant, endpoint
      ON CONFLICT (tenant_id, endpoint_id, minute) DO UPDATE
         SET succeeded = h.succeeded + excluded.succeeded, failed = h.failed + excluded.failed
    ), pruned AS (
      DELETE FROM webhook_health WHERE ctid = ANY(ARRAY(
        SELECT h.ctid FROM webhook_health h JOIN news n ON h.tenant_id = n.tenant AND h.endpoint_id = n.endpoint
         WHERE h.minute < :until FOR UPDATE OF h SKIP LOCKED))
    )
    SELECT e.tenant_id, e.id, {", ".join(f"e.{name}" for name in _COLUMNS)}
      FROM webhook_endpoints e JOIN news n ON e.tenant_id = n.tenant AND e.id = n.endpoint
""")  # noqa: S608

_LOCK: Final = sql(f"""
    SELECT {", ".join(_COLUMNS)} FROM webhook_endpoints WHERE tenant_id = :tenant AND id = :id FOR NO KEY UPDATE
""")  # noqa: S608

_CHANGE: Final = sql("""
    UPDATE webhook_endpoints
       SET paused_until = CAST(:paused_until AS timestamptz), pause_reason = CAST(:pause_reason AS text),
           pause_count = CAST(:pause_count AS int), concurrency = CAST(:concurrency AS float8),
           slowed_at = CAST(:slowed_at AS timestamptz), failing_since = CAST(:failing_since AS timestamptz),
           failed_at = CAST(:failed_at AS timestamptz), failures = CAST(:failures AS int)
     WHERE tenant_id = :tenant AND id = :id
""")

_DISABLE: Final = sql("""
    WITH disabled AS (
      UPDATE webhook_endpoints
         SET enabled = false, disabled_reason = :reason, disabled_at = :now, updated_at = :now,
             paused_until = NULL, pause_reason = NULL, pause_count = 0,
             failing_since = CAST(:failing_since AS timestamptz)
       WHERE tenant_id = :tenant AND id = :id
      RETURNING id
    ), noticed AS (
      INSERT INTO webhook_notices (tenant_id, endpoint_id, disabled_at, reason, failing_since)
      SELECT :tenant, id, :now, :reason, CAST(:failing_since AS timestamptz) FROM disabled
    )
    INSERT INTO audit (tenant_id, at, actor, action, subject, detail)
    SELECT :tenant, :now, 'hermod', 'webhook_endpoint.disable', id, jsonb_build_object('reason', :reason) FROM disabled
""")

_CLAIM: Final = sql("""
    UPDATE webhook_endpoints SET paused_until = :until
     WHERE tenant_id = :tenant AND id = :id AND enabled AND pause_reason = 'failing' AND paused_until <= :now
    RETURNING id
""")

_Key = tuple[str, str]


class SqlEndpointHealth:
    """Implements `hermod.ports.webhooks.ledger.EndpointHealth`.

    `disable_after`: so long a time of failure disables an endpoint. `changed` is told the tenant and id of each
    endpoint whose condition this process changed, so that a cache of it can be dropped.
    """

    def __init__(
        self,
        database: Database,
        disable_after: timedelta,
        *,
        changed: Callable[[str, str], None] = lambda _tenant, _endpoint: None,
        write_every: timedelta = WRITE_EVERY,
    ) -> None:
        self._database = database
        self._disable_after = disable_after
        self._changed = changed
        self._write_every = write_every
        self._unwritten: dict[_Key, Tally] = {}
        self._last_noted: datetime | None = None
        self._writer: asyncio.Task[None] | None = None

    async def note(self, endpoint: Endpoint, exchanges: Sequence[Exchange], now: datetime) -> None:
        """Never raises `Unavailable`: what cannot be written now is tried again with what comes."""
        news = tally(exchanges, endpoint.pause_count, now)
        if news == Tally():
            return
        key = (endpoint.tenant, endpoint.id)
        self._unwritten[key] = self._unwritten.get(key, Tally()) + news
        self._last_noted = now
        closes = endpoint.pause_count > 0 and news.works
        if closes or self._unwritten[key].is_urgent:
            await self._write([key], now)
        if self._unwritten and self._writer is None:
            self._writer = asyncio.create_task(self._write_by_and_by())

    async def claim_probe(self, endpoint: Endpoint, now: datetime) -> bool:
        until = now + endpoint.timeout + PROBE_GRACE
        names = {"tenant": endpoint.tenant, "id": endpoint.id, "now": now, "until": until}
        won = bool(await self._database.rows(_CLAIM, names))
        self._changed(endpoint.tenant, endpoint.id)
        return won

    async def flush(self) -> None:
        """Write what is only in memory. What the database does not take stays there."""
        if self._unwritten and self._last_noted is not None:
            await self._write(list(self._unwritten), self._last_noted)

    async def aclose(self) -> None:
        """Write the rest. Nothing is noted any more."""
        if self._writer is not None:
            self._writer.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._writer
        await self.flush()

    async def _write_by_and_by(self) -> None:
        try:
            while self._unwritten:
                await asyncio.sleep(self._write_every.total_seconds())
                await self.flush()
        finally:
            self._writer = None

    async def _write(self, keys: Sequence[_Key], now: datetime) -> None:
        taken = {key: self._unwritten.pop(key) for key in keys}
        try:
            rows = await self._database.rows(_COUNT, _columns(taken, now))
        except BaseException as error:
            self._put_back(taken)
            if not isinstance(error, Unavailable):
                raise
            return
        for row in rows:
            key = (row.tenant_id, row.id)
            condition, news = _condition(row), taken.pop(key)
            if after(condition, news, now, self._disable_after) == condition:
                continue
            try:
                await self._take_in(key, news, now)
            except BaseException as error:
                self._put_back({key: news.counted()} | {other: each.counted() for other, each in taken.items()})
                if not isinstance(error, Unavailable):
                    raise
                return

    def _put_back(self, tallies: Mapping[_Key, Tally]) -> None:
        _log.warning("endpoint_health_unwritten", endpoints=len(tallies))
        for key, earlier in tallies.items():
            self._unwritten[key] = earlier + self._unwritten.get(key, Tally())

    async def _take_in(self, key: _Key, news: Tally, now: datetime) -> None:
        """Change the endpoint's condition under its lock: another worker may have just done so."""
        tenant, endpoint = key
        names: dict[str, Any] = {"tenant": tenant, "id": endpoint}
        async with self._database.begin() as connection:
            row = (await connection.execute(_LOCK, names)).one_or_none()
            if row is None:
                return
            before = _condition(row)
            then = after(before, news, now, self._disable_after)
            if not then.enabled and before.enabled:
                facts = {"reason": then.disabled_reason, "failing_since": then.failing_since, "now": now}
                await connection.execute(_DISABLE, names | facts)
            elif then != before:
                await connection.execute(_CHANGE, names | {name: getattr(then, name) for name in _CHANGING})
        self._changed(tenant, endpoint)
        _log_change(tenant, endpoint, before, then)
        if before.enabled and not then.enabled:
            await close_open_deliveries(self._database, tenant, endpoint, now)


def _log_change(tenant: str, endpoint: str, before: Condition, then: Condition) -> None:
    names = {"tenant": tenant, "endpoint": endpoint}
    if before.enabled and not then.enabled:
        _log.warning("endpoint_disabled", reason=then.disabled_reason, **names)
    elif then.pause_count > before.pause_count and then.paused_until is not None:
        _log.warning("endpoint_rests", until=then.paused_until.isoformat(), failures=then.failures, **names)
    elif before.pause_count and not then.pause_count:
        _log.info("endpoint_works_again", **names)


def _condition(row: Row[Any]) -> Condition:
    return Condition(**{name: getattr(row, name) for name in _COLUMNS})


def _columns(tallies: Mapping[_Key, Tally], now: datetime) -> dict[str, Any]:
    return {
        "tenants": [tenant for tenant, _ in tallies],
        "endpoints": [endpoint for _, endpoint in tallies],
        "succeeded": [each.succeeded for each in tallies.values()],
        "failed": [each.failed for each in tallies.values()],
        "now": now,
        "until": now - WINDOW,
    }
