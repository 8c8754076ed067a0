"""Replays with time skipped, and their signals in real time: every delivery once, at the rate, stopped and gone on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from hermod.contracts.errors import Conflict
from hermod.contracts.ids import replay_workflow
from hermod.contracts.webhooks.deliveries import ReplayInput, ReplayStatus, ReplayView
from hermod.contracts.webhooks.steps import ReplayStep
from starter.webhooks.endpoints import change_endpoint, enable_endpoint
from starter.webhooks.replays import move_replay, replay, replay_status
from tests.support.polling import eventually
from tests.support.product import ProductFixture
from tests.support.webhooks.lines import all_ended, emit, numbers, ordered_endpoint, status_of
from tests.support.webhooks.receiver import Receiver


def asked(**changes: Any) -> ReplayInput:
    return ReplayInput(**{"since": datetime.now(UTC) - timedelta(hours=1), "per_second": 100, **changes})


async def failed(house: ProductFixture, receiver: Receiver, count: int, **settings: Any) -> tuple[str, list[str]]:
    """An endpoint, and so many dead letters of it. The receiver takes everything from now on."""
    endpoint = await ordered_endpoint(house, receiver, **{"ordering": "none", "retry": [0.1], **settings})
    receiver.decide = lambda payload, attempt: 400
    deliveries = [await emit(house, None, number) for number in range(count)]
    assert set(await all_ended(house, deliveries)) == {"failed"}
    receiver.decide = lambda payload, attempt: 204
    receiver.calls.clear()
    return endpoint, deliveries


async def reached(
    house: ProductFixture, view: ReplayView, status: ReplayStatus, *, begun: int | None = None
) -> ReplayView:
    assert view.id is not None
    own = view.id

    async def there() -> ReplayView:
        found = await replay_status(house.hermod, own)
        assert found.status is status, found
        assert begun is None or found.begun == begun, found
        return found

    return await eventually(there, within=20)


async def test_replay_sends_every_dead_letter_again_under_its_own_id(
    skipping: ProductFixture, receiver: Receiver
) -> None:
    endpoint, deliveries = await failed(skipping, receiver, 5)
    assert (await replay(skipping.hermod, endpoint, asked(dry_run=True))).matching == 5
    view = await replay(skipping.hermod, endpoint, asked(per_second=2))
    done = await reached(skipping, view, ReplayStatus.DONE)
    assert (done.matching, done.begun) == (5, 5)
    assert set(await all_ended(skipping, deliveries)) == {"delivered"}
    assert sorted(call.delivery for call in receiver.calls) == sorted(deliveries)
    assert (await replay(skipping.hermod, endpoint, asked(dry_run=True))).matching == 0


async def test_repeated_replay_sends_nothing_twice_unless_delivered_is_asked_for(
    skipping: ProductFixture, receiver: Receiver
) -> None:
    endpoint, deliveries = await failed(skipping, receiver, 3)
    for _ in range(3):
        await reached(skipping, await replay(skipping.hermod, endpoint, asked()), ReplayStatus.DONE)
    await all_ended(skipping, deliveries)
    assert len(receiver.calls) == 3
    again = await replay(skipping.hermod, endpoint, asked(status=["delivered"]))
    await reached(skipping, again, ReplayStatus.DONE, begun=3)
    await eventually(lambda: len(receiver.calls) == 6)
    assert set(await all_ended(skipping, deliveries)) == {"delivered"}


async def test_replay_covers_the_time_in_which_the_endpoint_was_disabled(
    skipping: ProductFixture, receiver: Receiver
) -> None:
    endpoint = await ordered_endpoint(skipping, receiver, ordering="none")
    await change_endpoint(skipping.hermod, endpoint, {"enabled": False})
    deliveries = [await emit(skipping, None, number) for number in range(3)]
    assert await all_ended(skipping, deliveries) == ["parked"] * 3
    with pytest.raises(Conflict, match="disabled"):
        await replay(skipping.hermod, endpoint, asked())
    await enable_endpoint(skipping.hermod, endpoint)
    await reached(skipping, await replay(skipping.hermod, endpoint, asked()), ReplayStatus.DONE, begun=3)
    assert await all_ended(skipping, deliveries) == ["delivered"] * 3


async def test_replayed_line_keeps_its_order(skipping: ProductFixture, receiver: Receiver) -> None:
    endpoint = await ordered_endpoint(skipping, receiver)
    receiver.decide = lambda payload, attempt: 400
    deliveries = [await emit(skipping, "a", number) for number in range(5)]
    assert set(await all_ended(skipping, deliveries)) == {"failed"}
    receiver.decide = lambda payload, attempt: 204
    await reached(skipping, await replay(skipping.hermod, endpoint, asked()), ReplayStatus.DONE, begun=5)
    assert set(await all_ended(skipping, deliveries)) == {"delivered"}
    assert numbers(receiver, "a") == [0, 1, 2, 3, 4]


async def test_replay_is_paused_and_resumed_and_cancelled(house: ProductFixture, receiver: Receiver) -> None:
    endpoint, deliveries = await failed(house, receiver, 4)
    view = await replay(house.hermod, endpoint, asked(per_second=0.001))
    assert view.id is not None
    await reached(house, view, ReplayStatus.RUNNING, begun=1)
    await move_replay(house.hermod, view.id, ReplayStatus.PAUSED)
    handle = house.client.get_workflow_handle(replay_workflow(house.hermod.tenant, view.id))

    async def progress(status: ReplayStatus, begun: int) -> bool:
        step = await handle.query("progress", result_type=ReplayStep)
        return step is not None and (step.status, step.begun, step.matching) == (status, begun, 4)

    await eventually(lambda: progress(ReplayStatus.PAUSED, 1))
    await move_replay(house.hermod, view.id, ReplayStatus.RUNNING)
    await eventually(lambda: progress(ReplayStatus.RUNNING, 2))
    await move_replay(house.hermod, view.id, ReplayStatus.CANCELLED)
    assert await handle.result() == {"status": "cancelled", "begun": 2}
    with pytest.raises(Conflict, match="cancelled"):
        await move_replay(house.hermod, view.id, ReplayStatus.RUNNING)
    assert [await status_of(house, one) for one in sorted(deliveries)[2:]] == ["failed", "failed"]


async def test_signals_and_cancellation_in_temporal_are_taken_into_the_table(
    house: ProductFixture, receiver: Receiver
) -> None:
    endpoint, _ = await failed(house, receiver, 3)
    view = await replay(house.hermod, endpoint, asked(per_second=0.001))
    assert view.id is not None
    handle = house.client.get_workflow_handle(replay_workflow(house.hermod.tenant, view.id))
    await reached(house, view, ReplayStatus.RUNNING, begun=1)
    await handle.signal("pause")
    await reached(house, view, ReplayStatus.PAUSED, begun=1)
    await handle.signal("resume")
    await reached(house, view, ReplayStatus.RUNNING, begun=2)
    await handle.cancel()
    await reached(house, view, ReplayStatus.CANCELLED, begun=2)


async def test_replay_of_an_endpoint_that_is_disabled_meanwhile_pauses(
    house: ProductFixture, receiver: Receiver
) -> None:
    endpoint, _ = await failed(house, receiver, 2)
    view = await replay(house.hermod, endpoint, asked(per_second=0.001))
    assert view.id is not None
    await reached(house, view, ReplayStatus.RUNNING, begun=1)
    await change_endpoint(house.hermod, endpoint, {"enabled": False})
    await house.client.get_workflow_handle(replay_workflow(house.hermod.tenant, view.id)).signal("resume")
    await reached(house, view, ReplayStatus.PAUSED, begun=1)
