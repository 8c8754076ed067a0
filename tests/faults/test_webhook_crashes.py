"""Faults of webhook senders: a process, a worker or the database is gone at the wrong moment.

One product for all of these tests: a worker that is killed is followed by another, which the next test finds.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import text

from devstack.servers.ports import LOOPBACK, free_port
from hermod.contracts.ids import webhook_endpoint_workflow
from hermod.contracts.webhooks.deliveries import ReplayInput
from starter import Hermod
from starter.temporal import schedules
from starter.webhooks.endpoints import change_endpoint, enable_endpoint
from starter.webhooks.replays import replay, replay_status
from tests.faults.conftest import Scene
from tests.faults.webhooks import Ground
from tests.support.polling import eventually
from tests.support.product import ProductFixture
from tests.support.webhooks.lines import all_ended, emit, numbers, ordered_endpoint, tried
from tests.support.webhooks.receiver import receiving

KEYS: Final = ("a", "b", "c")
_OPEN: Final = text("""
    SELECT DISTINCT workflow_id FROM webhook_deliveries WHERE tenant_id = :tenant AND finished_at IS NULL
""")
_AGE: Final = text("""
    UPDATE webhook_deliveries SET updated_at = updated_at - interval '10 s' WHERE tenant_id = :tenant
""")
_PAUSE: Final = text("""
    UPDATE webhook_endpoints SET paused_until = now() + interval '1 hour', pause_reason = 'asked'
     WHERE tenant_id = :tenant
