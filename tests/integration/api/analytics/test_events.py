"""`POST /v1/events`. Temporal and ClickHouse are away, as they may."""

from __future__ import annotations

import json
from typing import Any

import httpx
import orjson
import pytest
from sqlalchemy import text

from hermod.storage.analytics.event_outbox import cut
from tests.integration.api.conftest import Api, assert_problem


async def post(api: Api, body: Any) -> httpx.Response:
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    return await api.client.post("/v1/events", content=content)


async def stored(api: Api) -> list[dict[str, Any]]:
    """The tenant's events that wait for ClickHouse."""
    rows = await api.rows("SELECT body FROM event_batches WHERE tenant_id = :tenant ORDER BY id")
    bodies = [lines for row in rows for _, _, lines in cut(bytes(row.body))]
    return [json.loads(line) for lines in bodies for line in lines.splitlines()]


async def test_event_is_stored_before_the_answer(api: Api) -> None:
    response = await post(api, {"type": "page.viewed", "properties": {"path": "/"}, "session": "s-1"})
    assert response.status_code == 202
    assert response.json() == {"accepted": 1, "duplicates": 0, "rejected": []}
    (event,) = await stored(api)
    assert (event["tenant"], event["type"], event["session"]) == (api.tenant, "page.viewed", "s-1")


async def test_repeated_event_id_adds_nothing(api: Api) -> None:
    body = {"events": [{"type": "a", "event_id": "e1"}, {"type": "b", "event_id": "e2"}, {"type": "c"}]}
    assert (await post(api, body)).json()["duplicates"] == 0
    assert (await post(api, body)).json() == {"accepted": 3, "duplicates": 2, "rejected": []}
    assert sorted(event["type"] for event in await stored(api)) == ["a", "b", "c", "c"]


async def test_bad_events_come_back_with_their_places_and_the_good_ones_are_kept(api: Api) -> None:
    events = [
        b'{"type":"good.1"}',
        b'{"type":"no good"}',
        b'{"type":"a","properties":{"x":NaN}}',
        b'{"type":"a","properties":{"x":"\xff"}}',
        b'{"type":"a","properties":' + b'{"x":' * 5_000 + b"1" + b"}" * 5_000 + b"}",
        b'{"type":"a","occurred_at":"1999-01-01T00:00:00Z"}',
        b'{"type":"a","occurred_at":"2999-01-01T00:00:00Z"}',
        b'{"type":"a","properties":{"x":"' + b"y" * 20_000 + b'"}}',
        b'{"type":"good.2"}',
    ]
    response = await post(api, b'{"events":[' + b",".join(events) + b"]}")
    assert response.status_code == 202, response.text
    answer = response.json()
    assert answer["accepted"] == 2
    assert [one["index"] for one in answer["rejected"]] == list(range(1, 8))
    fields = [one["errors"][0]["field"] for one in answer["rejected"]]
    assert fields == ["type", "event", "event", "event", "occurred_at", "occurred_at", "properties"]
    assert [event["type"] for event in await stored(api)] == ["good.1", "good.2"]


@pytest.mark.parametrize(
    ("body", "status", "kind", "field"),
    [
        (b"{", 400, "malformed-json", None),
        (b'{"type":"a","properties":{"x":NaN}}', 400, "malformed-json", None),
        ({"type": "no good"}, 422, "invalid-input", "type"),
        ({"type": "a", "properties": {"x": "y" * 20_000}}, 422, "invalid-input", "properties"),
        ([], 422, "invalid-input", "body"),
        ({"events": []}, 422, "invalid-input", "events"),
        ({"events": [{"type": "a"}], "type": "a"}, 422, "invalid-input", "type"),
        (b" " * (8 * 1024 * 1024 + 1), 413, "body-too-large", None),
    ],
)
async def test_wrong_call_is_a_problem_and_stores_nothing(
    api: Api, body: Any, status: int, kind: str, field: str | None
) -> None:
    assert_problem(await post(api, body), status, kind, field)
    assert await stored(api) == []


async def test_call_without_a_key_is_refused(api: Api) -> None:
    del api.client.headers["authorization"]
    assert_problem(await post(api, {"type": "a"}), 401, "unauthorized")


async def test_call_repeated_under_its_idempotency_key_counts_its_events_once(api: Api) -> None:
    events = {"events": [{"type": "page.viewed"}, {"type": "page.viewed"}, {"type": "page.left", "event_id": "own"}]}
    key = {"Idempotency-Key": "batch:1"}
    first = (await api.client.post("/v1/events", json=events, headers=key)).json()
    again = (await api.client.post("/v1/events", json=events, headers=key)).json()
    assert (first["accepted"], first["duplicates"], again["accepted"], again["duplicates"]) == (3, 0, 3, 3)
    alone = [
        (await api.client.post("/v1/events", json={"type": "x"}, headers={"Idempotency-Key": "1"})).json() for _ in "ab"
    ]
    assert [one["duplicates"] for one in alone] == [0, 1]


async def test_events_that_clickhouse_refused_are_shown_with_the_reason(api: Api) -> None:
    lines = [{"tenant": api.tenant, "type": "order.paid", "properties": {"at": number}} for number in range(3)]
    body = b"".join(orjson.dumps(line) + b"\n" for line in lines)
    batches = [f"evb_{number:028x}" for number in (1, 2)]
    names = {"tenant": api.tenant, "body": body, "reason": "CANNOT_PARSE_DATE (38)"}
    for batch in batches:
        statement = text("""
            INSERT INTO event_refusals (tenant_id, id, sink, type, events, body, reason)
            VALUES (:tenant, :id, 'events', 'order.paid', 3, :body, :reason), (:tenant, :id, 'message_states', '', 1,
                    :body, :reason)
        """)
        await api.hermod.core.storage.database.execute(statement, names | {"id": batch})
    page = (await api.client.get("/v1/events/refused", params={"limit": 1})).json()
    (one,) = page["items"]
    assert (one["id"], one["type"], one["count"], one["reason"]) == (batches[1], "order.paid", 3, names["reason"])
    assert [event["properties"] for event in one["events"]] == [{"at": 0}, {"at": 1}, {"at": 2}]
    assert api.tenant not in str(one["events"])
    rest = (await api.client.get("/v1/events/refused", params={"cursor": page["next_cursor"]})).json()
    assert ([one["id"] for one in rest["items"]], rest["next_cursor"]) == ([batches[0]], None)
    assert (await api.client.get("/health")).json()["refused_events"] >= 6
