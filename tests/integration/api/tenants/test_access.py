"""Keys, and what everybody may ask: authentication comes first, and problems look the same everywhere."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from tests.integration.api.conftest import EMAIL, Api, assert_problem
from web.http.arrival import MOST_UNREAD

TENANT_CALLS = [
    ("POST", "/v1/messages"),
    ("POST", "/v1/messages/batch"),
    ("GET", "/v1/messages"),
    ("GET", "/v1/messages?limit=nonsense"),
    ("GET", "/v1/messages/msg_1"),
    ("POST", "/v1/messages/msg_1/cancel"),
    ("POST", "/v1/messages/msg_1/retry"),
    ("POST", "/v1/messages/msg_1/resolve"),
    ("PUT", "/v1/provider-accounts/new"),
    ("GET", "/v1/provider-accounts/new"),
    ("GET", "/v1/provider-accounts"),
    ("POST", "/v1/suppressions"),
    ("GET", "/v1/suppressions"),
    ("DELETE", "/v1/suppressions/sup_1"),
]


@pytest.mark.parametrize(("method", "path"), TENANT_CALLS)
@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer ", "Basic aGs6", "Bearer hk_0123456789ab_aaaaaaaaaaaaaaaaaaaaaaaa", "Bearer é"],
)
async def test_key_is_missing_or_wrong_is_refused_whatever_comes_after_the_head(
    api: Api, method: str, path: str, authorization: str
) -> None:
    taken = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal taken
        while True:
            taken += 4096
            yield bytes(4096)

    headers = {b"authorization": authorization.encode("utf-8")}
    response = await api.client.request(method, path, content=body(), headers=headers)
    assert_problem(response, 401, "unauthorized")
    assert response.headers["www-authenticate"].startswith("Bearer")
    assert taken <= MOST_UNREAD + 4096
    assert response.headers["connection"] == "close"


async def test_key_is_revoked_is_refused(api: Api) -> None:
    tenants, now = api.hermod.core.storage.tenants, api.hermod.core.clock.now()
    key = await tenants.create_key(api.tenant, "short-lived", now)
    headers = {"authorization": f"bearer {key.key}"}
    assert (await api.client.get("/v1/messages", headers=headers)).status_code == 200
    await tenants.revoke_key(api.tenant, key.id, now)
    assert_problem(await api.client.get("/v1/messages", headers=headers), 401, "unauthorized")


@pytest.mark.parametrize(
    ("method", "path", "status", "kind"),
    [
        ("GET", "/nothing", 404, "not-found"),
        ("GET", "/v1/messages/", 404, "not-found"),
        ("GET", "/docs/assets/nothing.js", 404, "not-found"),
        ("GET", "/docs/assets/../../web/app.py", 404, "not-found"),
        ("DELETE", "/v1/messages", 405, "method-not-allowed"),
        ("PATCH", "/health", 405, "method-not-allowed"),
    ],
)
async def test_path_or_method_is_unknown_is_a_problem_too(
    api: Api, method: str, path: str, status: int, kind: str
) -> None:
    assert_problem(await api.client.request(method, path), status, kind)


async def test_error_is_unexpected_tells_the_caller_nothing(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a secret of the inside")

    logged: list[str] = []
    monkeypatch.setattr(type(api.hermod.core.storage.messages), "view", broken)
    monkeypatch.setattr("web.http.request_log._log.error", lambda event, **_: logged.append(event), raising=False)
    response = await api.client.get("/v1/messages/msg_1", headers={"x-request-id": "find-me"})
    assert_problem(response, 500, "unexpected")
    assert "secret" not in response.text
    assert response.headers["x-request-id"] == "find-me"
    assert logged == ["request_failed"]


async def test_request_is_answered_is_counted_by_route(api: Api) -> None:
    await api.send(EMAIL)
    await api.client.get("/v1/messages/msg_1")
    await api.client.get("/nothing")
    metrics = (await api.client.get("/metrics")).text
    for line in (
        'hermod_http_request_seconds_count{method="POST",route="/v1/messages",status="2xx"}',
        'hermod_http_request_seconds_count{method="GET",route="/v1/messages/{id}",status="4xx"}',
        'hermod_http_request_seconds_count{method="GET",route="unmatched",status="4xx"}',
        "hermod_messages_accepted_total",
    ):
        assert line in metrics
    assert "msg_1" not in metrics
    assert (await api.client.get("/queue/metrics")).text.startswith("# HELP")


async def test_server_is_asked_for_health_while_temporal_is_away_says_so(api: Api) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(api.app), base_url="http://hermod.test") as anybody:
        health = await anybody.get("/health")
        assert health.status_code == 503
        report = health.json()
        assert (report["status"], report["database"]["ok"], report["temporal"]["ok"]) == ("degraded", True, False)
        assert set(report) == {
            *("status", "database", "temporal", "workers", "clickhouse", "backlog", "unserved", "refused_events")
        }
        assert (await anybody.head("/health")).status_code == 503
        for path in ("/queue/health", "/api/v1/workers/health"):
            part = await anybody.get(path)
            assert (part.status_code, part.json()["status"]) == (503, "down")
