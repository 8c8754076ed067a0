"""Partials over HTTP, what a resume token opens, and journeys."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from hermod.contracts.forms.forms import MAX_DATA_BYTES
from tests.integration.api.conftest import Api, assert_problem, calling
from tests.support.forms.rows import add_form

SESSION = "session-1"
PLACE = f"/v1/forms/order/partials/{SESSION}"


@pytest.fixture
async def shop(api: Api) -> Api:
    await add_form(api.hermod.core.storage.database, api.tenant)
    return api


async def put(api: Api, revision: int = 1, **body: Any) -> httpx.Response:
    return await api.client.put(PLACE, json={"revision": revision, "data": {"at": revision}} | body)


async def resume(api: Api, token: str) -> httpx.Response:
    """As a visitor's browser asks: without a key."""
    async with calling(api.app) as visitor:
        return await visitor.get(f"/resume/{token}")


async def test_revisions_come_in_any_order_the_newest_stays(shop: Api) -> None:
    answers = [(await put(shop, revision)).json() for revision in (2, 1, 2, 5)]
    token = answers[0]["resume_token"]
    assert [(one["revision"], one["stored"]) for one in answers] == [(2, True), (2, False), (2, True), (5, True)]
    assert all(one["id"] == SESSION and one["status"] == "open" and one["resume_token"] == token for one in answers)
    view = (await shop.client.get(PLACE)).json()
    assert (view["revision"], view["data"], view["status"]) == (5, {"at": 5}, "open")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"revision": -1}, "revision"),
        ({"revision": 2**63}, "revision"),
        ({"revision": 1.5}, "revision"),
        ({"data": []}, "data"),
        ({"data": {"nul": "\x00"}}, "data"),
        ({"data": {"long": "x" * MAX_DATA_BYTES}}, "data"),
        ({"contact": "ada@example.com"}, "contact"),
        ({"status": "converted"}, "status"),
    ],
)
async def test_wrong_partial_is_refused_by_its_field(shop: Api, body: dict[str, Any], field: str) -> None:
    assert_problem(await put(shop, **body), 422, "invalid-input", field)
    assert (await shop.client.get(PLACE)).status_code == 404


async def test_partial_that_is_no_json_or_too_large_is_refused(shop: Api) -> None:
    for body, status, kind in (
        (b'{"revision": NaN}', 400, "malformed-json"),
        (b" " * 2_200_000, 413, "body-too-large"),
    ):
        assert_problem(await shop.client.put(PLACE, content=body), status, kind)


@pytest.mark.parametrize("session", ["short", "ada@example.com", "x" * 129, "with%20space"])
async def test_session_that_could_name_somebody_is_refused(shop: Api, session: str) -> None:
    place = f"/v1/forms/order/partials/{session}"
    for answer in (await shop.client.put(place, json={"revision": 1, "data": {}}), await shop.client.get(place)):
        assert_problem(answer, 422, "invalid-input", "session")


async def test_form_that_is_not_there_takes_no_partials(shop: Api) -> None:
    answer = await shop.client.put(f"/v1/forms/none/partials/{SESSION}", json={"revision": 1, "data": {}})
    assert_problem(answer, 404, "not-found")
    assert_problem(await shop.client.get(PLACE), 404, "not-found")


async def test_resume_token_opens_what_was_entered_for_whoever_has_it(shop: Api) -> None:
    token = (await put(shop, 3)).json()["resume_token"]
    found = await resume(shop, token)
    assert found.status_code == 200
    body = found.json()
    assert (body["form"], body["session"], body["revision"], body["data"]) == ("order", SESSION, 3, {"at": 3})
    assert found.headers["cache-control"] == "no-store"
    assert found.headers["referrer-policy"] == "no-referrer"
    assert found.headers["x-robots-tag"] == "noindex"
    assert found.headers["access-control-allow-origin"] == "*"


async def test_resume_token_that_is_none_of_ours_opens_nothing(shop: Api) -> None:
    token = (await put(shop)).json()["resume_token"]
    for forged in (("A" if token[0] != "A" else "B") + token[1:], "x", "%00", "a" * 3000):
        answer = await resume(shop, forged)
        assert_problem(answer, 404, "not-found")
        assert answer.headers["cache-control"] == "no-store"


async def test_form_that_was_sent_cannot_be_gone_on_with(shop: Api) -> None:
    token = (await put(shop)).json()["resume_token"]
    sent = await shop.client.post("/v1/forms/order/submissions", json={"data": {"at": 1}, "session": SESSION})
    assert sent.status_code == 202, sent.text
    answer = await resume(shop, token)
    assert_problem(answer, 410, "gone")
    assert answer.headers["cache-control"] == "no-store"
    late = (await put(shop, 9)).json()
    assert (late["status"], late["stored"], late["revision"]) == ("converted", False, 1)
    view = (await shop.client.get(PLACE)).json()
    assert (view["status"], view["submission"]) == ("converted", sent.json()["id"])


async def test_journey_ties_a_contact_to_its_sessions_and_shows_nothing_of_what_was_entered(shop: Api) -> None:
    secret = {"email": "ada@example.com"}
    for session, contact in (("session-1", None), ("session-2", "ada"), ("session-3", "bob")):
        place = f"/v1/forms/order/partials/{session}"
        await shop.client.put(place, json={"revision": 1, "data": secret, "contact": contact})
    body = {"data": secret, "session": "session-1", "contact": "ada"}
    sent = (await shop.client.post("/v1/forms/order/submissions", json=body)).json()["id"]

    async def journey(subject: str) -> dict[str, Any]:
        found = await shop.client.get(f"/v1/journeys/{subject}")
        assert found.status_code == 200, found.text
        assert "ada@example.com" not in found.text
        view: dict[str, Any] = found.json()
        return view

    mine = await journey("ada")
    assert (mine["contacts"], mine["sessions"]) == (["ada"], ["session-1", "session-2"])
    assert [(step["kind"], step["reference"]) for step in mine["steps"]] == [
        ("form.partial", "session-1"),
        ("form.partial", "session-2"),
        ("submission.received", sent),
    ]
    assert mine["truncated"] is False
    assert (await journey("session-1"))["steps"] == mine["steps"]
    assert [step["reference"] for step in (await journey("bob"))["steps"]] == ["session-3"]
    for nobody in ("carol", "%00", "a%20b", "x" * 300):
        assert_problem(await shop.client.get(f"/v1/journeys/{nobody}"), 404, "not-found")
