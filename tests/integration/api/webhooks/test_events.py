"""Events and deliveries over the API; Temporal is away, so that what is stored can be looked at."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text

from hermod.contracts.errors import NotFound
from hermod.contracts.webhooks.deliveries import EndpointSettings
from starter.webhooks.deliveries import delivery_status
from starter.webhooks.endpoints import create_endpoint
from tests.integration.api.conftest import Api, assert_problem
from web.examples import EVENT_BODY

EVENT = {"type": "order.paid", "payload": {"id": 7}}


async def endpoint(api: Api, **settings: Any) -> str:
    client = api.hermod.as_tenant(api.tenant, "test")
    given = {"url": "http://127.0.0.1:9/hook", **settings}
    return (await create_endpoint(client, EndpointSettings.model_validate(given))).id


@pytest.mark.parametrize("example", list(EVENT_BODY["content"]["application/json"]["examples"].values()))
async def test_examples_are_accepted_with_a_delivery_for_each_endpoint(api: Api, example: dict[str, Any]) -> None:
    first, second = await endpoint(api), await endpoint(api, event_types=["order.*"])
    await endpoint(api, event_types=["customer.*"])
    response = await api.client.post("/v1/webhook-events", json=example["value"])
    assert response.status_code == 202
    answer = response.json()
    assert {one["endpoint_id"] for one in answer["deliveries"]} == {first, second}
    shown = await api.client.get(f"/v1/webhook-deliveries/{answer['deliveries'][0]['id']}")
    assert shown.status_code == 200
    body = shown.json()
    assert (body["event_id"], body["status"], body["payload"]) == (
        answer["event_id"],
        "pending",
        example["value"]["payload"],
    )


async def test_event_nobody_asked_for_is_accepted_and_makes_no_delivery(api: Api) -> None:
    response = await api.client.post("/v1/webhook-events", json=EVENT)
    assert (response.status_code, response.json()["deliveries"]) == (202, [])


async def test_event_id_is_repeated_gives_the_same_answer_and_another_event_is_refused(api: Api) -> None:
    await endpoint(api)
    asked = EVENT | {"event_id": "order-7"}
    first = await api.client.post("/v1/webhook-events", json=asked)
    assert (await api.client.post("/v1/webhook-events", json=asked)).json() == first.json()
    other = await api.client.post("/v1/webhook-events", json=asked | {"payload": {"id": 8}})
    assert_problem(other, 422, "invalid-input", "event_id")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"type": "order paid"}, "type"),
        ({"type": "order."}, "type"),
        ({"payload": [1]}, "payload"),
        ({"payload": {"x": "y" * 262_144}}, "payload"),
        ({"event_id": "with.dot"}, "event_id"),
        ({"ordering_key": ""}, "ordering_key"),
        ({"surprise": 1}, "surprise"),
    ],
)
async def test_wrong_field_is_named(api: Api, change: dict[str, Any], field: str) -> None:
    assert_problem(await api.client.post("/v1/webhook-events", json=EVENT | change), 422, "invalid-input", field)


async def test_body_beyond_the_limit_is_refused(api: Api) -> None:
    body = b'{"type": "a", "payload": {}, "x": "' + b"y" * 1024 * 1024 + b'"}'
    assert_problem(await api.client.post("/v1/webhook-events", content=body), 413, "body-too-large")


async def test_list_is_narrowed_and_paged(api: Api) -> None:
    first, second = await endpoint(api, event_types=["order.*"]), await endpoint(api, event_types=["customer.*"])
    for kind in ("order.paid", "order.shipped", "customer.made", "order.paid"):
        await api.client.post("/v1/webhook-events", json=EVENT | {"type": kind})

    async def listed(**query: str | int) -> list[dict[str, Any]]:
        response = await api.client.get("/v1/webhook-deliveries", params=query)
        assert response.status_code == 200, response.text
        return list(response.json()["items"])

    assert len(await listed()) == 4
    assert {one["endpoint_id"] for one in await listed(endpoint=second)} == {second}
    assert len(await listed(endpoint=first, type="order.paid")) == 2
    assert len(await listed(type="order.*")) == 3
    assert len(await listed(status="pending")) == 4
    assert await listed(status="failed") == []
    page = (await api.client.get("/v1/webhook-deliveries", params={"limit": 3})).json()
    assert len(page["items"]) == 3
    assert len(await listed(cursor=page["next_cursor"])) == 1
    assert_problem(await api.client.get("/v1/webhook-deliveries", params={"status": "lost"}), 422, "invalid-input")


async def test_moves_follow_the_state(api: Api) -> None:
    await endpoint(api)
    delivery = (await api.client.post("/v1/webhook-events", json=EVENT)).json()["deliveries"][0]["id"]
    place = f"/v1/webhook-deliveries/{delivery}"
    assert_problem(await api.client.post(f"{place}/retry"), 409, "conflict")
    assert_problem(await api.client.post(f"{place}/discard"), 409, "conflict")
    cancelled = await api.client.post(f"{place}/cancel")
    assert (cancelled.status_code, cancelled.json()["status"]) == (202, "cancelled")
    assert_problem(await api.client.post(f"{place}/cancel"), 409, "conflict")
    again = await api.client.post(f"{place}/retry")
    assert (again.status_code, again.json()["status"]) == (202, "pending")
    for unknown in ("whd_nothing", "x" * 100):
        assert_problem(await api.client.get(f"/v1/webhook-deliveries/{unknown}"), 404, "not-found")
        assert_problem(await api.client.post(f"/v1/webhook-deliveries/{unknown}/retry"), 404, "not-found")


async def test_delivery_of_another_tenant_is_not_found(api: Api) -> None:
    await endpoint(api)
    delivery = (await api.client.post("/v1/webhook-events", json=EVENT)).json()["deliveries"][0]["id"]
    with pytest.raises(NotFound):
        await delivery_status(api.hermod.as_tenant("another", "test"), delivery)


async def test_event_repeated_under_its_idempotency_key_is_sent_once_and_another_event_is_refused(api: Api) -> None:
    await endpoint(api)
    key = {"Idempotency-Key": "order:7 paid"}
    first = await api.client.post("/v1/webhook-events", json=EVENT, headers=key)
    again = await api.client.post("/v1/webhook-events", json=EVENT, headers=key)
    assert (first.status_code, again.status_code, again.json()) == (202, 202, first.json())
    other = await api.client.post("/v1/webhook-events", json=EVENT | {"payload": {"id": 8}}, headers=key)
    assert_problem(other, 422, "idempotency-mismatch", "Idempotency-Key")
    unlike = await api.client.post("/v1/webhook-events", json=EVENT, headers={"Idempotency-Key": "order:8 paid"})
    assert unlike.json()["event_id"] != first.json()["event_id"]
    wrong = await api.client.post("/v1/webhook-events", json=EVENT, headers={"Idempotency-Key": "k" * 256})
    assert_problem(wrong, 422, "invalid-input", "Idempotency-Key")


async def test_event_with_an_id_keeps_it_whatever_the_idempotency_key(api: Api) -> None:
    asked = EVENT | {"event_id": "order-7"}
    response = await api.client.post("/v1/webhook-events", json=asked, headers={"Idempotency-Key": "a"})
    assert response.json()["event_id"] == "order-7"


async def test_endpoint_names_the_kind_and_the_sender_of_its_requests(api: Api) -> None:
    own = {"Content-Type": "application/cloudevents+json", "user-agent": "Shop/2"}
    made = await api.client.post("/v1/webhook-endpoints", json={"url": "https://example.com/hook", "headers": own})
    assert made.status_code == 201, made.text
    assert set(made.json()["headers"]) == set(own)
    wrong = {"url": "https://example.com/hook", "headers": {"Content-Type": "json"}}
    assert_problem(
        await api.client.post("/v1/webhook-endpoints", json=wrong), 422, "invalid-input", "headers.Content-Type"
    )


PAID = {"path": "data.status", "op": "eq", "value": "paid"}


async def told(api: Api, payload: dict[str, Any], **more: Any) -> list[str]:
    """The endpoints to which an event with the payload goes."""
    response = await api.client.post("/v1/webhook-events", json=EVENT | {"payload": payload} | more)
    assert response.status_code == 202, response.text
    return sorted(one["endpoint_id"] for one in response.json()["deliveries"])


async def test_event_goes_to_the_endpoints_whose_filters_let_its_payload_through(api: Api) -> None:
    every = await endpoint(api)
    paid = await endpoint(api, filter=[PAID])
    dear = await endpoint(api, filter=[PAID, {"path": "data.order.total", "op": "gte", "value": 50}])
    open_ = await endpoint(api, filter=[PAID | {"op": "ne"}], event_types=["order.*"])
    assert await told(api, {"status": "paid"}) == sorted([every, paid])
    assert await told(api, {"status": "paid", "order": {"total": 50}}) == sorted([every, paid, dear])
    assert await told(api, {"status": "open"}) == sorted([every, open_])
    assert await told(api, {}) == sorted([every, open_])
    assert await told(api, {"status": "open"}, type="customer.made") == [every]


async def test_filter_is_changed_the_next_event_goes_by_it(api: Api) -> None:
    one = await endpoint(api, filter=[PAID])
    address = f"/v1/webhook-endpoints/{one}"
    assert await told(api, {"status": "open"}) == []
    changed = await api.client.patch(address, json={"filter": [{"path": "data.status", "value": "open"}]})
    assert changed.json()["filter"] == [{"path": "data.status", "op": "eq", "value": "open"}]
    assert await told(api, {"status": "open"}) == [one]
    assert (await api.client.patch(address, json={"description": "x"})).json()["filter"] == changed.json()["filter"]
    assert (await api.client.patch(address, json={"filter": None})).json()["filter"] == []
    assert await told(api, {}) == [one]
    wrong = await api.client.patch(address, json={"filter": [PAID | {"op": "gt"}]})
    assert_problem(wrong, 422, "invalid-input", "filter.0.value")
    assert await told(api, {}) == [one]


async def test_filter_of_one_endpoint_cannot_be_read_it_is_told_and_so_are_the_others(api: Api) -> None:
    one, other = await endpoint(api, filter=[PAID]), await endpoint(api, filter=[PAID])
    database = api.hermod.core.storage.database
    statement = text("""UPDATE webhook_endpoints SET filter = '[{"path": 1}]' WHERE id = :id""")
    await database.execute(statement, {"id": one})
    assert await told(api, {"status": "paid"}) == sorted([one, other])
    assert await told(api, {"status": "open"}) == [one]
