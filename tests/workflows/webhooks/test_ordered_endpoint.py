"""Order with time skipped: each key in the order of acceptance, and what becomes of those behind a dead letter."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text
from temporalio.client import WorkflowFailureError

from hermod.contracts.ids import webhook_order_workflow
from starter.webhooks.deliveries import cancel_delivery, discard_delivery, retry_delivery
from starter.webhooks.endpoints import enable_endpoint, show_endpoint
from tests.support.polling import eventually
from tests.support.product import ProductFixture
from tests.support.webhooks.lines import all_ended, emit, numbers, ordered_endpoint, status_of, tried
from tests.support.webhooks.receiver import Receiver

KEYS = ("a", "b", "c")


def refusing(key: str, number: int) -> Callable[[dict[str, Any], int], int]:
    return lambda payload, _: 500 if (payload["key"], payload["number"]) == (key, number) else 204


async def emit_interleaved(house: ProductFixture) -> dict[str, list[str]]:
    """Three events of each of three keys, by key."""
    deliveries: dict[str, list[str]] = {key: [] for key in KEYS}
    for number in range(3):
        for key in KEYS:
            deliveries[key].append(await emit(house, key, number))
    return deliveries


@pytest.mark.parametrize("seed", range(5))
async def test_receiver_accepts_each_key_in_the_order_of_acceptance_whatever_it_refuses_meanwhile(
    skipping: ProductFixture, receiver: Receiver, seed: int
) -> None:
    chance = random.Random(seed)
    await ordered_endpoint(skipping, receiver, retry=[0.1] * 8)
    receiver.decide = lambda _, attempt: 500 if attempt < 4 and chance.random() < 0.3 else 204
    events = [(key, number) for number in range(5) for key in KEYS[: 1 + number % 3]]
    deliveries = [await emit(skipping, key, number) for key, number in events]
    assert set(await all_ended(skipping, deliveries)) == {"delivered"}
    for key in KEYS:
        accepted = [number for one, number in events if one == key]
        assert numbers(receiver, key) == accepted
        assert tried(receiver, key) == sorted(tried(receiver, key)), (
            "none was tried before the one ahead of it had ended"
        )


async def test_burst_of_one_key_emitted_at_once_arrives_one_by_one(
    skipping: ProductFixture, receiver: Receiver
) -> None:
    await ordered_endpoint(skipping, receiver)
    deliveries = await asyncio.gather(*(emit(skipping, "a", number) for number in range(20)))
    assert set(await all_ended(skipping, deliveries)) == {"delivered"}
    rows = [call.delivery for call in receiver.calls]
    assert sorted(rows) == sorted(deliveries)
    assert receiver.most == 1


async def test_events_without_a_key_are_not_held_up(skipping: ProductFixture, receiver: Receiver) -> None:
    await ordered_endpoint(skipping, receiver, when_exhausted="block")
    receiver.decide = refusing("a", 0)
    blocking = await emit(skipping, "a", 0)
    free = await emit(skipping, None, 0)
    assert await all_ended(skipping, [blocking, free]) == ["failed", "delivered"]


async def test_dead_letter_is_gone_past_at_the_end_of_its_schedule(
    skipping: ProductFixture, receiver: Receiver
) -> None:
    await ordered_endpoint(skipping, receiver, when_exhausted="dead_letter")
    receiver.decide = refusing("a", 0)
    deliveries = await emit_interleaved(skipping)
    assert await all_ended(skipping, deliveries["a"]) == ["failed", "delivered", "delivered"]
    assert tried(receiver, "a") == [0, 0, 0, 1, 2]
    for key in ("b", "c"):
        await all_ended(skipping, deliveries[key])
        assert tried(receiver, key) == [0, 1, 2]


async def test_skipped_after_so_many_attempts(skipping: ProductFixture, receiver: Receiver) -> None:
    await ordered_endpoint(skipping, receiver, when_exhausted="skip", skip_after=2, retry=[0.1] * 6)
    receiver.decide = refusing("a", 0)
    deliveries = await emit_interleaved(skipping)
    assert await all_ended(skipping, deliveries["a"]) == ["skipped", "delivered", "delivered"]
    assert tried(receiver, "a") == [0, 0, 1, 2]
    assert set(await all_ended(skipping, deliveries["b"] + deliveries["c"])) == {"delivered"}


@pytest.mark.parametrize("move", ["retry", "discard"])
async def test_blocked_line_goes_on_when_its_dead_letter_is_retried_or_discarded(
    house: ProductFixture, receiver: Receiver, move: str
) -> None:
    endpoint = await ordered_endpoint(house, receiver, when_exhausted="block")
    receiver.decide = refusing("a", 0)
    deliveries = await emit_interleaved(house)
    first, *others = deliveries["a"]
    assert await all_ended(house, [first, *deliveries["b"], *deliveries["c"]]) == ["failed"] + ["delivered"] * 6
    assert [await status_of(house, one) for one in others] == ["queued", "queued"]
    await eventually(lambda: is_blocked(house, endpoint, first))
    receiver.decide = lambda payload, attempt: 204
    await (retry_delivery if move == "retry" else discard_delivery)(house.hermod, first)
    assert set(await all_ended(house, others)) == {"delivered"}
    assert numbers(receiver, "a") == ([0, 1, 2] if move == "retry" else [1, 2])


async def test_cancelled_delivery_that_waits_lets_the_next_one_go_at_once(
    house: ProductFixture, receiver: Receiver
) -> None:
    await ordered_endpoint(house, receiver, retry=[3600])
    receiver.decide = refusing("a", 0)
    first, second = await emit(house, "a", 0), await emit(house, "a", 1)

    async def waits() -> bool:
        return await status_of(house, first) == "retrying"

    await eventually(waits)
    await cancel_delivery(house.hermod, first)
    assert await all_ended(house, [first, second]) == ["cancelled", "delivered"]
    assert tried(receiver, "a") == [0, 1]


async def test_workflow_cancelled_in_temporal_loses_nothing(house: ProductFixture, receiver: Receiver) -> None:
    endpoint = await ordered_endpoint(house, receiver, retry=[3600])
    receiver.decide = refusing("a", 0)
    first, second = await emit(house, "a", 0), await emit(house, "a", 1)

    async def waits() -> bool:
        return await status_of(house, first) == "retrying"

    await eventually(waits)
    line = house.client.get_workflow_handle(await line_of(house, endpoint, first))
    await line.cancel()
    with pytest.raises(WorkflowFailureError):
        await line.result()  # what wakes a line that is about to close is found by the sweeper, in its own time
    assert [await status_of(house, one) for one in (first, second)] == ["retrying", "queued"]
    receiver.decide = lambda payload, attempt: 204
    await cancel_delivery(house.hermod, first)
    await retry_delivery(house.hermod, first)
    assert await all_ended(house, [first, second]) == ["delivered", "delivered"]
    assert numbers(receiver, "a") == [0, 1]


async def line_of(house: ProductFixture, endpoint: str, delivery: str) -> str:
    """The workflow of the delivery's line."""
    database = house.hermod.core.storage.database
    statement = text("SELECT order_key, workflow_id FROM webhook_deliveries WHERE id = :id")
    rows = await database.rows(statement, {"id": delivery})
    assert rows[0].workflow_id == webhook_order_workflow(house.hermod.tenant, endpoint, rows[0].order_key)
    return str(rows[0].workflow_id)


async def is_blocked(house: ProductFixture, endpoint: str, delivery: str) -> bool:
    """Whether the line's workflow waits for the delivery, which the Web UI shows as the summary of its timer."""
    handle = house.client.get_workflow_handle(await line_of(house, endpoint, delivery))
    history = await handle.fetch_history()
    return any(event.HasField("timer_started_event_attributes") for event in history.events)


async def test_line_of_an_endpoint_that_is_enabled_again_goes_on_with_new_events(
    house: ProductFixture, receiver: Receiver
) -> None:
    endpoint = await ordered_endpoint(house, receiver)
    receiver.decide = lambda payload, attempt: 410
    first = await emit(house, "a", 0)

    async def disabled() -> bool:
        return not (await show_endpoint(house.hermod, endpoint)).enabled

    await eventually(disabled)
    assert await status_of(house, first) == "failed"
    receiver.decide = lambda payload, attempt: 204
    await enable_endpoint(house.hermod, endpoint)
    assert await all_ended(house, [await emit(house, "a", 1)]) == ["delivered"]
