"""An endpoint that says 410 is disabled, and those who want to know of it are told, through the whole product."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import orjson
import pytest
from sqlalchemy import text

from hermod.contracts.webhooks.deliveries import EndpointSettings, NewEndpoint
from hermod.contracts.webhooks.notices import NoticeReport
from starter.webhooks.endpoints import create_endpoint, enable_endpoint, show_endpoint
from tests.support.hostile import Hostile
from tests.support.polling import eventually
from tests.support.product import ProductFixture


@pytest.fixture
async def gone() -> AsyncIterator[Hostile]:
    async with Hostile() as running:
        running.behave("410")
        yield running


@pytest.fixture
async def listener() -> AsyncIterator[Hostile]:
    async with Hostile() as running:
        yield running


async def endpoint(house: ProductFixture, receiver: Hostile, *types: str) -> NewEndpoint:
    return await create_endpoint(house.hermod, EndpointSettings(url=receiver.url, event_types=types, retry=(0.1, 0.1)))


async def is_disabled(house: ProductFixture, made: NewEndpoint) -> None:
    async def disabled() -> bool:
        return not (await show_endpoint(house.hermod, made.id)).enabled

    await eventually(disabled)


async def run(house: ProductFixture, workflow: str) -> object:
    """A housekeeping workflow, ahead of its schedule."""
    own = f"{workflow}-{house.hermod.tenant}"
    return await house.client.execute_workflow(
        workflow, id=own, task_queue="hermod", result_type=NoticeReport, execution_timeout=timedelta(seconds=30)
    )


async def test_endpoint_is_gone_its_owner_and_those_who_asked_are_told_once(
    house: ProductFixture, gone: Hostile, listener: Hostile
) -> None:
    core = house.hermod.core
    await house.add_account("main")
    await core.storage.tenants.set_owner(house.hermod.tenant, "ops@example.com", actor="test", now=core.clock.now())
    made = await endpoint(house, gone, "order.*", "endpoint.disabled")
    await endpoint(house, listener, "endpoint.disabled")
    await house.hermod.emit("order.paid", {"id": 7})
    await is_disabled(house, made)
    for _ in range(2):
        await run(house, "SendWebhookNotices")

    async def told() -> bool:
        rows = await core.storage.database.rows(
            text("SELECT recipient, status FROM messages WHERE tenant_id = :tenant"), {"tenant": house.hermod.tenant}
        )
        assert [(row.recipient, row.status) for row in rows] == [("ops@example.com", "sent")]
        return len(listener.requests) == 1

    await eventually(told, within=40)
    event = orjson.loads(listener.requests[0].body)
    assert (event["type"], event["data"]["endpoint_id"]) == ("endpoint.disabled", made.id)
    assert event["data"]["reason"] == "gone"
    assert len(gone.requests) == 1


async def test_endpoint_is_enabled_again_its_health_begins_anew_and_what_was_parked_stays_so(
    house: ProductFixture, gone: Hostile
) -> None:
    made = await endpoint(house, gone, "*")
    await house.hermod.emit("order.paid", {"id": 7})
    await is_disabled(house, made)
    await house.hermod.emit("order.paid", {"id": 8})
    gone.behave("ok")
    view = await enable_endpoint(house.hermod, made.id)
    assert (view.enabled, view.disabled_reason, view.paused_until) == (True, None, None)
    assert view.parked >= 1
    receipt = await house.hermod.emit("order.paid", {"id": 9})

    async def delivered() -> bool:
        return [call.headers["webhook-id"] for call in gone.requests[1:]] == [receipt.deliveries[0].id]

    await eventually(delivered)
    assert (await show_endpoint(house.hermod, made.id)).parked == view.parked
