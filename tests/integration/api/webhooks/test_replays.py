"""Replays over the API; Temporal is away, so that what is stored can be looked at."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from hermod.contracts.webhooks.deliveries import DeliveryStatus
from tests.integration.api.conftest import Api, assert_problem
from tests.support.webhooks.rows import WebhookRows

S = DeliveryStatus
SINCE = (datetime.now(UTC) - timedelta(hours=1)).isoformat()


@pytest.fixture
async def rows(api: Api) -> WebhookRows:
    return await WebhookRows.make(api.hermod.core.storage.database, api.tenant, datetime.now(UTC))


async def replay(api: Api, to: str, **asked: Any) -> httpx.Response:
    return await api.client.post(f"/v1/webhook-endpoints/{to}/replay", json={"since": SINCE, **asked})


async def test_dry_run_answers_the_count_and_begins_nothing(api: Api, rows: WebhookRows) -> None:
    failed = await rows.add(S.FAILED)
    await rows.add(S.PARKED)
    response = await replay(api, rows.endpoint, dry_run=True)
    assert response.status_code == 200
    assert response.json() == {
        "id": None,
        "endpoint_id": rows.endpoint,
        "status": None,
        "matching": 2,
        "begun": 0,
        "per_second": 10.0,
        "created_at": None,
        "finished_at": None,
    }
    assert await api.rows("SELECT 1 FROM webhook_replays WHERE tenant_id = :tenant") == []
    assert await rows.status(failed) is S.FAILED


async def test_replay_is_stored_shown_and_moved(api: Api, rows: WebhookRows) -> None:
    await rows.add(S.FAILED)
    response = await replay(api, rows.endpoint, per_second=5)
    assert response.status_code == 202
    begun = response.json()
    assert (begun["status"], begun["matching"], begun["begun"]) == ("running", 1, 0)
    assert (await replay(api, rows.endpoint, per_second=5)).json() == begun, "the same, while it is under way"
    listed = await api.client.get("/v1/webhook-replays", params={"endpoint": rows.endpoint, "status": "running"})
    assert listed.json() == {"items": [begun], "next_cursor": None}
    assert (await api.client.get("/v1/webhook-replays?status=done")).json()["items"] == []
    assert_problem(await api.client.get("/v1/webhook-replays?cursor=x"), 422, "invalid-input", "cursor")
    url = f"/v1/webhook-replays/{begun['id']}"
    assert (await api.client.get(url)).json() == begun
    for move, status in (("pause", "paused"), ("resume", "running"), ("cancel", "cancelled")):
        moved = await api.client.post(f"{url}/{move}")
        assert (moved.status_code, moved.json()["status"]) == (202, status)
    assert_problem(await api.client.post(f"{url}/resume"), 409, "conflict")


async def test_disabled_endpoint_is_refused_until_it_is_enabled(api: Api, rows: WebhookRows) -> None:
    await rows.switch(enabled=False)
    assert_problem(await replay(api, rows.endpoint), 409, "conflict")
    assert (await replay(api, rows.endpoint, dry_run=True)).status_code == 200


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"status": ["queued"]}, "status"),
        ({"status": []}, "status"),
        ({"status": ["nonsense"]}, "status.0"),
        ({"since": "2020-01-01T00:00:00"}, "since"),
        ({"since": "2099-01-01T00:00:00Z"}, "since"),
        ({"until": "2020-01-01T00:00:00Z"}, "since"),
        ({"types": ["order.%"]}, "types.0"),
        ({"per_second": 0}, "per_second"),
        ({"per_second": 100_000}, "per_second"),
        ({"endpoint": "x"}, "endpoint"),
    ],
)
async def test_wrong_replay_is_refused_by_field(api: Api, rows: WebhookRows, asked: dict[str, Any], field: str) -> None:
    assert_problem(await replay(api, rows.endpoint, **asked), 422, "invalid-input", field)


async def test_endpoint_or_replay_of_nobody_or_somebody_else_is_not_found(api: Api, rows: WebhookRows) -> None:
    core = api.hermod.core
    await core.storage.tenants.create(f"{api.tenant}-other", "Other", datetime.now(UTC))
    other = await WebhookRows.make(core.storage.database, f"{api.tenant}-other", datetime.now(UTC))
    for endpoint in (other.endpoint, "whe_0", "x" * 80):
        assert_problem(await replay(api, endpoint), 404, "not-found")
    assert_problem(await api.client.get("/v1/webhook-replays/rpl_0"), 404, "not-found")
    assert_problem(await api.client.post("/v1/webhook-replays/rpl_0/pause"), 404, "not-found")
