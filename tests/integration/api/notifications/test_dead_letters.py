"""Dead letters over HTTP: found by what went wrong, retried and discarded, one as well as many."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from hermod.contracts.webhooks.deliveries import DeliveryStatus
from tests.integration.api.conftest import EMAIL, SMS, Api, assert_problem
from tests.support.webhooks.rows import WebhookRows

_BURY = text("""
    UPDATE messages SET status = :status, dead_at = now(), finished_at = now(), error_code = :code,
           created_at = now() - CAST(:age AS interval)
     WHERE tenant_id = :tenant AND id = :id
""")


async def buried(
    api: Api,
    code: str = "smtp_451",
    *,
    message: dict[str, Any] = EMAIL,
    status: str = "failed",
    age: timedelta = timedelta(0),
) -> str:
    """The id of a dead letter."""
    taken = await api.send(message)
    assert taken.status_code == 202, taken.text
    own = str(taken.json()["id"])
    names = {"tenant": api.tenant, "id": own, "status": status, "code": code, "age": age}
    await api.hermod.core.storage.database.execute(_BURY, names)
    return own


async def listed(api: Api, path: str = "/v1/messages", **query: str) -> set[str]:
    response = await api.client.get(path, params=query)
    assert response.status_code == 200, response.text
    return {one["id"] for one in response.json()["items"]}


async def call(api: Api, path: str, body: object) -> httpx.Response:
    return await api.client.post(path, json=body)


async def done(api: Api, path: str, body: object) -> dict[str, Any]:
    response = await call(api, path, body)
    assert response.status_code == 202, response.text
    answer: dict[str, Any] = response.json()
    return answer


async def test_discarded_message_is_off_the_list_by_status_and_says_that_it_is_discarded(api: Api) -> None:
    message, other = await buried(api), await buried(api)
    answer = (await api.client.post(f"/v1/messages/{message}/discard")).json()
    assert (answer["id"], answer["status"], answer["discarded_at"] is None) == (message, "failed", False)
    assert await listed(api, status="failed") == {other}
    assert await listed(api, discarded="true") == {message}
    assert await listed(api, discarded="false") == {other}
    assert await listed(api, status="failed", discarded="true") == {message}
    assert await listed(api) == {message, other}
    assert (await api.client.get(f"/v1/messages/{message}")).json()["discarded_at"] == answer["discarded_at"]
    (audited,) = await api.rows("SELECT subject FROM audit WHERE tenant_id = :tenant AND action = 'message.discard'")
    assert audited.subject == message


async def test_message_is_discarded_once_and_only_as_a_dead_letter(api: Api) -> None:
    dead, waiting = await buried(api), await api.sent()
    assert (await api.client.post(f"/v1/messages/{dead}/discard")).status_code == 202
    again = await api.client.post(f"/v1/messages/{dead}/discard")
    assert_problem(again, 409, "conflict")
    assert "discarded already" in again.json()["detail"]
    assert_problem(await api.client.post(f"/v1/messages/{waiting}/discard"), 409, "conflict")


async def test_discarded_message_that_is_retried_is_on_the_list_again(api: Api) -> None:
    message = await buried(api)
    await api.client.post(f"/v1/messages/{message}/discard")
    assert (await api.client.post(f"/v1/messages/{message}/retry")).status_code == 202
    assert await listed(api, discarded="true") == set()
    assert (await api.client.get(f"/v1/messages/{message}")).json()["discarded_at"] is None


async def test_discarded_unknown_message_that_turns_out_to_be_sent_is_listed_as_sent(api: Api) -> None:
    message = await buried(api, status="unknown")
    await api.client.post(f"/v1/messages/{message}/discard")
    await api.client.post(f"/v1/messages/{message}/resolve", json={"outcome": "sent"})
    assert await listed(api, status="sent") == {message}
    assert await listed(api, discarded="true") == set()


async def test_list_is_narrowed_by_error_channel_and_time(api: Api) -> None:
    email = await buried(api, "smtp_451")
    sms = await buried(api, "21610", message=SMS)
    old = await buried(api, "smtp_451", age=timedelta(days=3))
    yesterday = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    assert await listed(api, error_code="smtp_451") == {email, old}
    assert await listed(api, error_code="smtp") == set()
    assert await listed(api, error_code="smtp_451", since=yesterday) == {email}
    assert await listed(api, status="failed", until=yesterday) == {old}
    assert await listed(api, channel="sms", status="failed") == {sms}
    for query, field in (("since=x", "since"), ("until=2026-01-01", "until"), ("discarded=maybe", "discarded")):
        assert_problem(await api.client.get(f"/v1/messages?{query}"), 422, "invalid-input", field)


async def test_dry_run_counts_and_moves_nothing(api: Api) -> None:
    first, second = await buried(api), await buried(api)
    await buried(api, "other")
    for verb in ("retry", "discard"):
        body = {"filter": {"error_code": "smtp_451"}, "dry_run": True}
        answer = await done(api, f"/v1/messages/{verb}", body)
        assert (answer["matching"], answer["moved"], answer["remaining"]) == (2, 0, 2)
        assert set(answer["ids"]) == {first, second}
    assert len(await listed(api, status="failed")) == 3


async def test_many_are_retried_by_filter_and_the_others_stay(api: Api) -> None:
    email, old = await buried(api), await buried(api, age=timedelta(days=3))
    sms = await buried(api, "21610", message=SMS)
    yesterday = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    body = {"filter": {"error_code": "smtp_451", "channel": "email", "since": yesterday}}
    answer = await done(api, "/v1/messages/retry", body)
    assert (answer["matching"], answer["moved"], answer["remaining"], answer["ids"]) == (1, 1, 0, [email])
    assert await listed(api, status="pending") == {email}
    assert await listed(api, status="failed") == {old, sms}
    decisions = (await api.client.get(f"/v1/messages/{email}")).json()["decisions"]
    assert [(one["kind"], one["verdict"]) for one in decisions] == [("retry", "reopened")]
    audited = await api.rows("SELECT subject FROM audit WHERE tenant_id = :tenant AND action = 'message.retry'")
    assert [row.subject for row in audited] == [email]


async def test_many_are_discarded_by_filter_in_steps_of_the_limit(api: Api) -> None:
    dead = {await buried(api) for _ in range(3)}
    answer = await done(api, "/v1/messages/discard", {"filter": {}, "limit": 2})
    assert (answer["matching"], answer["moved"], answer["remaining"]) == (3, 2, 1)
    assert set(answer["ids"]) < dead
    answer = await done(api, "/v1/messages/discard", {"filter": {}, "limit": 2})
    assert (answer["matching"], answer["moved"], answer["remaining"]) == (1, 1, 0)
    assert await listed(api, status="failed") == set()
    assert await listed(api, discarded="true") == dead


async def test_messages_are_named_by_their_ids_are_the_only_ones_moved(api: Api) -> None:
    first, second, third = [await buried(api) for _ in range(3)]
    answer = await done(api, "/v1/messages/discard", {"filter": {"ids": [first, second, "msg_none"]}})
    assert set(answer["ids"]) == {first, second}
    assert await listed(api, status="failed") == {third}


async def test_unknown_outcomes_are_discarded_with_others_and_never_retried_with_others(api: Api) -> None:
    failed, unknown = await buried(api), await buried(api, status="unknown")
    assert (await done(api, "/v1/messages/retry", {"filter": {}}))["ids"] == [failed]
    answer = await done(api, "/v1/messages/discard", {"filter": {"status": "unknown"}})
    assert answer["ids"] == [unknown]
    refused = await call(api, "/v1/messages/retry", {"filter": {"status": "unknown"}})
    assert_problem(refused, 422, "invalid-input", "filter.status")


async def test_message_without_its_content_is_counted_and_not_retried(api: Api) -> None:
    gone, kept = await buried(api), await buried(api)
    await api.hermod.core.storage.database.execute(
        text("DELETE FROM message_contents WHERE tenant_id = :tenant AND message_id = :id"),
        {"tenant": api.tenant, "id": gone},
    )
    answer = await done(api, "/v1/messages/retry", {"filter": {}})
    assert (answer["ids"], answer["matching"], answer["remaining"], answer["without_content"]) == ([kept], 1, 0, 1)


async def test_dead_letters_of_another_tenant_are_left_alone(api: Api) -> None:
    message = await buried(api)
    core = api.hermod.core
    other = f"not-{api.tenant}"
    await core.storage.tenants.create(other, other, core.clock.now())
    key = await core.storage.tenants.create_key(other, "test", core.clock.now())
    theirs = {"authorization": f"Bearer {key.key}"}
    for verb in ("retry", "discard"):
        response = await api.client.post(f"/v1/messages/{verb}", json={"filter": {"ids": [message]}}, headers=theirs)
        assert (response.status_code, response.json()["moved"]) == (202, 0)
    assert await listed(api, status="failed") == {message}


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/webhook-deliveries", "/v1/submissions"])
@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "filter"),
        ({"filter": {"colour": 1}}, "filter.colour"),
        ({"filter": {"since": "yesterday"}}, "filter.since"),
        ({"filter": {"ids": []}}, "filter.ids"),
        ({"filter": {"ids": ["a\0b"]}}, "filter.ids.0"),
        ({"filter": {}, "limit": 0}, "limit"),
        ({"filter": {}, "dry_run": "yes"}, "dry_run"),
    ],
)
async def test_filter_that_is_wrong_names_the_field_and_moves_nothing(
    api: Api, path: str, body: object, field: str
) -> None:
    for verb in ("retry", "discard"):
        assert_problem(await call(api, f"{path}/{verb}", body), 422, "invalid-input", field)


async def test_many_deliveries_are_discarded_or_retried_by_endpoint_type_and_code(api: Api) -> None:
    database = api.hermod.core.storage.database
    rows = await WebhookRows.make(database, api.tenant, datetime.now(UTC))
    other = await WebhookRows.make(database, api.tenant, datetime.now(UTC))
    paid, made = await rows.add(DeliveryStatus.FAILED), await rows.add(DeliveryStatus.FAILED, type_="user.made")
    elsewhere, parked = await other.add(DeliveryStatus.FAILED), await rows.add(DeliveryStatus.PARKED)
    created = await rows.add(DeliveryStatus.FAILED, type_="orders/create")
    await database.execute(
        text("UPDATE webhook_deliveries SET status_code = 503 WHERE tenant_id = :tenant AND id = :id"),
        {"tenant": api.tenant, "id": paid},
    )
    path = "/v1/webhook-deliveries"
    assert await listed(api, path, status_code="503") == {paid}
    answer = await done(api, f"{path}/retry", {"filter": {"endpoint": rows.endpoint, "status_code": 503}})
    assert (answer["ids"], answer["remaining"]) == ([paid], 0)
    answer = await done(api, f"{path}/discard", {"filter": {"endpoint": rows.endpoint, "type": "user.*"}})
    assert answer["ids"] == [made]
    assert await listed(api, path, type="orders/*") == {created}
    answer = await done(api, f"{path}/discard", {"filter": {"type": "orders/*"}})
    assert answer["ids"] == [created]
    assert await listed(api, path, discarded="true") == {made, created}
    assert await listed(api, path, status="failed") == {elsewhere}
    answer = await done(api, f"{path}/discard", {"filter": {"status": "parked"}})
    assert answer["ids"] == [parked]
    shown = (await api.client.get(f"{path}/{made}")).json()
    assert (shown["status"], shown["discarded_at"] is None) == ("failed", False)


_SUBMISSION = text("""
    INSERT INTO form_submissions (tenant_id, id, form_id, form_revision, definition, status, body_hash, metadata,
                                  workflow_id, error_code, dead_at, finished_at)
    VALUES (:tenant, :id, :form, 1, '{}', 'failed', '\\x00', '{}', 'submission/' || :tenant || '/' || :id, :code,
            now(), now())
""")


async def test_many_submissions_are_discarded_or_retried_by_form_and_error(api: Api) -> None:
    database = api.hermod.core.storage.database
    for own, form, code in (("sub_1", "order", "http_400"), ("sub_2", "order", "http_422"), ("sub_3", "x", "http_400")):
        await database.execute(_SUBMISSION, {"tenant": api.tenant, "id": own, "form": form, "code": code})
    path = "/v1/submissions"
    assert await listed(api, path, error_code="http_400") == {"sub_1", "sub_3"}
    assert (await done(api, f"{path}/retry", {"filter": {"form": "order", "error_code": "http_400"}}))["ids"] == [
        "sub_1"
    ]
    assert (await done(api, f"{path}/discard", {"filter": {"form": "x"}}))["ids"] == ["sub_3"]
    assert await listed(api, path, status="failed") == {"sub_2"}
    assert await listed(api, path, discarded="true") == {"sub_3"}
    assert (await api.client.get(f"{path}/sub_3")).json()["discarded_at"] is not None
