"""Times beyond the calendar, rates that are none, truth values for numbers, NULs: a 422 at every door, never a 500."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from tests.integration.api.conftest import Api, assert_problem
from tests.integration.api.reporting import give_secret, make, signed
from tests.support.webhooks.rows import WebhookRows

BEYOND = ["9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59.9999999-00:01"]
EDGES = [
    "9999-12-31T23:59:59.9999999Z",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59+14:00",
    "0001-01-01T00:00:00-14:00",
]
NO_RATES = [1e-300, 1e-9, True, False, 0, -1, "5", 1e300]
NEVER = EDGES[0]


@pytest.mark.parametrize("at", BEYOND)
@pytest.mark.parametrize("name", ["since", "until"])
async def test_list_of_deliveries_since_no_time_is_refused(api: Api, name: str, at: str) -> None:
    assert_problem(await api.client.get("/v1/webhook-deliveries", params={name: at}), 422, "invalid-input", name)


@pytest.mark.parametrize("at", EDGES)
@pytest.mark.parametrize("name", ["since", "until"])
async def test_list_of_deliveries_since_the_edge_of_time_is_answered(api: Api, name: str, at: str) -> None:
    assert (await api.client.get("/v1/webhook-deliveries", params={name: at})).status_code == 200


@pytest.mark.parametrize("at", [*BEYOND, *EDGES])
@pytest.mark.parametrize("path", ["timeseries?type=a.b&", "top?", "funnel?"])
@pytest.mark.parametrize("name", ["since", "until"])
async def test_question_about_no_time_is_refused(api: Api, path: str, name: str, at: str) -> None:
    response = await api.client.get(f"/v1/analytics/{path}{name}={at.replace('+', '%2B')}")
    assert_problem(response, 422, "invalid-input", name if at in BEYOND else None)


@pytest.mark.parametrize("at", BEYOND)
@pytest.mark.parametrize("name", ["since", "until"])
async def test_replay_since_no_time_is_refused(api: Api, name: str, at: str) -> None:
    rows = await WebhookRows.make(api.hermod.core.storage.database, api.tenant, api.hermod.core.clock.now())
    given = {"since": EDGES[1], "dry_run": True} | {name: at}
    response = await api.client.post(f"/v1/webhook-endpoints/{rows.endpoint}/replay", json=given)
    assert_problem(response, 422, "invalid-input", name)


@pytest.mark.parametrize("dry_run", [True, False])
@pytest.mark.parametrize("since", [EDGES[1], EDGES[3]])
async def test_replay_since_ever_is_taken(api: Api, since: str, dry_run: bool) -> None:
    rows = await WebhookRows.make(api.hermod.core.storage.database, api.tenant, api.hermod.core.clock.now())
    given = {"since": since, "until": NEVER, "dry_run": dry_run}
    response = await api.client.post(f"/v1/webhook-endpoints/{rows.endpoint}/replay", json=given)
    assert response.status_code in (200, 202), response.text


@pytest.mark.parametrize("at", BEYOND)
async def test_suppression_until_no_time_is_refused(api: Api, at: str) -> None:
    response = await api.client.post("/v1/suppressions", json={"address": "ada@example.com", "expires_at": at})
    assert_problem(response, 422, "invalid-input", "expires_at")


async def test_suppression_that_never_expires_holds(api: Api) -> None:
    given = {"address": "ada@example.com", "expires_at": NEVER}
    made = await api.client.post("/v1/suppressions", json=given)
    assert made.json()["expires_at"] == "9999-12-31T23:59:59.999999Z"
    (listed,) = (await api.client.get("/v1/suppressions")).json()["items"]
    assert listed == made.json()


@pytest.mark.parametrize("rate", NO_RATES, ids=repr)
async def test_rate_is_none_is_refused(api: Api, rate: Any) -> None:
    account = {"channel": "email", "provider": "sandbox", "credentials": {"api_key": "x"}, "rate_per_second": rate}
    endpoint = {"url": "https://example.com", "rate_per_second": rate}
    replay = {"since": "2026-01-01T00:00:00Z", "per_second": rate, "dry_run": True}
    answers = [
        await api.client.put("/v1/limits", json={"rate_per_second": rate}),
        await api.client.put("/v1/limits", json={"domains": {"a.com": rate}}),
        await api.client.put("/v1/provider-accounts/slow", json=account),
        await api.client.post("/v1/webhook-endpoints", json=endpoint),
        await api.client.post("/v1/webhook-endpoints/whe_x/replay", json=replay),
    ]
    assert [answer.status_code for answer in answers] == [422] * len(answers)


@pytest.mark.parametrize("domain", ["a\0.com", "a.c\0m", "a\n.com", "a\x7f.com"])
async def test_domain_has_a_control_character_is_refused(api: Api, domain: str) -> None:
    assert_problem(await api.client.put("/v1/limits", json={"domains": {domain: 1}}), 422, "invalid-input")


@pytest.mark.parametrize(
    ("path", "given"),
    [
        ("/v1/webhook-endpoints", {"url": "https://a\0b.example/"}),
        ("/v1/webhook-endpoints", {"url": "https://example.com", "max_concurrency": True}),
        ("/v1/webhook-endpoints", {"url": "https://example.com", "timeout_seconds": True}),
        ("/v1/webhook-endpoints", {"url": "https://example.com", "retry": [True]}),
        ("/v1/webhook-events", {"type": "a.b", "payload": {"a": "\0"}}),
        ("/v1/webhook-events", {"type": "a.b", "payload": {"\0": 1}}),
        ("/v1/webhook-events", {"type": "a.b", "payload": {}, "ordering_key": "a\0"}),
    ],
    ids=str,
)
async def test_value_that_nothing_can_carry_is_refused(api: Api, path: str, given: dict[str, Any]) -> None:
    assert_problem(await api.client.post(path, json=given), 422, "invalid-input")


@pytest.mark.parametrize(
    "path",
    [
        "/v1/messages/a%00b",
        "/v1/webhook-deliveries/a%00b",
        "/v1/webhook-endpoints/a%00b",
        "/v1/templates/a%00b",
        "/v1/forms/a%00b",
        "/v1/submissions/a%00b",
        "/v1/suppressions/a%00b",
        "/v1/webhook-replays/a%00b",
        "/v1/journeys/a%00b",
        "/v1/provider-accounts/a%00b",
        "/v1/suppressions?address=a%00b",
        "/v1/webhook-deliveries?type=a%00b",
        "/v1/webhook-deliveries?endpoint=a%00b",
        "/v1/submissions?form=a%00b",
        "/v1/analytics/top?property=a=%00",
        "/v1/analytics/funnel?template=%00",
        "/v1/analytics/funnel?campaign=%00",
    ],
)
async def test_address_has_a_nul_is_an_answer(api: Api, path: str) -> None:
    assert (await api.client.get(path)).status_code in (404, 405, 422)


@pytest.mark.parametrize("at", [*BEYOND, *EDGES, "2199-01-01T00:00:00Z", "", 5, None, True])
async def test_report_has_an_impossible_time_is_kept_with_the_time_it_came(api: Api, at: Any) -> None:
    await give_secret(api)
    event = {"type": "message.delivered", "message_id": "sbx_1"}
    good = {"id": "r1", "at": "2026-05-01T12:00:00Z"}
    events = [event | good, event | {"id": "r2", "at": at}, event | good | {"id": "r3"}]
    before = api.hermod.core.clock.now()
    assert (await make(api, signed(api, orjson.dumps({"events": events})))).status_code == 200
    kept = await api.rows("SELECT event_id, occurred_at FROM receipts WHERE tenant_id = :tenant ORDER BY event_id")
    assert [row.event_id for row in kept] == ["r1", "r2", "r3"]
    assert kept[0].occurred_at == kept[2].occurred_at
    assert before <= kept[1].occurred_at <= api.hermod.core.clock.now()
