"""Reading messages, and the moves that people make: cancel, retry, resolve."""

from __future__ import annotations

import httpx
import pytest

from hermod.contracts.notifications.messages import Status
from tests.integration.api.conftest import EMAIL, SMS, Api, assert_problem

UNKNOWN = "msg_0000000000000000000000000000"


async def move(api: Api, message: str, name: str, body: object = None) -> httpx.Response:
    return await api.client.post(f"/v1/messages/{message}/{name}", json=body)


async def test_message_is_asked_for_tells_its_story(api: Api) -> None:
    message = await api.sent(metadata={"order": 42}, send_at="2026-12-01T08:00:00+01:00")
    story = (await api.client.get(f"/v1/messages/{message}")).json()
    assert story["id"] == message
    assert (story["channel"], story["to"], story["provider"]) == ("email", "ada@example.com", None)
    assert (story["attempts"], story["decisions"], story["next_attempt_at"]) == ([], [], None)
    assert (story["metadata"], story["send_at"]) == ({"order": 42}, "2026-12-01T07:00:00Z")


@pytest.mark.parametrize("name", ["", "/cancel", "/retry", "/resolve"])
@pytest.mark.parametrize("message", [UNKNOWN, "nothing", "%00", "x" * 5000, "%F0%9F%98%80"])
async def test_message_is_unknown_is_not_found(api: Api, message: str, name: str) -> None:
    path = f"/v1/messages/{message}{name}"
    call = api.client.post(path, json={"outcome": "sent"}) if name else api.client.get(path)
    assert_problem(await call, 404, "not-found")


async def test_message_of_another_tenant_is_not_found(api: Api) -> None:
    message = await api.sent()
    core = api.hermod.core
    other = f"not-{api.tenant}"
    await core.storage.tenants.create(other, other, core.clock.now())
    key = await core.storage.tenants.create_key(other, "test", core.clock.now())
    theirs = {"authorization": f"Bearer {key.key}"}
    assert_problem(await api.client.get(f"/v1/messages/{message}", headers=theirs), 404, "not-found")
    assert_problem(await api.client.post(f"/v1/messages/{message}/cancel", headers=theirs), 404, "not-found")
    assert (await api.client.get("/v1/messages", headers=theirs)).json() == {"items": [], "next_cursor": None}


async def test_list_is_read_page_by_page_shows_each_message_once(api: Api) -> None:
    sent = [await api.sent() for _ in range(5)]
    seen: list[str] = []
    query: dict[str, str | int] = {"limit": 2}
    while True:
        page = (await api.client.get("/v1/messages", params=query)).json()
        seen += [one["id"] for one in page["items"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert seen == sorted(sent, reverse=True)


async def test_list_is_narrowed_shows_what_was_asked_for(api: Api) -> None:
    failed = await api.sent()
    await api.put_into(failed, Status.FAILED)
    await api.send(SMS)
    for query, channels in (({"status": "failed"}, ["email"]), ({"channel": "sms"}, ["sms"])):
        page = (await api.client.get("/v1/messages", params=query)).json()
        assert [one["channel"] for one in page["items"]] == channels


@pytest.mark.parametrize(
    ("query", "field"),
    [("limit=0", "limit"), ("limit=201", "limit"), ("limit=x", "limit"), ("status=gone", "status"),
     ("channel=fax", "channel"), ("cursor=%00", "cursor"), ("cursor=x", "cursor"), ("stauts=failed", "stauts")],
)  # fmt: skip
async def test_list_is_asked_for_wrongly_names_the_parameter(api: Api, query: str, field: str) -> None:
    assert_problem(await api.client.get(f"/v1/messages?{query}"), 422, "invalid-input", field)


async def test_waiting_message_is_cancelled_once(api: Api) -> None:
    message = await api.sent()
    response = await move(api, message, "cancel")
    assert (response.status_code, response.json()["status"]) == (202, "cancelled")
    again = await move(api, message, "cancel")
    assert_problem(again, 409, "conflict")
    assert "cancelled" in again.json()["detail"]


async def test_failed_message_is_retried_and_waits_for_temporal(api: Api) -> None:
    message = await api.sent()
    await api.put_into(message, Status.FAILED)
    response = await move(api, message, "retry")
    assert (response.status_code, response.json()["status"]) == (202, "pending")
    assert_problem(await move(api, message, "retry"), 409, "conflict")


@pytest.mark.parametrize(("outcome", "status"), [("sent", "sent"), ("not_sent", "pending")])
async def test_unknown_outcome_is_resolved(api: Api, outcome: str, status: str) -> None:
    message = await api.sent()
    await api.put_into(message, Status.UNKNOWN)
    assert_problem(await move(api, message, "retry"), 409, "conflict")
    response = await move(api, message, "resolve", {"outcome": outcome})
    assert (response.status_code, response.json()["status"]) == (202, status)
    assert_problem(await move(api, message, "resolve", {"outcome": outcome}), 409, "conflict")


async def test_move_is_made_the_audit_names_the_key(api: Api) -> None:
    message = await api.sent()
    await move(api, message, "cancel")
    (row,) = await api.rows("SELECT * FROM audit WHERE action = 'message.cancel' AND tenant_id = :tenant")
    assert row.subject == message
    assert row.actor.startswith("hk_")


@pytest.mark.parametrize("body", [{}, {"outcome": "maybe"}, {"outcome": "sent", "x": 1}, [], "sent"])
async def test_resolution_is_none_is_refused(api: Api, body: object) -> None:
    message = await api.sent()
    await api.put_into(message, Status.UNKNOWN)
    assert_problem(await move(api, message, "resolve", body), 422, "invalid-input")
    assert (await api.client.get(f"/v1/messages/{message}")).json()["status"] == "unknown"


async def test_message_is_shown_never_has_its_content(api: Api) -> None:
    message = await api.sent(text="a very private text")
    for path in (f"/v1/messages/{message}", "/v1/messages"):
        response = await api.client.get(path)
        assert EMAIL["subject"] not in response.text
        assert "private" not in response.text
        assert response.headers["cache-control"] == "no-store"
