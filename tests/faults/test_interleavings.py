"""Workers, servers and connections that die, freeze or come back in the middle of messages: each is sent once, what is
known of it is on record, and only what nobody can know is called unknown.

One product for all of these tests, with a tenant for each. The provider is one that does not recognise a repeat, unless
the test says otherwise: what it got twice, somebody got twice.
"""

from __future__ import annotations

import time
from typing import Final

import pytest
from sqlalchemy import text
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.exceptions import ApplicationError

from hermod.contracts.ids import message_workflow
from hermod.contracts.notifications.content import Channel
from hermod.contracts.notifications.delivery import SendNotificationInput
from hermod.contracts.notifications.messages import Guarantee
from hermod.contracts.queues import WORKFLOWS
from starter.temporal.starts import WorkflowBatch
from tests.faults.conftest import Record, Scene
from tests.faults.messages import SLOW, Batch, CutOff, send
from tests.support.polling import eventually
from tests.support.resetting import reset

ENDED: Final = text("""
    SELECT m.finished_at, a.ends_by FROM messages m
      JOIN attempts a ON a.tenant_id = m.tenant_id AND a.message_id = m.id
     WHERE m.tenant_id = :tenant AND m.status = 'unknown'
""")
ONCE = Guarantee.AT_MOST_ONCE
ACCEPTED = ("accepted",)
WAVE: Final = 20
"""Requests that a batch makes at once to begin with."""


async def test_temporal_is_killed_in_mid_batch_nobody_gets_anything_twice(slow: Scene, apart: CutOff) -> None:
    """The server dies while a worker waits for answers, and gives the batches out again, to the same worker, as soon as
    that reaches it again. Requests of the first time are still under way then. They are left to it.
    """
    await slow.fault(SLOW, fault="slow", delay=6)
    batches = [await send(slow, 72), await send(slow, 72, guarantee=ONCE)]
    for batch in batches:
        await batch.arrived(20)
    apart.temporal.shut()
    await slow.cluster.temporal.stop(within=0)
    await slow.cluster.temporal.start()
    for batch in batches:
        await batch.is_given_out_again()
    await apart.temporal.accept()
    for batch in batches:
        await batch.ends_as({"sent": 72})
        assert await batch.repeated() == []
        await batch.was_accepted_once()


async def test_workflow_is_reset_in_mid_batch_nobody_gets_anything_twice(lasting: Scene) -> None:
    """An operator resets a batch that an account's rate holds back, while requests of the first run are under way. The
    second run puts the messages down as held back, which must not hide that they are being sent.
    """
    await lasting.add_sandbox_account(provider=SLOW, rate=2)
    await lasting.worker()
    await lasting.fault(SLOW, fault="slow", delay=3)
    batch = await send(lasting, 14, guarantee=ONCE)
    await batch.arrived(4)
    await reset(lasting.temporal, batch.workflow_id, to_last=False)
    await batch.ends_as({"sent": 14})
    assert await batch.repeated() == []
    assert await batch.outcomes() == {ACCEPTED: 14}


async def test_live_run_is_replaced_in_mid_request_the_request_is_left_to_its_worker(slow: Scene) -> None:
    """Beginning a message again, as a retry does, leaves a run alone that is at work. Where another one takes its place
    all the same, as by hand in Temporal, that one waits for the answer to the request that is under way.
    """
    await slow.worker()
    await slow.fault(SLOW, fault="slow", delay=14)
    batch = await send(slow, guarantee=ONCE)
    await batch.arrived(1)
    unit = WorkflowBatch(
        workflow_id=batch.workflow_id,
        tenant=slow.house.hermod.tenant,
        channel=Channel.EMAIL,
        messages=tuple(batch.ids),
        priority=5,
        due_at=None,
        request_id=None,
    )
    dispatcher, handle = slow.house.hermod.core.dispatcher, slow.temporal.get_workflow_handle(batch.workflow_id)
    first = (await handle.describe()).run_id
    assert await dispatcher.begin_again(unit)
    assert (await handle.describe()).run_id == first
    assert await dispatcher.start(unit, conflict=WorkflowIDConflictPolicy.TERMINATE_EXISTING)
    assert (await handle.describe()).run_id != first
    await batch.ends_as({"sent": 1})
    assert await batch.outcomes() == {ACCEPTED: 1}
    assert await batch.repeated() == []


