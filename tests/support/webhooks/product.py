"""Endpoints and deliveries of a tenant in a running product."""

from __future__ import annotations

from typing import Any

from hermod.contracts.webhooks.deliveries import (
    OPEN_DELIVERIES,
    DeliveryStatus,
    DeliveryView,
    EndpointSettings,
    NewEndpoint,
)
from starter.webhooks.deliveries import delivery_status
from starter.webhooks.endpoints import create_endpoint
from tests.support.polling import eventually
from tests.support.product import ProductFixture


async def add_endpoint(house: ProductFixture, url: str, **settings: Any) -> NewEndpoint:
    return await create_endpoint(house.hermod, EndpointSettings(url=url, **settings))


async def ended(house: ProductFixture, delivery: str, *, within: float = 60.0) -> DeliveryView:
    """The delivery's story, once it has an end."""

    async def closed() -> DeliveryView | None:
        view = await delivery_status(house.hermod, delivery)
        return view if view.status not in OPEN_DELIVERIES else None

    view = await eventually(closed, within=within)
    assert view is not None
    return view


async def delivered(house: ProductFixture, delivery: str, *, within: float = 60.0) -> DeliveryView:
    view = await ended(house, delivery, within=within)
    assert view.status is DeliveryStatus.DELIVERED, f"{view.status.value}: {view.error}"
    return view
