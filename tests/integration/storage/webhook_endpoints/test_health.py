"""The health of endpoints on real PostgreSQL: written seldom, shared by all workers, and nobody is forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
from sqlalchemy import text

from hermod.contracts.webhooks.deliveries import Health, Ordering, WhenExhausted
from hermod.domain.webhooks.endpoint_health import FAILING, ROW
from hermod.ports.webhooks.ledger import Endpoint, Exchange
from hermod.storage.database.engine import Database
from hermod.storage.tenants.tenants import Tenants
from hermod.storage.webhook_endpoints.health import PROBE_GRACE, WINDOW, SqlEndpointHealth
from tests.support.polling import eventually
from tests.support.proxies.postgres_proxy import PostgresProxy

START: Final = datetime(2026, 11, 22, 12, 0, 30, tzinfo=UTC)
SECOND: Final = timedelta(seconds=1)
FIVE_DAYS: Final = timedelta(days=5)
NEVER: Final = timedelta(hours=1)
"""Between two writings of a `Ward` that writes when it is told to."""
OK: Final = Exchange(outcome="success", status_code=200)
DOWN: Final = Exchange(outcome="connect")

_INSERT: Final = text("""
    INSERT INTO webhook_endpoints (tenant_id, id, url, event_types, retry, timeout_seconds, max_concurrency, ordering,
                                   when_exhausted, secrets, header_names, enabled, concurrency)
    VALUES ('demo', :id, 'https://example.com', '{*}', '"webhook"', 15, 10, 'none', 'dead_letter', '', '{}', true, 10)
""")

_HOUR: Final = text("""
    SELECT coalesce(sum(h.succeeded), 0) AS succeeded, coalesce(sum(h.failed), 0) AS failed, e.failing_since
      FROM webhook_endpoints e
      LEFT JOIN webhook_health h ON h.tenant_id = e.tenant_id AND h.endpoint_id = e.id AND h.minute >= :since
     WHERE e.id = :id GROUP BY e.failing_since
""")


@dataclass
class Ward:
    """An endpoint's health as one worker keeps it. Each wave comes a second after the one before."""

    database: Database
    health: SqlEndpointHealth
    now: datetime = START
    changed: list[str] = field(default_factory=list)

    async def add(self, *endpoints: str) -> None:
        for endpoint in endpoints:
            await self.database.execute(_INSERT, {"id": endpoint})

    async def row(self, endpoint: str = "wep_1") -> Any:
        rows = await self.database.rows(text("SELECT * FROM webhook_endpoints WHERE id = :id"), {"id": endpoint})
        return rows[0]

    async def endpoint(self, endpoint: str = "wep_1") -> Endpoint:
        row = await self.row(endpoint)
        return Endpoint(
            tenant="demo",
            id=endpoint,
            url=row.url,
            headers={},
            keys=(),
            waits=(),
            jitter=0.0,
            timeout=timedelta(seconds=15),
            rate_per_second=None,
            concurrency=int(row.concurrency),
            ordering=Ordering.NONE,
            when_exhausted=WhenExhausted.DEAD_LETTER,
            skip_after=None,
            enabled=row.enabled,
            disabled_reason=row.disabled_reason,
            paused_until=row.paused_until,
            pause_reason=row.pause_reason,
            pause_count=row.pause_count,
            revision=row.revision,
        )

    async def wave(self, *exchanges: Exchange, endpoint: str = "wep_1") -> None:
        self.now += SECOND
        await self.health.note(await self.endpoint(endpoint), exchanges, self.now)

    async def hour(self, endpoint: str = "wep_1") -> Health:
        rows = await self.database.rows(_HOUR, {"id": endpoint, "since": self.now - WINDOW})
        return Health(succeeded=rows[0].succeeded, failed=rows[0].failed, failing_since=rows[0].failing_since)

    async def writes(self) -> int:
        """How often the endpoint's row was written."""
        return int((await self.database.rows(text("SELECT xmin::text::int AS n FROM webhook_endpoints"), {}))[0].n)


