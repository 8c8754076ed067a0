"""Devices over the API, and push messages to contacts: one for each device, in one go, and once per idempotency key."""

from __future__ import annotations

from typing import Any, Final

import pytest

from hermod.contracts.notifications.content import Push
from starter import Hermod
from tests.integration.api.conftest import Api, assert_problem

APPLE: Final = "ab" * 32
EXPO: Final = "ExponentPushToken[ada]"
BROWSER: Final[dict[str, Any]] = {"endpoint": "https://push.example.com/1", "keys": {"p256dh": "BA", "auth": "AA"}}
PUSH: Final[dict[str, Any]] = {"channel": "push", "to": "ada", "title": "Hello"}


async def register(api: Api, token: object, contact: str = "ada", status: int = 201) -> dict[str, Any]:
    response = await api.client.put(f"/v1/contacts/{contact}/devices", json={"token": token})
    assert response.status_code == status, response.text
    view: dict[str, Any] = response.json()
    return view


async def recipients(api: Api) -> list[str]:
    rows = await api.rows("SELECT recipient FROM messages WHERE tenant_id = :tenant ORDER BY recipient")
    return [row.recipient for row in rows]


async def test_device_is_registered_listed_and_removed(api: Api) -> None:
    view = await register(api, EXPO)
    assert (view["platform"], view["token"], view["suspect_since"]) == ("expo", EXPO, None)
    assert (await register(api, EXPO, status=200))["id"] == view["id"]
    browser = await register(api, BROWSER)
    assert browser["token"] == BROWSER["endpoint"]
    assert "AA" not in str(browser)
    listed = (await api.client.get("/v1/contacts/ada/devices")).json()
    assert [item["id"] for item in listed["items"]] == [browser["id"], view["id"]]
    gone = await api.client.delete(f"/v1/contacts/ada/devices/{view['id']}")
    assert (gone.status_code, gone.content) == (204, b"")
    assert_problem(await api.client.delete(f"/v1/contacts/ada/devices/{view['id']}"), 404, "not-found")
    assert [item["id"] for item in (await api.client.get("/v1/contacts/ada/devices")).json()["items"]] == [
        browser["id"]
    ]


async def test_contact_nobody_knows_has_an_empty_list(api: Api) -> None:
    assert (await api.client.get("/v1/contacts/nobody/devices")).json() == {"items": [], "next_cursor": None}


@pytest.mark.parametrize(
    "token",
    ["", "two\nlines", "x" * 4097, 7, None, {}, {"endpoint": "ftp://example.com", "keys": {"p256dh": "", "auth": ""}},
     {"endpoint": "https://push.example.com/1"}, {"endpoint": "https://push.example.com/1", "keys": {"auth": "AA"}}],
)  # fmt: skip
async def test_token_that_is_none_is_refused(api: Api, token: object) -> None:
    response = await api.client.put("/v1/contacts/ada/devices", json={"token": token})
    assert_problem(response, 422, "invalid-input", "token")


@pytest.mark.parametrize("contact", [APPLE, "-ada", "ada%20lovelace", "x" * 129])
async def test_contact_that_may_not_be_named_so_is_refused(api: Api, contact: str) -> None:
    response = await api.client.put(f"/v1/contacts/{contact}/devices", json={"token": EXPO})
    assert response.status_code == 422, response.text


async def test_push_to_a_contact_is_one_message_for_each_device(api: Api) -> None:
    for token in (APPLE, EXPO, BROWSER):
        await register(api, token)
    await register(api, "token-of-bob", contact="bob")
    answer = (await api.send(PUSH)).json()
    assert len(answer["also"]) == 2
    assert await recipients(api) == sorted([APPLE, EXPO, BROWSER["endpoint"]])
    views = [(await api.client.get(f"/v1/messages/{one}")).json() for one in (answer["id"], *answer["also"])]
    assert {view["group_id"] for view in views} == {answer["id"]}


async def test_push_to_a_token_is_one_message_to_it(api: Api) -> None:
    await register(api, EXPO)
    for token in (APPLE, EXPO, "token-of-nobody"):
        answer = (await api.send(PUSH | {"to": token})).json()
        assert answer["also"] == []
    assert await recipients(api) == sorted([APPLE, EXPO, "token-of-nobody"])


async def test_push_to_a_contact_whose_devices_are_gone_is_refused(api: Api) -> None:
    view = await register(api, EXPO)
    await api.client.delete(f"/v1/contacts/ada/devices/{view['id']}")
    response = await api.send(PUSH)
    assert_problem(response, 422, "invalid-input", "to")
    assert "contact ada has no devices" in response.text
    assert await api.stored() == 0


async def test_push_to_a_contact_repeated_gives_the_same_answer_whatever_devices_there_are_by_now(api: Api) -> None:
    await register(api, APPLE)
    view = await register(api, EXPO)
    first = (await api.send(PUSH, idempotency_key="hello-1")).json()
    assert len(first["also"]) == 1
    await register(api, BROWSER)
    again = (await api.send(PUSH, idempotency_key="hello-1")).json()
    assert (again["id"], again["also"]) == (first["id"], first["also"])
    for item in (await api.client.get("/v1/contacts/ada/devices")).json()["items"]:
        await api.client.delete(f"/v1/contacts/ada/devices/{item['id']}")
    again = (await api.send(PUSH, idempotency_key="hello-1")).json()
    assert (again["id"], again["also"]) == (first["id"], first["also"])
    assert await api.stored() == 2
    assert_problem(await api.send(PUSH | {"title": "Other"}, idempotency_key="hello-1"), 422, "idempotency-mismatch")
    assert view["token"] == EXPO


async def test_batch_with_contacts_loses_none_of_the_others(api: Api) -> None:
    await register(api, APPLE)
    await register(api, EXPO)
    gone = await register(api, "token-of-bob", contact="bob")
    await api.client.delete(f"/v1/contacts/bob/devices/{gone['id']}")
    messages = [PUSH | {"to": to} for to in ("ada", "bob", "token-of-nobody")]
    answer = (await api.client.post("/v1/messages/batch", json={"messages": messages})).json()
    assert answer["accepted"] == 2
    assert [(one["index"], one["errors"][0]["field"]) for one in answer["rejected"]] == [(1, "to")]
    assert await recipients(api) == sorted([APPLE, EXPO, "token-of-nobody"])


async def test_push_to_a_contact_staged_is_stored_if_the_transaction_commits(api: Api) -> None:
    await register(api, APPLE)
    await register(api, EXPO)
    hermod: Hermod = api.hermod
    async with hermod.core.storage.database.begin() as connection:
        receipt = await hermod.stage(connection, Push(to="ada", title="Hello"), idempotency_key="staged-1")
    assert len(receipt.also) == 1
    assert await recipients(api) == sorted([APPLE, EXPO])
