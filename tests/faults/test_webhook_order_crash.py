"""SIGKILL to a worker in the middle of a line, and of a replay: order and counts hold."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hermod.contracts.webhooks import ReplayInput
from starter.webhook_endpoints import change_endpoint, enable_endpoint
from starter.webhook_replays import replay, replay_status
from tests.faults.conftest import Scene
from tests.support.polling import eventually
from tests.support.receiver import receiving
from tests.support.webhook_lines import all_ended, emit, numbers, ordered_endpoint, tried

KEYS = ("a", "b", "c")


async def test_worker_killed_in_the_middle_of_lines_each_key_stays_in_order(scene: Scene) -> None:
    async with receiving() as receiver:
        worker = await scene.cluster.start_worker()
        await ordered_endpoint(scene.house, receiver)
        deliveries = [await emit(scene.house, key, number) for number in range(20) for key in KEYS]
        await eventually(lambda: len(receiver.calls) > 15, within=30)
        worker.kill()
        await worker.until_exit()
        assert len(receiver.accepted()) < len(deliveries)
        await scene.cluster.start_worker()
        assert set(await all_ended(scene.house, deliveries, within=60)) == {"delivered"}
        for key in KEYS:
            assert tried(receiver, key) == sorted(tried(receiver, key))
            assert sorted(set(numbers(receiver, key))) == list(range(20))
            assert len(numbers(receiver, key)) <= 21, "what was under way when the worker died may come again"


async def test_worker_killed_in_the_middle_of_a_replay_begins_each_delivery_once(scene: Scene) -> None:
    async with receiving() as receiver:
        worker = await scene.cluster.start_worker()
        endpoint = await ordered_endpoint(scene.house, receiver, ordering="none")
        await change_endpoint(scene.house.hermod, endpoint, {"enabled": False})
        deliveries = [await emit(scene.house, None, number) for number in range(40)]
        assert set(await all_ended(scene.house, deliveries)) == {"parked"}
        await enable_endpoint(scene.house.hermod, endpoint)
        asked = ReplayInput(since=datetime.now(UTC) - timedelta(hours=1), per_second=10)
        own = (await replay(scene.house.hermod, endpoint, asked)).id
        assert own is not None
        await eventually(lambda: len(receiver.calls) > 5, within=30)
        worker.kill()
        await worker.until_exit()
        await scene.cluster.start_worker()
        assert set(await all_ended(scene.house, deliveries, within=90)) == {"delivered"}
        view = await replay_status(scene.house.hermod, own)
        assert (view.matching, view.begun) == (40, 40)
        repeated = len(receiver.calls) - len({call.delivery for call in receiver.calls})
        assert repeated <= 10, "only what was under way when the worker died"