@pytest.fixture
async def ward(database_url: str) -> AsyncIterator[Ward]:
    database = Database(database_url)
    await Tenants(database).create("demo", "Demo", START)
    changed: list[str] = []
    health = SqlEndpointHealth(
        database, FIVE_DAYS, changed=lambda _tenant, endpoint: changed.append(endpoint), write_every=NEVER
    )
    made = Ward(database, health, changed=changed)
    await made.add("wep_1")
    yield made
    await health.aclose()
    await database.close()


async def test_healthy_endpoint_is_counted_in_memory_and_its_row_never_written(ward: Ward) -> None:
    written = await ward.writes()
    for _ in range(5):
        await ward.wave(OK, OK)
    assert await ward.hour() == Health()
    await ward.health.flush()
    assert await ward.hour() == Health(succeeded=10)
    assert await ward.writes() == written
    assert ward.changed == []


async def test_what_is_counted_is_written_by_and_by(ward: Ward) -> None:
    quick = SqlEndpointHealth(ward.database, FIVE_DAYS, write_every=timedelta(milliseconds=10))
    await quick.note(await ward.endpoint(), [OK, DOWN], ward.now)

    async def written() -> bool:
        return await ward.hour() == Health(succeeded=1, failed=1)

    await eventually(written)
    await quick.aclose()


async def test_what_is_counted_is_written_at_the_end(ward: Ward) -> None:
    await ward.wave(DOWN)
    await ward.health.aclose()
    assert await ward.hour() == Health(failed=1, failing_since=ward.now)


async def test_window_forgets_what_is_older_than_an_hour(ward: Ward) -> None:
    await ward.wave(OK)
    await ward.health.flush()
    ward.now += WINDOW + timedelta(minutes=1)
    assert await ward.hour() == Health()
    await ward.wave(OK, OK)
    await ward.health.flush()
    assert await ward.hour() == Health(succeeded=2)
    rows = await ward.database.rows(text("SELECT count(*) AS n FROM webhook_health"), {})
    assert rows[0].n == 1


async def test_row_of_failures_opens_the_breaker_for_everybody_at_once(ward: Ward) -> None:
    await ward.wave(*[DOWN] * ROW)
    endpoint = await ward.endpoint()
    assert (endpoint.paused_until, endpoint.pause_reason) == (ward.now + 30 * SECOND, FAILING)
    assert ward.changed == ["wep_1"]


async def test_row_of_failures_over_two_workers_opens_the_breaker(ward: Ward) -> None:
    other = SqlEndpointHealth(ward.database, FIVE_DAYS, write_every=NEVER)
    await ward.wave(*[DOWN] * (ROW - 1))
    await ward.health.flush()
    await other.note(await ward.endpoint(), [DOWN], ward.now)
    await other.aclose()
    assert (await ward.endpoint()).pause_reason == FAILING


async def test_breaker_opened_by_two_workers_at_once_opens_once(ward: Ward) -> None:
    others = [SqlEndpointHealth(ward.database, FIVE_DAYS, write_every=NEVER) for _ in range(5)]
    endpoint = await ward.endpoint()
    await asyncio.gather(*(other.note(endpoint, [DOWN] * ROW, ward.now) for other in others))
    assert (await ward.endpoint()).pause_count == 1
    for other in others:
        await other.aclose()


async def test_half_open_endpoint_is_probed_by_one_of_many(ward: Ward) -> None:
    await ward.wave(*[DOWN] * ROW)
    endpoint = await ward.endpoint()
    assert not await ward.health.claim_probe(endpoint, ward.now)
    later = ward.now + 30 * SECOND
    claims = await asyncio.gather(*(ward.health.claim_probe(endpoint, later) for _ in range(10)))
    assert sum(claims) == 1
    assert (await ward.endpoint()).paused_until == later + endpoint.timeout + PROBE_GRACE


