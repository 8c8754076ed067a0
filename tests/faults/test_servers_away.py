"""The database and Temporal go away and come back: what was accepted is sent, what was sent is recorded."""

from __future__ import annotations

import pytest

from hermod.contracts.errors import Unavailable
from hermod.contracts.notifications.content import Email
from hermod.contracts.notifications.messages import Outcome, Status
from tests.faults.conftest import Scene
from tests.support.polling import eventually

LETTER = Email(to="ada@example.com", subject="Hello", text="Hello")


async def test_database_lost_after_the_request_left_the_outcome_is_recorded_when_it_is_back(scene: Scene) -> None:
    await scene.add_sandbox_account(provider="sendgrid")
    await scene.fault("sendgrid", fault="slow", delay=1.5, times=1)
    await scene.cluster.start_worker()
    receipt = await scene.house.hermod.send(LETTER)
    await scene.house.reached(receipt.id, Status.SENDING)
    await scene.cluster.postgres.stop()

    async def accepted_by_the_provider() -> bool:
        return bool(await scene.received("sendgrid"))

    await eventually(accepted_by_the_provider)
    with pytest.raises(Unavailable):
        await scene.house.hermod.send(LETTER)

    async def outcome_is_carried() -> bool:
        description = await scene.temporal.get_workflow_handle(receipt.workflow_id).describe()
        failures = [one.last_failure.message for one in description.raw_description.pending_activities]
        return "outcomes wait to be recorded" in "".join(failures)

    await eventually(outcome_is_carried, within=30)
    await scene.cluster.postgres.start()
    view = await scene.house.reached(receipt.id, Status.SENT, within=45)
    assert [attempt.outcome for attempt in view.attempts] == [Outcome.ACCEPTED]
    assert set((await scene.received("sendgrid")).values()) == {1}
    assert await scene.counted() == {"sent": 1}


async def test_temporal_away_at_accept_the_message_is_taken_and_started_later(scene: Scene) -> None:
    await scene.add_sandbox_account()
    await scene.cluster.start_worker()
    await scene.cluster.temporal.stop(within=0)
    receipt = await scene.house.hermod.send(LETTER)
    assert receipt.status is Status.PENDING
    await scene.house.hermod.core.coalescer.drain()
    assert (await scene.house.hermod.status(receipt.id)).status is Status.PENDING
    await scene.cluster.temporal.start()
    view = await scene.house.reached(receipt.id, Status.SENT, within=60)
    assert len(view.attempts) == 1


async def test_sigterm_lets_a_request_under_way_end_and_exits_with_zero(scene: Scene) -> None:
    await scene.add_sandbox_account(provider="sendgrid")
    await scene.fault("sendgrid", fault="slow", delay=3, times=1)
    worker = await scene.cluster.start_worker()
    receipt = await scene.house.hermod.send(LETTER)
    await scene.house.reached(receipt.id, Status.SENDING)
    await worker.stop(within=15)
    assert worker.exit_code == 0
    view = await scene.house.hermod.status(receipt.id)
    assert view.status is Status.SENT
    assert [attempt.outcome for attempt in view.attempts] == [Outcome.ACCEPTED]


async def test_rolling_restart_in_a_stream_of_messages_sends_each_once(scene: Scene) -> None:
    await scene.add_sandbox_account()
    first = await scene.cluster.start_worker()
    letters = [Email(to=f"user{number}@example.com", subject="s", text="t") for number in range(1_500)]
    await scene.house.hermod.send_many(letters)
    await scene.cluster.start_worker()
    await first.stop(within=15)
    assert first.exit_code == 0

    async def all_sent() -> bool:
        counted = await scene.counted()
        assert counted == {"sent": 1_500}, counted
        return True

    await eventually(all_sent, within=60, every=0.2)
    assert set((await scene.received("sandbox")).values()) == {1}
