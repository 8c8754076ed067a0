"""From an emitted event to a signed request at its receiver, and back to the log."""

from __future__ import annotations

import asyncio
import json

import pytest

from hermod.contracts.errors import InvalidInput
from hermod.contracts.webhooks.deliveries import DeliveryStatus
from starter import verify_webhook
from starter.webhooks.deliveries import delivery_status
from tests.support.hostile import Hostile
from tests.support.product import ProductFixture
from tests.support.webhooks.product import add_endpoint, delivered, ended


async def test_event_is_emitted_arrives_signed_and_every_request_is_in_the_log(
    house: ProductFixture, receiver: Hostile
) -> None:
    endpoint = await add_endpoint(house, receiver.url)
    receipt = await house.hermod.emit("order.paid", {"id": 7, "note": "żółć"}, request_id="req_1")
    (reference,) = receipt.deliveries
    assert reference.endpoint_id == endpoint.id
    view = await delivered(house, reference.id)
    (request,) = receiver.requests
    verify_webhook(request.body, request.headers, endpoint.secret)
    sent = json.loads(request.body)
    assert (sent["type"], sent["data"]) == ("order.paid", {"id": 7, "note": "żółć"})
    assert request.headers["webhook-id"] == reference.id
    assert request.headers["x-request-id"] == "req_1"
    (attempt,) = view.attempts
    assert (attempt.outcome, attempt.status_code, attempt.number) == ("success", 200, 1)
    assert attempt.address == "127.0.0.1"
    assert attempt.request_headers["webhook-id"] == reference.id
    assert attempt.response_headers
    assert view.payload == {"id": 7, "note": "żółć"}


async def test_event_of_a_type_reaches_the_endpoints_that_asked_for_it_and_no_others(
    house: ProductFixture, receiver: Hostile
) -> None:
    orders = await add_endpoint(house, receiver.url, event_types=("order.*",))
    everything = await add_endpoint(house, receiver.url)
    await add_endpoint(house, receiver.url, event_types=("customer.*", "order"))
    receipt = await house.hermod.emit("order.paid", {})
    assert {one.endpoint_id for one in receipt.deliveries} == {orders.id, everything.id}
    for one in receipt.deliveries:
        await delivered(house, one.id)
    assert (await house.hermod.emit("nobody.cares", {})).deliveries[0].endpoint_id == everything.id


async def test_event_id_that_is_repeated_gives_the_same_answer_and_sends_nothing(
    house: ProductFixture, receiver: Hostile
) -> None:
    await add_endpoint(house, receiver.url)
    first = await house.hermod.emit("order.paid", {"a": 1, "b": 2}, event_id="order-1")
    await delivered(house, first.deliveries[0].id)
    again = await house.hermod.emit("order.paid", {"b": 2, "a": 1}, event_id="order-1")
    assert again == first
    with pytest.raises(InvalidInput, match="event_id"):
        await house.hermod.emit("order.paid", {"a": 2}, event_id="order-1")
    assert len(receiver.requests) == 1


async def test_burst_of_events_arrives_once_each_and_shares_workflows(house: ProductFixture, receiver: Hostile) -> None:
    await add_endpoint(house, receiver.url)
    receipts = await asyncio.gather(*(house.hermod.emit("order.paid", {"n": number}) for number in range(60)))
    ids = [one.deliveries[0].id for one in receipts]
    for one in ids:
        await delivered(house, one)
    assert sorted(request.headers["webhook-id"] for request in receiver.requests) == sorted(ids)
    workflows = {(await delivery_status(house.hermod, one)).workflow_id for one in ids}
    assert len(workflows) < 10
    assert receiver.peak <= 10


async def test_receiver_that_fails_first_is_tried_again_with_the_same_id_and_a_fresh_signature(
    house: ProductFixture, receiver: Hostile
) -> None:
    endpoint = await add_endpoint(house, receiver.url, retry=(0.2, 0.2, 0.2))
    receiver.behave("503", "reset", "ok")
    receipt = await house.hermod.emit("order.paid", {"id": 7})
    view = await delivered(house, receipt.deliveries[0].id)
    assert [attempt.outcome for attempt in view.attempts] == ["http_error", "reset", "success"]
    assert [request.headers["webhook-attempt"] for request in receiver.requests] == ["1", "2", "3"]
    assert {request.headers["webhook-id"] for request in receiver.requests} == {receipt.deliveries[0].id}
    for request in receiver.requests:
        verify_webhook(request.body, request.headers, endpoint.secret)


async def test_endpoint_that_is_disabled_parks_its_deliveries(house: ProductFixture, receiver: Hostile) -> None:
    await add_endpoint(house, receiver.url, enabled=False)
    receipt = await house.hermod.emit("order.paid", {})
    view = await ended(house, receipt.deliveries[0].id)
    assert view.status is DeliveryStatus.PARKED
    assert not receiver.requests