async def test_probe_that_fails_closes_the_door_again_and_one_that_succeeds_opens_it(ward: Ward) -> None:
    await ward.wave(*[DOWN] * ROW)
    ward.now += 60 * SECOND
    assert await ward.health.claim_probe(await ward.endpoint(), ward.now)
    await ward.wave(DOWN)
    endpoint = await ward.endpoint()
    assert (endpoint.paused_until, endpoint.pause_count) == (ward.now + 60 * SECOND, 2)
    ward.now += 120 * SECOND
    assert await ward.health.claim_probe(endpoint, ward.now)
    await ward.wave(OK)
    row = await ward.row()
    assert (row.paused_until, row.pause_reason, row.pause_count) == (None, None, 0)
    assert (row.failing_since, row.failures) == (None, 0)


async def test_pause_that_was_asked_for_and_less_load_are_known_at_once(ward: Ward) -> None:
    await ward.wave(Exchange(outcome="http_error", status_code=429, retry_after=3600))
    endpoint = await ward.endpoint()
    assert (endpoint.paused_until, endpoint.pause_reason) == (ward.now + timedelta(hours=1), "asked")
    assert endpoint.concurrency == 5


async def test_endpoint_that_is_gone_is_disabled_with_notice_and_audit(ward: Ward) -> None:
    await ward.wave(Exchange(outcome="http_error", status_code=410))
    row = await ward.row()
    assert (row.enabled, row.disabled_reason, row.disabled_at) == (False, "gone", ward.now)
    (notice,) = await ward.database.rows(text("SELECT * FROM webhook_notices"), {})
    assert (notice.endpoint_id, notice.reason, notice.announced_at) == ("wep_1", "gone", None)
    (audited,) = await ward.database.rows(text("SELECT actor, subject FROM audit WHERE action LIKE '%disable'"), {})
    assert (audited.actor, audited.subject) == ("hermod", "wep_1")


async def test_endpoint_disabled_by_several_at_once_is_noticed_once(ward: Ward) -> None:
    others = [SqlEndpointHealth(ward.database, FIVE_DAYS, write_every=NEVER) for _ in range(4)]
    endpoint, gone = await ward.endpoint(), Exchange(outcome="http_error", status_code=410)
    await asyncio.gather(*(other.note(endpoint, [gone], ward.now) for other in others))
    rows = await ward.database.rows(text("SELECT count(*) AS n FROM webhook_notices"), {})
    assert rows[0].n == 1


async def test_days_of_failure_disable_and_a_success_in_the_last_wave_does_not(ward: Ward) -> None:
    await ward.add("wep_2")
    end = START + FIVE_DAYS
    while ward.now < end - timedelta(hours=12):
        for endpoint in ("wep_1", "wep_2"):
            await ward.wave(DOWN, endpoint=endpoint)
        await ward.health.flush()
        ward.now += timedelta(hours=12)
    ward.now = end + timedelta(minutes=1)
    await ward.wave(DOWN)
    await ward.wave(DOWN, OK, endpoint="wep_2")
    await ward.health.flush()
    disabled, working = await ward.row(), await ward.row("wep_2")
    assert (disabled.enabled, disabled.disabled_reason) == (False, FAILING)
    assert (working.enabled, working.failing_since) == (True, None)


async def test_database_away_what_was_noted_is_kept_and_written_when_it_is_back(
    ward: Ward, database_url: str, database_proxy: PostgresProxy
) -> None:
    database = Database(database_proxy.through(database_url))
    health = SqlEndpointHealth(database, FIVE_DAYS, write_every=NEVER)
    endpoint = await ward.endpoint()
    database_proxy.shut()
    await health.note(endpoint, [Exchange(outcome="http_error", status_code=410)], ward.now)
    await health.note(endpoint, [DOWN, DOWN], ward.now)
    assert (await ward.row()).enabled
    await database_proxy.accept()
    await health.aclose()
    await database.close()
    assert (await ward.row()).disabled_reason == "gone"
    assert await ward.hour() == Health(failed=3, failing_since=ward.now)


async def test_endpoint_that_was_deleted_meanwhile_is_no_fault(ward: Ward) -> None:
    endpoint = await ward.endpoint()
    await ward.database.execute(text("DELETE FROM webhook_endpoints"), {})
    await ward.health.note(endpoint, [DOWN] * ROW, ward.now)
    await ward.health.flush()
    assert ward.changed == []