""")


async def open_workflows(scene: Scene) -> list[str]:
    """Those of deliveries that have not come to their end."""
    hermod = scene.house.hermod
    return [row.workflow_id for row in await hermod.core.storage.database.rows(_OPEN, {"tenant": hermod.tenant})]


async def test_process_gone_between_commit_and_start_the_sweeper_starts_the_delivery(
    ground: Ground, house: ProductFixture
) -> None:
    await ground.endpoint()
    settings = ground.hermod.core.settings.model_copy(update={"temporal_address": f"{LOOPBACK}:{free_port()}"})
    async with await Hermod.connect(settings=settings, tenant=ground.hermod.tenant) as doomed:
        receipt = await doomed.emit("order.paid", {"id": 7})
    ground.owed += len(receipt.deliveries)
    assert ground.receiver.requests == []
    # The sweeper takes what is five seconds old, every fifteen.
    await ground.hermod.core.storage.database.execute(_AGE, {"tenant": ground.hermod.tenant})
    await schedules.change(house.client, "sweep-stranded", "run")
    await ground.all_are("delivered", within=60)
    await ground.tell(
        1,
        "A message was committed and its process died before it was queued",
        "Event and deliveries are one commit; the sweeper starts what has no workflow",
    )


async def test_worker_killed_in_its_third_attempt_another_goes_on(killable: Ground, lasting: Scene) -> None:
    ground = killable
    worker = await lasting.worker()
    await ground.endpoint(timeout_seconds=30)
    ground.receiver.behave("500", "500", "hung")
    await ground.emit()

    def third_is_under_way() -> bool:
        return len(ground.receiver.requests) == 3

    await eventually(third_is_under_way, within=30)
    await lasting.kill(worker, *await open_workflows(lasting))
    ground.receiver.behave("ok")
    await lasting.cluster.start_worker()
    await ground.all_are("delivered", within=60)
    outcomes = [attempt.outcome for attempt in await ground.attempts()]
    assert outcomes == ["http_error", "http_error", "worker_lost", "success"]
    await ground.tell(
        7,
        "A worker died during a retry and the delivery with it",
        "The next worker goes on; the log says which request was in doubt",
        "500, 500, and a request whose worker was killed",
    )


async def test_database_away_when_the_answer_comes_the_delivery_goes_on(killable: Ground, lasting: Scene) -> None:
    ground = killable
    await lasting.worker()
    await ground.endpoint(timeout_seconds=3)
    ground.receiver.behave("hung")
    await ground.emit()

    def under_way() -> bool:
        return ground.receiver.under_way == 1

    await eventually(under_way, within=30)
    await lasting.cluster.postgres.stop()
    ground.receiver.behave("ok")

    def over() -> bool:
        return ground.receiver.under_way == 0

    await eventually(over)
    await lasting.cluster.postgres.start()
    await ground.all_are("delivered", within=60)
    assert [attempt.outcome for attempt in await ground.attempts()] == ["timeout", "success"]
    await ground.tell(
        14,
        "No retry while the store of the log was away",
        "The outcome is kept until the database is back, then recorded; the delivery goes on",
        "no answer came within the time-out",
    )


async def test_worker_killed_in_the_middle_of_lines_each_key_stays_in_order(lasting: Scene) -> None:
    async with receiving() as receiver:
        await lasting.no_worker_any_more()
        await ordered_endpoint(lasting.house, receiver, timeout_seconds=30)
        deliveries = [await emit(lasting.house, key, number) for number in range(20) for key in KEYS]
        at_once = receiver.decide

        def hold_at_the_sixth(payload: dict[str, Any], _attempt: int) -> int:
            if payload["number"] == 5:
                receiver.hold()
            return 204

        receiver.decide = hold_at_the_sixth
        worker = await lasting.worker()
        await eventually(lambda: receiver.under_way >= len(KEYS), within=60)
        await lasting.kill(worker, *await open_workflows(lasting))
        receiver.decide = at_once
        receiver.go_on()
        assert len(receiver.accepted()) < len(deliveries)
        await lasting.cluster.start_worker()
        assert set(await all_ended(lasting.house, deliveries, within=60)) == {"delivered"}
        for key in KEYS:
            assert tried(receiver, key) == sorted(tried(receiver, key))
            assert sorted(set(numbers(receiver, key))) == list(range(20))
            assert len(numbers(receiver, key)) == 21, "what was under way when the worker died comes again"


async def test_worker_killed_in_the_middle_of_a_replay_begins_each_delivery_once(lasting: Scene) -> None:
    async with receiving() as receiver:
        worker = await lasting.worker()
        endpoint = await ordered_endpoint(lasting.house, receiver, ordering="none")
        await change_endpoint(lasting.house.hermod, endpoint, {"enabled": False})
        deliveries = [await emit(lasting.house, None, number) for number in range(40)]
        assert set(await all_ended(lasting.house, deliveries)) == {"parked"}
        await enable_endpoint(lasting.house.hermod, endpoint)
        asked = ReplayInput(since=datetime.now(UTC) - timedelta(hours=1), per_second=20)
        own = (await replay(lasting.house.hermod, endpoint, asked)).id
        assert own is not None
        await eventually(lambda: len(receiver.calls) > 5, within=30)
        receiver.hold()
        await eventually(lambda: receiver.under_way > 5)
        await lasting.kill(worker, *await open_workflows(lasting))
        receiver.go_on()
        await lasting.cluster.start_worker()

        async def all_delivered() -> bool:
            # Those that the replay has not come to yet are parked still.
            return set(await all_ended(lasting.house, deliveries)) == {"delivered"}

        await eventually(all_delivered, within=90)
        view = await replay_status(lasting.house.hermod, own)
        assert (view.matching, view.begun) == (40, 40)
        repeated = len(receiver.calls) - len({call.delivery for call in receiver.calls})
        assert repeated <= 10, "only what was under way when the worker died"


async def test_worker_killed_while_the_waiter_of_an_endpoint_delivers_another_goes_on(
    killable: Ground, lasting: Scene
) -> None:
    ground = killable
    worker = await lasting.worker()
    endpoint = await ground.endpoint(timeout_seconds=30, max_concurrency=5)
    await ground.hermod.core.storage.database.execute(_PAUSE, {"tenant": ground.hermod.tenant})
    await ground.emit(20)
    waiter = webhook_endpoint_workflow(ground.hermod.tenant, endpoint.id)

    async def all_wait_together() -> bool:
        return await open_workflows(lasting) == [waiter]

    await eventually(all_wait_together, within=60)
    ground.receiver.behave("ok", "ok", "hung")
    await enable_endpoint(ground.hermod, endpoint.id)
    await eventually(lambda: ground.receiver.under_way > 0, within=30)
    await lasting.kill(worker, waiter)
    ground.receiver.behave("ok")
    await lasting.cluster.start_worker()
    await ground.all_are("delivered", within=60)
    attempts = await ground.attempts()
    outcomes = Counter(attempt.outcome for attempt in attempts)
    assert outcomes["success"] == 20
    assert set(outcomes) <= {"success", "worker_lost"}
    assert len(ground.receiver.requests) <= len(attempts), "each was in the log before it left"
