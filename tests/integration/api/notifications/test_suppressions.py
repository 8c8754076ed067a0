"""`/v1/suppressions`: who gets no messages, and why."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.integration.api.conftest import Api, assert_problem

ADA = {"address": "Ada <Ada@Example.com>", "channel": "email"}


async def add(api: Api, **changes: Any) -> httpx.Response:
    return await api.client.post("/v1/suppressions", json={**ADA, **changes})


async def listed(api: Api, **query: str) -> list[dict[str, Any]]:
    response = await api.client.get("/v1/suppressions", params=query)
    assert response.status_code == 200, response.text
    items: list[dict[str, Any]] = response.json()["items"]
    return items


async def test_suppression_added_is_shown_found_and_removed(api: Api) -> None:
    response = await add(api, category="marketing", detail="ticket 4711")
    assert response.status_code == 201
    one = response.json()
    assert one["id"].startswith("sup_")
    assert {name: one[name] for name in ("address", "channel", "category", "reason", "detail", "expires_at")} == {
        "address": "ada@example.com",
        "channel": "email",
        "category": "marketing",
        "reason": "manual",
        "detail": "ticket 4711",
        "expires_at": None,
    }
    assert one["source"] in api.client.headers["authorization"], "the id of the key"
    assert await listed(api, address="ADA@example.com") == await listed(api, reason="manual") == [one]
    assert await listed(api, address="bob@example.com") == await listed(api, channel="sms") == []
    assert (await api.client.delete(f"/v1/suppressions/{one['id']}")).status_code == 204
    assert await listed(api) == []
    assert_problem(await api.client.delete(f"/v1/suppressions/{one['id']}"), 404, "not-found")
    audited = await api.rows("SELECT action, subject FROM audit WHERE tenant_id = :tenant AND subject LIKE 'sup_%'")
    assert {tuple(row) for row in audited} == {("suppression.add", one["id"]), ("suppression.remove", one["id"])}


async def test_suppression_added_again_is_the_same_one(api: Api) -> None:
    first = await add(api)
    again = await add(api, detail="said so twice")
    assert (first.status_code, again.status_code) == (201, 200)
    assert (again.json()["id"], again.json()["detail"]) == (first.json()["id"], "said so twice")
    weaker = await add(api, reason="hard_bounce")
    assert (weaker.status_code, weaker.json()["reason"]) == (200, "manual")


@pytest.mark.parametrize(
    ("address", "stored"),
    [("ADA@example.com", "ada@example.com"), ("+1 415-555-0100", "+14155550100"), ("device-token", "device-token")],
)
async def test_suppression_of_all_channels_takes_any_address(api: Api, address: str, stored: str) -> None:
    response = await api.client.post("/v1/suppressions", json={"address": address})
    assert response.status_code == 201, response.text
    assert (response.json()["address"], response.json()["channel"]) == (stored, None)
    assert [one["id"] for one in await listed(api, address=address)] == [response.json()["id"]]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"address": ""}, "address"),
        ({"address": "nonsense"}, "address"),
        ({"address": "12345", "channel": "sms"}, "address"),
        ({"channel": "pigeon"}, "channel"),
        ({"category": "other"}, "category"),
        ({"reason": "mood"}, "reason"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"expires_at": "2100-01-01T00:00:00"}, "expires_at"),
        ({"detail": "a\nb"}, "detail"),
        ({"note": "?"}, "note"),
    ],
)
async def test_suppression_with_a_wrong_field_is_refused(api: Api, changes: dict[str, Any], field: str) -> None:
    assert_problem(await add(api, **changes), 422, "invalid-input", field)
    assert await listed(api) == []


async def test_suppressions_of_other_tenants_are_not_there(api: Api) -> None:
    one = (await add(api)).json()
    stranger = api.hermod.as_tenant("stranger", "test")
    page = await stranger.core.storage.suppressions.page(
        "stranger", hashes=None, channel=None, reason=None, cursor=None, limit=9, now=stranger.core.clock.now()
    )
    assert page.items == ()
    assert len(await listed(api)) == 1
    assert one["id"]


async def test_list_goes_on_where_the_page_before_ended(api: Api) -> None:
    for number in range(3):
        assert (await add(api, address=f"ada{number}@example.com")).status_code == 201
    first = (await api.client.get("/v1/suppressions", params={"limit": 2})).json()
    second = (await api.client.get("/v1/suppressions", params={"limit": 2, "cursor": first["next_cursor"]})).json()
    found = [one["address"] for one in first["items"] + second["items"]]
    assert (sorted(found), second["next_cursor"]) == ([f"ada{number}@example.com" for number in range(3)], None)
    assert_problem(await api.client.get("/v1/suppressions", params={"cursor": "x"}), 422, "invalid-input", "cursor")


@pytest.mark.parametrize("suppression", ["sup_1", "a" * 300, "%00", "é"])
async def test_suppression_unknown_is_not_found(api: Api, suppression: str) -> None:
    assert_problem(await api.client.delete(f"/v1/suppressions/{suppression}"), 404, "not-found")
