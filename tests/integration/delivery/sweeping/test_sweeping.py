"""The sweeper finds what nobody is working on: forgotten starts, lost workflows, and workflows closed from outside."""

from __future__ import annotations

import pytest
from temporalio.client import WorkflowExecutionStatus

from hermod.contracts.ids import message_workflow
from hermod.contracts.notifications.content import Channel
from hermod.contracts.notifications.delivery import SendNotificationInput
from hermod.contracts.notifications.messages import MessageView, Outcome, Status
from hermod.contracts.queues import WORKFLOWS
from hermod.storage.operations.orphaned_records import Limit
from starter.housekeeping.sweeping import Incomplete
from tests.support.orphans import HOUR, NOBODY, Later, accepted, age, begin_request, letter, put, swept
from tests.support.polling import eventually
from tests.support.product import ProductFixture

CLOSED = "its workflow was closed as terminated without finishing it"


async def waiting_message(house: ProductFixture) -> MessageView:
    """A message that waits for an account, a minute at a time."""
    await house.add_account("main", enabled=False)
    return await house.reached((await house.hermod.send(letter())).id, Status.DEFERRED)


async def waiting_batch(house: ProductFixture, count: int) -> tuple[list[str], str]:
    """Messages that wait for an account together, and their workflow."""
    await house.add_account("main", enabled=False)
    receipt = await house.hermod.send_many([letter(f"user{number}@example.com") for number in range(count)])
    messages = [one.id for one in receipt.receipts]
    views = [await house.reached(one, Status.DEFERRED) for one in messages]
    (workflow_id,) = {view.workflow_id for view in views}
    return messages, workflow_id


async def sent_once(house: ProductFixture, *messages: str) -> None:
    for message in messages:
        view = await house.reached(message, Status.SENT)
        assert [attempt.outcome for attempt in view.attempts] == [Outcome.ACCEPTED]


async def test_message_whose_workflow_was_terminated_is_a_dead_letter_that_says_so(house: ProductFixture) -> None:
    view = await waiting_message(house)
    await house.client.get_workflow_handle(view.workflow_id).terminate("by a test")
    await age(house, view.id)
    await swept(house)
    dead = await house.hermod.status(view.id)
    assert (dead.status, dead.error, dead.error_code) == (Status.FAILED, CLOSED, "workflow_closed")
    await house.add_account("main")
    await house.hermod.retry(view.id)
    await house.reached(view.id, Status.SENT)


async def test_message_whose_workflow_is_unknown_to_temporal_gets_a_new_one(house: ProductFixture) -> None:
    view = await waiting_message(house)
    await house.client.get_workflow_handle(view.workflow_id).terminate("by a test")
    lost = f"message/{house.hermod.tenant}/lost-with-temporals-data"
    await house.add_account("main")
    await put(house, f"workflow_id = '{lost}'", view.id)
    await age(house, view.id)
    await swept(house)
    sent = await house.reached(view.id, Status.SENT)
    assert sent.workflow_id == lost


async def test_message_whose_workflow_runs_is_left_alone_and_not_looked_at_again(house: ProductFixture) -> None:
    view = await waiting_message(house)
    await age(house, view.id)
    aged = await house.hermod.status(view.id)
    await swept(house)
    touched = await house.hermod.status(view.id)
    assert (touched.status, touched.workflow_id) == (Status.DEFERRED, view.workflow_id)
    assert touched.updated_at > aged.updated_at + HOUR / 2
    await house.hermod.cancel(view.id)


async def test_limit_that_is_less_than_a_workflow_leaves_none_of_its_messages_behind(house: ProductFixture) -> None:
    """Six batches of four were accepted while Temporal was away; ten records at a time are swept."""
    await house.add_account("main", enabled=False)
    batches = [await accepted(house, *[letter()] * 4) for _ in range(6)]
    messages = [message for batch in batches for message in batch]
    await age(house, *messages)

    async def all_are_started() -> bool:
        await swept(house, Limit(workflows=50, records=10))
        return not await house.hermod.core.storage.messages.any_pending(house.hermod.tenant, messages)

    await eventually(all_are_started)
    for batch in batches:
        taken_up = [await house.reached(message, Status.DEFERRED) for message in batch]
        assert len({view.workflow_id for view in taken_up}) == 1


async def test_pending_message_that_its_running_batch_does_not_know_gets_a_workflow_of_its_own(
    house: ProductFixture,
) -> None:
    _, workflow_id = await waiting_batch(house, 2)
    strangers = await accepted(house, letter(), letter())
    await put(house, f"workflow_id = '{workflow_id}'", *strangers)
    await age(house, *strangers)
    await swept(house)
    owners = {(await house.reached(one, Status.DEFERRED)).workflow_id for one in strangers}
    assert len(owners) == 1
    assert workflow_id not in owners
    (owner,) = owners
    assert (await house.client.get_workflow_handle(owner).describe()).workflow_type == "SendBatch"


async def test_message_marked_as_started_that_its_running_batch_does_not_know_gets_a_workflow_of_its_own(
    house: ProductFixture,
) -> None:
    known, workflow_id = await waiting_batch(house, 2)
    (stranger,) = await accepted(house, letter())
    await put(house, f"workflow_id = '{workflow_id}', status = 'queued'", stranger)
    await age(house, stranger)
    await swept(house)
    own = message_workflow(house.hermod.tenant, stranger)
    assert (await house.reached(stranger, Status.DEFERRED)).workflow_id == own
    assert {(await house.hermod.status(one)).workflow_id for one in known} == {workflow_id}