async def test_message_is_taken_over_in_mid_request_it_stays_with_who_sends_it(slow: Scene) -> None:
    """The workflow that goes on with a message after its batch begins while the batch has a request for it under way:
    what is being sent is not taken over, and there is no second request.
    """
    await slow.worker()
    await slow.fault(SLOW, fault="slow", delay=14)
    batch, tenant = await send(slow, 2, guarantee=ONCE), slow.house.hermod.tenant
    await batch.arrived(2)
    alone = SendNotificationInput(
        tenant=tenant, message=batch.ids[0], channel=Channel.EMAIL, due_at=None, taken_from=batch.workflow_id
    )
    own = await slow.temporal.start_workflow(
        "SendNotification", alone, id=message_workflow(tenant, batch.ids[0]), task_queue=WORKFLOWS
    )
    await own.result()
    assert (await slow.house.hermod.status(batch.ids[0])).workflow_id == batch.workflow_id
    await batch.ends_as({"sent": 2})
    assert await batch.outcomes() == {ACCEPTED: 2}
    assert await batch.repeated() == []


async def test_account_means_another_one_in_the_meantime_a_message_in_doubt_is_not_sent_there(lasting: Scene) -> None:
    """A worker dies with an at_most_once request at a provider that would recognise the repeat. By then the name of the
    account stands for other credentials, whose provider would recognise nothing: the message ends as unknown.
    """
    await lasting.add_sandbox_account()
    await lasting.no_worker()
    worker = await lasting.worker()
    await lasting.fault("sandbox", fault="slow", delay=20)
    batch = await send(lasting, guarantee=ONCE)
    await batch.arrived(1, "sandbox")
    await lasting.house.add_account(
        "main", credentials={"api_key": "another"}, base_url=f"{lasting.cluster.sandbox.url}/sandbox"
    )
    await lasting.kill(worker, batch.workflow_id)
    await lasting.no_faults()
    await lasting.worker()
    await batch.ends_as({"unknown": 1})
    assert await batch.outcomes() == {("unknown",): 1}
    assert await batch.repeated("sandbox") == []


async def test_worker_is_killed_then_its_batch_is_cancelled_every_message_ends_and_says_how(slow: Scene) -> None:
    """Cancelled in Temporal within the ten seconds in which nobody knows that its worker is gone, the batch is not
    given out again. What had not begun is cancelled; what had is unknown, and so is its request. There is a worker of
    another lane, which runs the workflow.
    """
    await slow.no_worker()
    await slow.cluster.start_worker("--lanes", "sms")
    worker = await slow.cluster.start_worker("--lanes", "email")
    await slow.fault(SLOW, fault="slow", delay=25)
    batch = await send(slow, 40)
    await batch.arrived(20)
    worker.kill()
    await worker.until_exit()
    await slow.temporal.get_workflow_handle(batch.workflow_id).cancel()
    await batch.ends_as({"cancelled": 20, "unknown": 20})
    assert await batch.outcomes() == {(): 20, ("unknown",): 20}
    assert await batch.closed() is WorkflowExecutionStatus.CANCELED
    await slow.no_worker()


async def test_batch_is_cancelled_while_its_messages_leave_it_all_of_them_are(slow: Scene) -> None:
    """Messages that have to wait long leave their batch, each for a workflow of its own, and belong to it at once. The
    batch is cancelled while it starts these: its cancellation covers those that have left. They are one wave: what came
    after it would wait for the account, in the batch, until the provider is back.
    """
    await slow.worker()
    await slow.fault(SLOW, fault="error_503")
    batch, tenant = await send(slow, WAVE, retry=(600,)), slow.house.hermod.tenant
    first = slow.temporal.get_workflow_handle(message_workflow(tenant, batch.ids[0]))

    async def first_has_left() -> bool:
        view = await slow.house.hermod.status(batch.ids[0])
        return view.workflow_id == first.id

    await eventually(first_has_left)
    await slow.temporal.get_workflow_handle(batch.workflow_id).cancel()
    await batch.closed()
    await batch.ends_as({"cancelled": WAVE})


async def test_records_are_gone_when_their_workflow_begins_it_fails_and_says_so(slow: Scene) -> None:
    """The database has lost what it had taken, as a standby does that was behind and takes over. The workflow, which
    knows the messages, does not end as if there had been nothing to do.
    """
    await slow.no_worker_any_more()
    batch, hermod = await send(slow, 3), slow.house.hermod
    await hermod.core.coalescer.drain()
    for table in ("message_contents", "messages"):
        gone = text(f"DELETE FROM {table} WHERE tenant_id = :tenant")
        await hermod.core.storage.database.execute(gone, {"tenant": hermod.tenant})
    await slow.worker()
    assert await batch.closed() is WorkflowExecutionStatus.FAILED
    with pytest.raises(WorkflowFailureError) as failed:
        await slow.temporal.get_workflow_handle(batch.workflow_id).result()
    assert isinstance(failed.value.cause, ApplicationError)
    assert failed.value.cause.type == "RecordsMissing"
    assert await slow.requests(SLOW, batch.ids) == {}


