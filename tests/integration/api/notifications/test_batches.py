"""`POST /v1/messages/batch`: a bad message never loses the others, and a repeated batch sends nothing twice."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.integration.api.conftest import EMAIL, SMS, Api, assert_problem


async def send_batch(api: Api, messages: object, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await api.client.post("/v1/messages/batch", json={"messages": messages}, headers=named)


async def test_batch_has_bad_messages_takes_the_others(api: Api) -> None:
    messages = [EMAIL, {"channel": "fax"}, SMS, EMAIL | {"provider_account": "nobody"}, 5, EMAIL | {"to": "x", "cc": 1}]
    response = await send_batch(api, messages)
    assert response.status_code == 202
    answer = response.json()
    assert answer["batch_id"].startswith("bat_")
    assert answer["accepted"] == 2
    assert [one["index"] for one in answer["messages"]] == [0, 2]
    wrong = {one["index"]: {error["field"] for error in one["errors"]} for one in answer["rejected"]}
    assert wrong == {1: {"channel"}, 3: {"provider_account"}, 4: {"body"}, 5: {"to", "cc"}}
    stored = {
        row.id: row.channel for row in await api.rows("SELECT id, channel FROM messages WHERE tenant_id = :tenant")
    }
    assert stored == {answer["messages"][0]["id"]: "email", answer["messages"][1]["id"]: "sms"}


async def test_all_messages_are_bad_are_all_rejected(api: Api) -> None:
    answer = (await send_batch(api, [{}, {}])).json()
    assert (answer["accepted"], len(answer["rejected"])) == (0, 2)
    assert await api.stored() == 0


async def test_message_brings_a_key_is_taken_once(api: Api) -> None:
    messages = [EMAIL | {"idempotency_key": "a"}, EMAIL | {"idempotency_key": "b"}, SMS | {"idempotency_key": "a"}]
    answer = (await send_batch(api, messages)).json()
    assert answer["accepted"] == 2
    assert answer["rejected"][0]["index"] == 2
    assert answer["rejected"][0]["errors"][0]["field"] == "idempotency_key"
    again = (await send_batch(api, messages[:2])).json()
    assert [one["id"] for one in again["messages"]] == [one["id"] for one in answer["messages"]]
    assert await api.stored() == 2


@pytest.mark.parametrize("key", ["", 5, "x" * 256])
async def test_message_brings_a_key_that_is_none_is_rejected(api: Api, key: object) -> None:
    answer = (await send_batch(api, [EMAIL | {"idempotency_key": key}])).json()
    assert [error["field"] for error in answer["rejected"][0]["errors"]] == ["idempotency_key"]


async def test_header_key_is_repeated_the_batch_is_stored_once(api: Api) -> None:
    messages = [EMAIL, EMAIL, SMS]
    first = (await send_batch(api, messages, idempotency_key="may-news")).json()
    again = (await send_batch(api, messages, idempotency_key="may-news")).json()
    assert [one["id"] for one in again["messages"]] == [one["id"] for one in first["messages"]]
    assert await api.stored() == 3
    changed = (await send_batch(api, [EMAIL, SMS, SMS], idempotency_key="may-news")).json()
    assert [one["index"] for one in changed["rejected"]] == [1]


@pytest.mark.parametrize("key", ["", "may-news ", "x" * 251])
async def test_header_key_is_none_the_batch_is_refused(api: Api, key: str) -> None:
    assert_problem(await send_batch(api, [EMAIL], idempotency_key=key), 422, "invalid-input", "Idempotency-Key")
    assert await api.stored() == 0


async def test_header_key_is_as_long_as_may_be_the_batch_is_taken(api: Api) -> None:
    answer = (await send_batch(api, [SMS] * 1_001, idempotency_key="x" * 250)).json()
    assert (answer["accepted"], answer["rejected"]) == (1_001, [])


async def test_five_thousand_are_taken_and_one_more_is_too_many(api: Api) -> None:
    answer = (await send_batch(api, [SMS] * 5_000)).json()
    assert answer["accepted"] == 5_000
    assert len({one["id"] for one in answer["messages"]}) == 5_000
    assert_problem(await send_batch(api, [SMS] * 5_001), 422, "invalid-input", "messages")
    assert await api.stored() == 5_000


@pytest.mark.parametrize(
    ("body", "field"),
    [({}, "messages"), ({"messages": []}, "messages"), ({"messages": {}}, "messages"), ([EMAIL], "body"),
     ({"messages": [EMAIL], "mesages": []}, "mesages")],
)  # fmt: skip
async def test_body_is_no_batch_is_refused_by_field(api: Api, body: Any, field: str) -> None:
    assert_problem(await api.client.post("/v1/messages/batch", json=body), 422, "invalid-input", field)
    assert await api.stored() == 0


async def test_batch_is_larger_than_the_limit_is_refused(api: Api) -> None:
    body = b'{"messages": [' + b" " * (32 * 1024 * 1024) + b"]}"
    assert_problem(await api.client.post("/v1/messages/batch", content=body), 413, "body-too-large")
