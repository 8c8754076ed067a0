"""`/v1/analytics`: what is refused, and what is said while ClickHouse is away, as it is here."""

from __future__ import annotations

import pytest

from tests.integration.api.conftest import Api, assert_problem


@pytest.mark.parametrize(
    "path", ["timeseries", "top", "funnel", "funnel?steps=a,b", "funnel?steps=a&steps=b&by=session"]
)
async def test_question_while_clickhouse_is_away_is_a_problem_to_try_again(api: Api, path: str) -> None:
    response = await api.client.get(f"/v1/analytics/{path}")
    assert_problem(response, 503, "unavailable")
    assert response.headers["retry-after"]


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("timeseries?type=order%20paid", "type"),
        ("timeseries?type=*.paid", "type"),
        ("timeseries?interval=week", "interval"),
        ("timeseries?since=yesterday", "since"),
        ("timeseries?since=2026-11-01T00:00:00", "since"),
        ("timeseries?interval=minute&since=2026-11-01T00:00:00Z&until=2026-11-03T00:00:00Z", "since"),
        ("timeseries?interval=hour&since=2026-01-01T00:00:00Z&until=2026-11-01T00:00:00Z", "since"),
        ("timeseries?interval=day&since=2025-01-01T00:00:00Z&until=2026-11-01T00:00:00Z", "since"),
        ("timeseries?since=2026-11-02T00:00:00Z&until=2026-11-01T00:00:00Z", "since"),
        ("timeseries?since=1969-12-31T23:00:00Z&until=1970-01-01T00:00:00Z", "since"),
        ("timeseries?until=2099-01-01T00:00:00Z", "until"),
        ("top?since=2099-01-01T00:00:00Z", "since"),
        ("timeseries?property=plan", "property.0"),
        ("timeseries?property=pl`an=x", "property.0"),
        ("timeseries?property=a=1&property=a=1&property=a=1&property=a=1&property=a=1&property=a=1", "property"),
        ("timeseries?limit=7", "limit"),
        ("timeseries?timezone=Mars/Olympus", "timezone"),
        ("timeseries?timezone=../../etc/passwd", "timezone"),
        ("timeseries?timezone=a%00b", "timezone"),
        ("timeseries?timezone=", "timezone"),
        ("top?by=tenant", "by"),
        ("top?by=property:", "by"),
        ("top?limit=0", "limit"),
        ("top?limit=101", "limit"),
        ("funnel?channel=pigeon", "channel"),
        ("funnel?steps=a", "steps"),
        ("funnel?steps=a,,b", "steps.1"),
        ("funnel?steps=a,b.*", "steps.1"),
        ("funnel?steps=a,b&within=0", "within"),
        ("funnel?steps=a,b&channel=email&campaign=x", "campaign"),
        ("funnel?within=60", "within"),
        ("funnel?by=session", "by"),
    ],
)
async def test_wrong_question_is_refused_and_the_parameter_named(api: Api, path: str, field: str) -> None:
    assert_problem(await api.client.get(f"/v1/analytics/{path}"), 422, "invalid-input", field)


async def test_question_without_a_key_is_refused(api: Api) -> None:
    response = await api.client.get("/v1/analytics/top", headers={"authorization": ""})
    assert_problem(response, 401, "unauthorized")
