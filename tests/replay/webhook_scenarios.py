"""The courses of the webhook workflows. Where a course does not say otherwise, nobody listens at the endpoint."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from hermod.contracts.ids import replay_workflow, webhook_endpoint_workflow, webhook_workflow
from hermod.contracts.webhooks.deliveries import EndpointSettings, ReplayInput, ReplayStatus
from starter.webhooks.deliveries import deliveries, delivery_status, discard_delivery
from starter.webhooks.endpoints import create_endpoint
from starter.webhooks.replays import move_replay, replay, replay_status
from tests.support.hostile import Hostile
from tests.support.polling import eventually
from tests.support.product import ProductFixture
from tests.support.webhooks.product import delivered


async def deliver_webhook_delivered(house: ProductFixture) -> str:
    async with Hostile() as receiver:
        receiver.behave("500", "ok")
        await _endpoint(house, url=receiver.url, retry=[600])
        delivery = (await house.hermod.emit("order.paid", {})).deliveries[0].id
        return (await delivered(house, delivery)).workflow_id


async def deliver_webhook_dead_letter(house: ProductFixture) -> str:
    await _endpoint(house)
    return await _workflow_of(house, await _dead_letter(house))


async def deliver_webhook_cancelled(house: ProductFixture) -> str:
    await _endpoint(house, retry=[3600])
    delivery = (await house.hermod.emit("order.paid", {})).deliveries[0].id

    async def waits() -> bool:
        return (await delivery_status(house.hermod, delivery)).next_attempt_at is not None

    await eventually(waits)
    workflow = await _workflow_of(house, delivery)
    await house.client.get_workflow_handle(workflow).execute_update("cancel")
    return workflow


async def deliver_webhooks_all_leaving(house: ProductFixture) -> str:
    """A batch whose deliveries leave it one by one: the next attempt of each is too far away."""
    await _endpoint(house, retry=[600])
    receipts = await asyncio.gather(*(house.hermod.emit("order.paid", {"n": number}) for number in range(2)))
    return await _workflow_of(house, receipts[0].deliveries[0].id)


async def deliver_webhook_that_left_its_batch(house: ProductFixture) -> str:
    await deliver_webhooks_all_leaving(house)
    (first, *_) = (await deliveries(house.hermod)).items

    async def left() -> bool:
        return (await _workflow_of(house, first.id)).startswith("webhook/")

    await eventually(left, within=20)
    return await _workflow_of(house, first.id)


async def deliver_webhooks_to_several_endpoints(house: ProductFixture) -> str:
    """A batch whose deliveries go on in one of their endpoint, and those that are alone by themselves."""
    for number in range(5):
        await _endpoint(house, event_types=[f"order.{number}"])
    kinds = [f"order.{number}" for number in (0, 0, 1, 2, 3, 4)]
    receipts = await asyncio.gather(*(house.hermod.emit(kind, {}) for kind in kinds))

    async def went_on() -> str | None:
        batch, dot, _ = (await _workflow_of(house, receipts[0].deliveries[0].id)).partition(".")
        return batch if dot else None

    batch = await eventually(went_on, within=20)
    assert batch is not None
    return batch


async def deliver_webhook_handed_off(house: ProductFixture) -> str:
    """Its endpoint asks for a pause; it waits for that elsewhere."""
    return webhook_workflow(house.hermod.tenant, (await _paused(house))[1])


async def drain_endpoint_done(house: ProductFixture) -> str:
    endpoint, _ = await _paused(house)
    return webhook_endpoint_workflow(house.hermod.tenant, endpoint)


async def ordered_endpoint_done(house: ProductFixture) -> str:
    await _endpoint(house, ordering="by_key")
    return await _workflow_of(house, await _dead_letter(house, key="order-1"))


async def ordered_endpoint_blocked(house: ProductFixture) -> str:
    await _endpoint(house, ordering="by_key", when_exhausted="block")
    first = await _dead_letter(house, key="order-1")
    workflow = await _workflow_of(house, first)
    await house.client.get_workflow_handle(workflow).result()
    await house.hermod.emit("order.paid", {}, ordering_key="order-1")
    handle = house.client.get_workflow_handle(workflow)

    async def waits() -> bool:
        events = (await handle.fetch_history()).events
        return any(event.HasField("timer_started_event_attributes") for event in events)

    await eventually(waits)
    await discard_delivery(house.hermod, first)
    return workflow


async def replay_deliveries_done(house: ProductFixture) -> str:
    endpoint = await _endpoint(house)
    for _ in range(2):
        await _dead_letter(house)
    return replay_workflow(house.hermod.tenant, await _replay(house, endpoint, per_second=1))


async def replay_deliveries_cancelled(house: ProductFixture) -> str:
    endpoint = await _endpoint(house)
    for _ in range(2):
        await _dead_letter(house)
    own = await _replay(house, endpoint, per_second=0.001)

    async def waits() -> bool:
        return (await replay_status(house.hermod, own)).begun == 1

    await eventually(waits)
    workflow = replay_workflow(house.hermod.tenant, own)

    async def timer() -> bool:
        events = (await house.client.get_workflow_handle(workflow).fetch_history()).events
        return any(event.HasField("timer_started_event_attributes") for event in events)

    await eventually(timer)
    await move_replay(house.hermod, own, ReplayStatus.CANCELLED)
    return workflow


async def _endpoint(house: ProductFixture, **settings: Any) -> str:
    given = {"url": "http://127.0.0.1:9/hook", "retry": [0.1], **settings}
    return (await create_endpoint(house.hermod, EndpointSettings.model_validate(given))).id


async def _paused(house: ProductFixture) -> tuple[str, str]:
    """An endpoint that asked for an hour, and its delivery, once that has arrived."""
    async with Hostile() as receiver:
        receiver.behave("503", "ok", headers={"Retry-After": "3600"})
        endpoint = await _endpoint(house, url=receiver.url)
        delivery = (await house.hermod.emit("order.paid", {})).deliveries[0].id
        await delivered(house, delivery)
        return endpoint, delivery


async def _dead_letter(house: ProductFixture, key: str | None = None) -> str:
    receipt = await house.hermod.emit("order.paid", {}, ordering_key=key)
    delivery = receipt.deliveries[0].id

    async def failed() -> bool:
        return (await delivery_status(house.hermod, delivery)).status == "failed"

    await eventually(failed, within=20)
    return delivery


async def _workflow_of(house: ProductFixture, delivery: str) -> str:
    return (await delivery_status(house.hermod, delivery)).workflow_id


async def _replay(house: ProductFixture, endpoint: str, per_second: float) -> str:
    asked = ReplayInput(since=datetime.now(UTC) - timedelta(hours=1), per_second=per_second)
    own = (await replay(house.hermod, endpoint, asked)).id
    assert own is not None
    return own
