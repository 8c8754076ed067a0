"""Ordered endpoints in a running product: events with keys and numbers, and the order in which a receiver saw them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hermod.contracts.webhooks.deliveries import OPEN_DELIVERIES, EndpointSettings
from starter.webhooks.deliveries import delivery_status
from starter.webhooks.endpoints import create_endpoint
from tests.support.polling import eventually
from tests.support.product import ProductFixture
from tests.support.webhooks.receiver import Receiver


async def ordered_endpoint(house: ProductFixture, receiver: Receiver, **settings: Any) -> str:
    given = {"url": receiver.url, "ordering": "by_key", "retry": [0.1, 0.1], **settings}
    return (await create_endpoint(house.hermod, EndpointSettings.model_validate(given))).id


async def emit(house: ProductFixture, key: str | None, number: int) -> str:
    """The delivery of an event with this key and number."""
    receipt = await house.hermod.emit("order.changed", {"key": key, "number": number}, ordering_key=key)
    return receipt.deliveries[0].id


async def status_of(house: ProductFixture, delivery: str) -> str:
    return (await delivery_status(house.hermod, delivery)).status.value


async def all_ended(house: ProductFixture, deliveries: Sequence[str], *, within: float = 30.0) -> list[str]:
    """How the deliveries ended."""

    async def ended() -> list[str]:
        found = [await status_of(house, delivery) for delivery in deliveries]
        assert not {status.value for status in OPEN_DELIVERIES} & set(found), found
        return found

    return await eventually(ended, within=within, every=0.05)


def numbers(receiver: Receiver, key: str) -> list[int]:
    """Of the key's events, in the order in which the receiver accepted them."""
    return [payload["number"] for payload in receiver.accepted() if payload["key"] == key]


def tried(receiver: Receiver, key: str) -> list[int]:
    """Of the key's events, in the order in which the receiver was asked, repeats among them."""
    return [call.payload["number"] for call in receiver.calls if call.payload["key"] == key]