async def test_worker_is_told_to_stop_a_slow_request_comes_to_its_end(slow: Scene) -> None:
    """SIGTERM while a provider takes longer than a deploy likes to wait: the worker waits all the same, and exits when
    the answer is recorded.
    """
    await slow.no_worker()
    worker = await slow.worker()
    await slow.fault(SLOW, fault="slow", delay=12)
    batches = [await send(slow), await send(slow, guarantee=ONCE)]
    for batch in batches:
        await batch.arrived(1)
    await worker.stop(within=60)
    assert worker.exit_code == 0
    for batch in batches:
        assert await batch.outcomes() == {ACCEPTED: 1}
        assert await batch.repeated() == []
        assert await batch.counted() == {"sent": 1}


async def test_worker_is_told_to_stop_in_mid_batch_what_has_not_begun_costs_nothing(slow: Scene) -> None:
    """SIGTERM between the waves of a batch: requests under way end, those that were granted and not begun are given
    back without having spent a round, and the next worker sends them.
    """
    await slow.no_worker()
    worker = await slow.worker()
    await slow.fault(SLOW, fault="slow", delay=5)
    batch = await send(slow, 200, guarantee=ONCE)
    await batch.arrived(21)
    await worker.stop(within=60)
    assert worker.exit_code == 0
    begun = len(await slow.requests(SLOW, batch.ids))
    assert begun < 70, "it stopped within a wave"
    assert await batch.counted() == {"sent": begun, "retrying": 70 - begun, "queued": 130}
    assert await batch.spent() == 0
    await slow.no_faults()
    await slow.worker()
    await batch.ends_as({"sent": 200})
    assert await batch.repeated() == []
    await batch.was_accepted_once()


async def test_worker_freezes_and_wakes_its_requests_are_left_to_it(slow: Scene) -> None:
    """A worker stands still in mid-batch until another one has sent what it had not begun. What it had begun is its
    own: awake, it records the answers, and nothing is repeated or called unknown.
    """
    once, again = await frozen_in_mid_batch(slow)
    frozen = slow.cluster.workers[-2]
    for batch in (once, again):
        await batch.ends_as({"sent": 5, "sending": 20})
    frozen.thaw()
    for batch in (once, again):
        await batch.ends_as({"sent": 25})
        assert await batch.outcomes() == {ACCEPTED: 25}
        assert await batch.repeated() == []


@pytest.mark.long
@pytest.mark.timeout(240)
async def test_worker_freezes_for_long_its_requests_are_unknown_when_none_can_be_under_way(
    slow: Scene, record_property: Record
) -> None:
    """A worker stands still in mid-batch and wakes when another one has gone on without it. What had not begun is sent
    when the worker is missed; what had is called unknown when no such request can be under way, and not before.
    """
    begun = time.monotonic()
    once, again = await frozen_in_mid_batch(slow)
    for batch in (once, again):
        await batch.ends_as({"sent": 5, "sending": 20})
    record_property("taken over after seconds", time.monotonic() - begun)
    await once.ends_as({"sent": 5, "unknown": 20}, within=90)
    record_property("unknown after seconds", time.monotonic() - begun)
    await again.ends_as({"sent": 25})
    rows = await slow.house.hermod.core.storage.database.rows(ENDED, {"tenant": slow.house.hermod.tenant})
    assert all(row.finished_at >= row.ends_by for row in rows)
    frozen = slow.cluster.workers[-2]
    frozen.thaw()
    await frozen.stop(within=60)
    assert await once.counted() == {"sent": 5, "unknown": 20}
    assert await once.outcomes() == {ACCEPTED: 5, ("unknown",): 20}
    assert await again.outcomes() == {ACCEPTED: 5, ("unknown", "accepted"): 20}
    assert await once.repeated() == []


async def frozen_in_mid_batch(scene: Scene) -> tuple[Batch, Batch]:
    """Two batches, at_most_once and at_least_once, whose worker stands still with twenty requests of each under way and
    five not begun; another worker is there.
    """
    await scene.no_worker()
    worker = await scene.worker()
    await scene.fault(SLOW, fault="slow", delay=14)
    once, again = await send(scene, 25, guarantee=ONCE), await send(scene, 25)
    for batch in (once, again):
        await batch.arrived(20)
    worker.freeze()
    await scene.no_faults()
    await scene.cluster.start_worker()
    return once, again
