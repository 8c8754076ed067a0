"""Faults of webhook senders: a process, a worker or the database is gone at the wrong moment."""

from __future__ import annotations

from devstack.ports import LOOPBACK, free_port
from starter import Hermod
from tests.faults.conftest import Scene
from tests.faults.webhooks import Ground
from tests.support.polling import eventually


async def test_process_gone_between_commit_and_start_the_sweeper_starts_the_delivery(ground: Ground) -> None:
    await ground.endpoint()
    settings = ground.hermod.core.settings.model_copy(update={"temporal_address": f"{LOOPBACK}:{free_port()}"})
    async with await Hermod.connect(settings=settings, tenant=ground.hermod.tenant) as doomed:
        receipt = await doomed.emit("order.paid", {"id": 7})
    ground.owed += len(receipt.deliveries)
    assert ground.receiver.requests == []
    await ground.all_are("delivered", within=60)
    await ground.tell(
        1,
        "A message was committed and its process died before it was queued",
        "Event and deliveries are one commit; the sweeper starts what has no workflow",
    )


async def test_worker_killed_in_its_third_attempt_another_goes_on(killable: Ground, scene: Scene) -> None:
    ground = killable
    worker = await scene.cluster.start_worker()
    await ground.endpoint(timeout_seconds=30)
    ground.receiver.behave("500", "500", "hung")
    await ground.emit()

    def third_is_under_way() -> bool:
        return len(ground.receiver.requests) == 3

    await eventually(third_is_under_way, within=30)
    worker.kill()
    await worker.until_exit()
    ground.receiver.behave("ok")
    await scene.cluster.start_worker()
    await ground.all_are("delivered", within=60)
    outcomes = [attempt.outcome for attempt in await ground.attempts()]
    assert outcomes == ["http_error", "http_error", "worker_lost", "success"]
    await ground.tell(
        7,
        "A worker died during a retry and the delivery with it",
        "The next worker goes on; the log says which request was in doubt",
        "500, 500, and a request whose worker was killed",
    )


async def test_database_away_when_the_answer_comes_the_delivery_goes_on(killable: Ground, scene: Scene) -> None:
    ground = killable
    await scene.cluster.start_worker()
    await ground.endpoint(timeout_seconds=3)
    ground.receiver.behave("hung")
    await ground.emit()

    def under_way() -> bool:
        return ground.receiver.under_way == 1

    await eventually(under_way, within=30)
    await scene.cluster.postgres.stop()
    ground.receiver.behave("ok")

    def over() -> bool:
        return ground.receiver.under_way == 0

    await eventually(over)
    await scene.cluster.postgres.start()
    await ground.all_are("delivered", within=60)
    assert [attempt.outcome for attempt in await ground.attempts()] == ["timeout", "success"]
    await ground.tell(
        14,
        "No retry while the store of the log was away",
        "The outcome is kept until the database is back, then recorded; the delivery goes on",
        "no answer came within the time-out",
    )