async def test_batch_that_failed_with_a_dead_letter_is_begun_again_for_what_it_did_not_know(
    house: ProductFixture,
) -> None:
    await house.add_account("main")
    bad, good = await accepted(house, letter("rejected@example.com"), letter())
    workflow_id = (await house.hermod.status(bad)).workflow_id
    rest = await accepted(house, letter(), letter())
    await age(house, bad, good)
    await swept(house)
    await house.reached(bad, Status.FAILED)
    handle = house.client.get_workflow_handle(workflow_id)

    async def failed() -> bool:
        return (await handle.describe()).status is WorkflowExecutionStatus.FAILED

    await eventually(failed)
    await put(house, f"workflow_id = '{workflow_id}', status = 'queued'", *rest)
    await age(house, *rest)
    await swept(house)
    await sent_once(house, good, *rest)
    assert (await house.hermod.status(bad)).status is Status.FAILED


async def test_terminated_batch_has_requests_of_lost_workers_called_unknown_and_those_of_living_ones_left_alone(
    house: ProductFixture,
) -> None:
    (resting, lost, living), workflow_id = await waiting_batch(house, 3)
    await house.client.get_workflow_handle(workflow_id).terminate("by a test")
    await begin_request(house, NOBODY, lost)
    await begin_request(house, house.hermod.core.storage.workers.number, living)
    await age(house, resting, lost, living)
    await swept(house)
    dead, unknown, sending = [await house.hermod.status(one) for one in (resting, lost, living)]
    assert (dead.status, dead.error, dead.error_code) == (Status.FAILED, CLOSED, "workflow_closed")
    assert (unknown.status, unknown.error_code) == (Status.UNKNOWN, "worker_lost")
    assert [(one.outcome, one.error_code) for one in unknown.attempts] == [(Outcome.UNKNOWN, "worker_lost")]
    assert (sending.status, sending.attempts[0].outcome) == (Status.SENDING, None)
    listed = await house.hermod.dead_letters()
    assert {one.id for one in listed.items} == {resting, lost}


async def test_message_of_a_terminated_batch_whose_own_workflow_runs_is_handed_to_that(house: ProductFixture) -> None:
    (message, other), workflow_id = await waiting_batch(house, 2)
    own, tenant = message_workflow(house.hermod.tenant, message), house.hermod.tenant
    later = house.hermod.core.clock.now() + HOUR
    alone = SendNotificationInput(tenant=tenant, message=message, channel=Channel.EMAIL, due_at=later)
    handle = await house.client.start_workflow("SendNotification", alone, id=own, task_queue=WORKFLOWS)
    await house.client.get_workflow_handle(workflow_id).terminate("by a test")
    await age(house, message, other)
    await swept(house)
    moved = await house.hermod.status(message)
    assert (moved.status, moved.workflow_id) == (Status.DEFERRED, own)
    assert (await house.hermod.status(other)).status is Status.FAILED
    await handle.terminate("by a test")


async def test_run_that_began_before_its_message_was_reopened_does_not_count_as_its_start(
    house: ProductFixture,
) -> None:
    view = await waiting_message(house)
    await put(house, "status = 'pending', updated_at = now()", view.id)
    await swept(house, clock=Later(house.hermod.core.clock))
    assert (await house.hermod.status(view.id)).status is Status.PENDING
    await house.client.get_workflow_handle(view.workflow_id).terminate("by a test")
    await swept(house, clock=Later(house.hermod.core.clock))
    await house.reached(view.id, Status.DEFERRED)
    await house.hermod.cancel(view.id)


async def test_start_repeated_for_a_batch_that_runs_marks_what_it_knows_and_no_more(house: ProductFixture) -> None:
    """As where the answer to a start was lost: the run is there, and nothing was marked."""
    messages, workflow_id = await waiting_batch(house, 2)
    (stranger,) = await accepted(house, letter())
    await put(house, "status = 'pending', updated_at = now() - interval '1 hour'", *messages)
    await put(house, f"workflow_id = '{workflow_id}', updated_at = now() - interval '1 hour'", stranger)
    await swept(house)
    known = [await house.hermod.status(one) for one in messages]
    assert {(one.status, one.workflow_id) for one in known} == {(Status.QUEUED, workflow_id)}
    assert (await house.hermod.status(stranger)).workflow_id == message_workflow(house.hermod.tenant, stranger)


async def test_message_that_a_batch_of_the_released_version_left_is_taken_over_by_its_own_workflow(
    house: ProductFixture,
) -> None:
    """There the batch was the owner until the next workflow came."""
    await house.add_account("main")
    message, _ = await accepted(house, letter(), letter())
    tenant, batch = house.hermod.tenant, (await house.hermod.status(message)).workflow_id
    await put(house, "status = 'retrying'", message)
    alone = SendNotificationInput(tenant=tenant, message=message, channel=Channel.EMAIL, taken_from=batch)
    own = message_workflow(tenant, message)
    await house.client.execute_workflow("SendNotification", alone, id=own, task_queue=WORKFLOWS)
    view = await house.hermod.status(message)
    assert (view.status, view.workflow_id) == (Status.SENT, own)


async def test_workflow_whose_input_this_version_cannot_read_does_not_keep_the_others_from_being_started(
    house: ProductFixture,
) -> None:
    await house.add_account("main", enabled=False)
    (unreadable,), (other,) = await accepted(house, letter()), await accepted(house, letter())
    workflow_id = (await house.hermod.status(unreadable)).workflow_id
    _ = await house.client.start_workflow("SendBatch", {"of": "another version"}, id=workflow_id, task_queue="nobody")
    await put(house, "updated_at = now() - interval '1 hour'", unreadable, other)
    with pytest.raises(Incomplete):
        await swept(house)
    await house.reached(other, Status.DEFERRED)
    assert (await house.hermod.status(unreadable)).status is Status.PENDING
    await house.client.get_workflow_handle(workflow_id).terminate("by a test")
