"""Lines and replays whose workflows were never started, or are gone: the sweeper finds them."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from hermod.contracts.ids import replay_workflow
from hermod.contracts.webhooks.deliveries import ReplayInput, ReplayStatus
from starter.webhooks.endpoints import change_endpoint, enable_endpoint
from starter.webhooks.replays import move_replay, replay, replay_status
from tests.support.polling import eventually
from tests.support.product import ProductFixture
from tests.support.webhooks.lines import all_ended, emit, numbers, ordered_endpoint
from tests.support.webhooks.receiver import Receiver, receiving

_sweeps = itertools.count(1)
_AGED = tuple(
    text(f"UPDATE {table} SET updated_at = updated_at - interval '1 hour' WHERE tenant_id = :tenant")
    for table in ("webhook_deliveries", "webhook_replays")
)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as running:
        yield running


async def sweep(house: ProductFixture) -> None:
    """An hour later."""
    for statement in _AGED:
        await house.hermod.core.storage.database.execute(statement, {"tenant": house.hermod.tenant})
    own = f"sweep-{house.hermod.tenant}-{next(_sweeps)}"
    await house.client.execute_workflow("SweepStranded", id=own, task_queue="hermod")


async def test_staged_ordered_event_has_no_workflow_until_the_sweeper_wakes_its_line(
    house: ProductFixture, receiver: Receiver
) -> None:
    await ordered_endpoint(house, receiver)
    deliveries = []
    for number in range(3):
        async with house.hermod.core.storage.database.begin() as connection:
            payload = {"key": "a", "number": number}
            receipt = await house.hermod.stage_event(connection, "order.changed", payload, ordering_key="a")
        deliveries.append(receipt.deliveries[0].id)
    await sweep(house)
    assert set(await all_ended(house, deliveries)) == {"delivered"}
    assert numbers(receiver, "a") == [0, 1, 2]


async def test_line_whose_workflow_was_terminated_goes_on(house: ProductFixture, receiver: Receiver) -> None:
    await ordered_endpoint(house, receiver, retry=[3600])
    receiver.decide = lambda payload, attempt: 500 if attempt == 1 else 204
    delivery = await emit(house, "a", 0)
    await eventually(lambda: len(receiver.calls) == 1)
    statement = text("SELECT workflow_id, status FROM webhook_deliveries WHERE id = :id")

    async def waits() -> str | None:
        row = (await house.hermod.core.storage.database.rows(statement, {"id": delivery}))[0]
        return row.workflow_id if row.status == "retrying" else None

    await house.client.get_workflow_handle(await eventually(waits)).terminate()
    due = text("UPDATE webhook_deliveries SET next_attempt_at = now() - interval '1 hour' WHERE id = :id")
    await house.hermod.core.storage.database.execute(due, {"id": delivery})
    await sweep(house)
    assert await all_ended(house, [delivery]) == ["delivered"]


async def test_replay_whose_workflow_was_terminated_goes_on(house: ProductFixture, receiver: Receiver) -> None:
    endpoint = await ordered_endpoint(house, receiver, ordering="none")
    await change_endpoint(house.hermod, endpoint, {"enabled": False})
    deliveries = [await emit(house, None, number) for number in range(2)]
    await enable_endpoint(house.hermod, endpoint)
    asked = ReplayInput(since=datetime.now(UTC) - timedelta(hours=1), per_second=0.001)
    own = (await replay(house.hermod, endpoint, asked)).id
    assert own is not None

    async def begun() -> int:
        return (await replay_status(house.hermod, own)).begun

    await eventually(begun)
    await house.client.get_workflow_handle(replay_workflow(house.hermod.tenant, own)).terminate()
    await sweep(house)

    async def both_begun() -> bool:
        return await begun() == 2

    await eventually(both_begun)
    assert await all_ended(house, deliveries) == ["delivered"] * 2
    await move_replay(house.hermod, own, ReplayStatus.CANCELLED)
