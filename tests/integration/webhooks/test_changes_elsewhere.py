"""Endpoints that another process changes: what it was answered holds for every event that is accepted after it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from hermod.contracts.webhooks.deliveries import EndpointSettings
from hermod.storage.secrets.vault import Vault
from hermod.storage.webhook_endpoints.endpoints import WebhookEndpoints
from starter.webhooks.endpoints import merged
from tests.support.hostile import Hostile
from tests.support.product import ProductFixture
from tests.support.webhooks.product import add_endpoint, delivered


async def change_elsewhere(house: ProductFixture, endpoint: str, given: Mapping[str, Any]) -> None:
    """As a process does whose changes this one hears nothing of."""
    core = house.hermod.core
    keys = core.settings.secret_key
    assert keys is not None
    elsewhere = WebhookEndpoints(core.storage.database, Vault(keys.get_secret_value()), core.clock)

    def change(current: EndpointSettings) -> EndpointSettings:
        return merged(current, given)

    await elsewhere.update(
        house.hermod.tenant, endpoint, change, named=given.keys(), actor="test", now=core.clock.now()
    )


@pytest.fixture
async def second() -> AsyncIterator[Hostile]:
    async with Hostile() as receiver:
        yield receiver


async def test_event_after_a_change_of_what_an_endpoint_asks_for_reaches_it(
    house: ProductFixture, receiver: Hostile
) -> None:
    endpoint = await add_endpoint(house, receiver.url, event_types=("order.paid",))
    assert not (await house.hermod.emit("form.submitted", {})).deliveries
    await change_elsewhere(house, endpoint.id, {"event_types": ["form.submitted"]})
    (delivery,) = (await house.hermod.emit("form.submitted", {})).deliveries
    await delivered(house, delivery.id)


async def test_event_after_a_change_of_address_goes_to_the_new_one(
    house: ProductFixture, receiver: Hostile, second: Hostile
) -> None:
    endpoint = await add_endpoint(house, receiver.url)
    (first,) = (await house.hermod.emit("order.paid", {})).deliveries
    await delivered(house, first.id)
    await change_elsewhere(house, endpoint.id, {"url": second.url})
    (delivery,) = (await house.hermod.emit("order.paid", {})).deliveries
    await delivered(house, delivery.id)
    assert (len(receiver.requests), len(second.requests)) == (1, 1)


async def test_event_after_an_endpoint_was_enabled_is_not_parked(house: ProductFixture, receiver: Hostile) -> None:
    endpoint = await add_endpoint(house, receiver.url)
    await change_elsewhere(house, endpoint.id, {"enabled": False})
    worker = house.hermod.core.storage.webhook_endpoints
    worker.forget(house.hermod.tenant, endpoint.id)
    await worker.endpoint(house.hermod.tenant, endpoint.id)
    await change_elsewhere(house, endpoint.id, {"enabled": True})
    (delivery,) = (await house.hermod.emit("order.paid", {})).deliveries
    await delivered(house, delivery.id)
