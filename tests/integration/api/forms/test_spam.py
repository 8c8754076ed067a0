"""What the honeypot of a form catches, and the way back; Temporal is away, so that what is stored can be looked at."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.api.conftest import Api, assert_problem
from tests.integration.api.forms.test_forms import DATA, put, submit

SESSION = "session-87654321"
CAUGHT = {**DATA, "website": "https://spam.example"}


async def put_partial(api: Api, revision: int, data: dict[str, Any]) -> dict[str, Any]:
    response = await api.client.put(f"/v1/forms/signup/partials/{SESSION}", json={"revision": revision, "data": data})
    assert response.status_code == 202, response.text
    body: dict[str, Any] = response.json()
    return body


async def partial(api: Api) -> dict[str, Any]:
    body: dict[str, Any] = (await api.client.get(f"/v1/forms/signup/partials/{SESSION}")).json()
    return body


@pytest.fixture
async def shop(api: Api) -> Api:
    await put(
        api,
        spam={"honeypot": "website"},
        payment={"required": True, "expires_in": 3600},
        partials={"abandon_after": 60, "webhooks": True},
    )
    return api


async def test_what_caught_a_submission_is_kept_and_is_no_part_of_what_was_entered(shop: Api) -> None:
    own = (await submit(shop, data=CAUGHT)).json()["id"]
    shown = (await shop.client.get(f"/v1/submissions/{own}")).json()
    assert (shown["status"], shown["data"]) == ("spam", DATA)
    assert shown["caught_by"] == {"field": "website", "value": "https://spam.example"}


async def test_submission_that_is_no_spam_is_processed_as_if_it_came_now(shop: Api) -> None:
    await put_partial(shop, 1, DATA)
    own = (await submit(shop, data=CAUGHT, session=SESSION)).json()["id"]
    released = await shop.client.post(f"/v1/submissions/{own}/not-spam")
    assert (released.status_code, released.json()["status"]) == (202, "pending"), released.text
    shown = (await shop.client.get(f"/v1/submissions/{own}")).json()
    assert (shown["status"], shown["data"], shown["finished_at"]) == ("pending", DATA, None)
    assert (shown["payment"]["status"], shown["caught_by"]["field"]) == ("awaited", "website")
    assert shown["payment"]["expires_at"] > shown["updated_at"]
    assert ((await partial(shop))["status"], (await partial(shop))["submission"]) == ("converted", own)
    steps = (await shop.client.get(f"/v1/journeys/{SESSION}")).json()["steps"]
    assert [step["kind"] for step in steps if step["reference"] == own] == ["submission.received"]
    audit = await shop.rows("SELECT action FROM audit WHERE tenant_id = :tenant AND action = 'submission.release'")
    assert len(audit) == 1
    assert_problem(await shop.client.post(f"/v1/submissions/{own}/not-spam"), 409, "conflict")
    assert_problem(await shop.client.post("/v1/submissions/sub_none/not-spam"), 404, "not-found")


async def test_spam_that_does_not_fit_the_form_is_told_by_field_and_stays_spam(shop: Api) -> None:
    own = (await submit(shop, data={"email": "nobody", "website": "x"})).json()["id"]
    refused = await shop.client.post(f"/v1/submissions/{own}/not-spam")
    assert_problem(refused, 422, "invalid-input")
    assert [error["field"] for error in refused.json()["errors"]] == ["data.email"]
    assert (await shop.client.get(f"/v1/submissions/{own}")).json()["status"] == "spam"


async def test_nothing_comes_of_a_partial_whose_honeypot_is_filled_in(shop: Api) -> None:
    assert (await put_partial(shop, 1, CAUGHT))["status"] == "spam"
    waiting = (
        "SELECT * FROM form_partials WHERE tenant_id = :tenant AND (waits_since IS NOT NULL OR due_at IS NOT NULL)"
    )
    assert await shop.rows(waiting) == []
    assert await shop.rows("SELECT * FROM journey_steps WHERE tenant_id = :tenant") == []
    assert ((await partial(shop))["status"], (await partial(shop))["data"]) == ("spam", CAUGHT)
    # The newest revision decides: a visitor may have cleared what their browser filled in.
    assert (await put_partial(shop, 2, {**DATA, "website": ""}))["status"] == "open"
    assert len(await shop.rows(waiting)) == 1


async def test_nothing_comes_of_a_partial_whose_submission_was_caught(shop: Api) -> None:
    await put_partial(shop, 1, DATA)
    own = (await submit(shop, data=CAUGHT, session=SESSION)).json()["id"]
    assert ((await partial(shop))["status"], (await partial(shop))["submission"]) == ("spam", own)
    assert await shop.rows("SELECT * FROM form_partials WHERE tenant_id = :tenant AND waits_since IS NOT NULL") == []
    late = await put_partial(shop, 2, DATA)
    assert (late["status"], late["stored"]) == ("spam", False)


async def test_visitor_who_sends_the_form_again_without_the_honeypot_converts_the_partial(shop: Api) -> None:
    await submit(shop, data=CAUGHT, session=SESSION)
    own = (await submit(shop, data=DATA, session=SESSION)).json()["id"]
    assert ((await partial(shop))["status"], (await partial(shop))["submission"]) == ("converted", own)


async def test_two_tabs_that_save_the_same_revision_are_told_whose_is_kept(shop: Api) -> None:
    mine, other = {"email": "ada@example.com"}, {"email": "grace@example.com"}
    assert (await put_partial(shop, 1, mine))["stored"] is True
    assert (await put_partial(shop, 1, other))["stored"] is False
    assert (await put_partial(shop, 1, mine))["stored"] is True, "a repeat of what is kept"
    assert (await partial(shop))["data"] == mine


async def test_repeat_under_its_key_is_no_visit(api: Api) -> None:
    await put(api, spam={"per_address_per_hour": 4})
    for _ in range(5):
        assert (await submit(api, remote_address="203.0.113.7", key="k-1")).status_code == 202
    assert (await submit(api, remote_address="203.0.113.7:443")).status_code == 202
    refused = await submit(
        api, remote_address="203.0.113.7, 198.51.100.9, 10.0.0.1, 10.0.0.2, 172.16.200.200, 10.0.0.3"
    )
    assert_problem(refused, 429, "too-many")
