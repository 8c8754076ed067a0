"""What people do to a message: cancel it, retry it through Hermod, reset it through Temporal."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError
from temporalio.exceptions import ApplicationError

from hermod.contracts.errors import Conflict
from hermod.contracts.notifications.content import Email
from hermod.contracts.notifications.delivery import DeliveryResult
from hermod.contracts.notifications.messages import MessageView, Outcome, Status
from hermod.contracts.notifications.outcomes import Accepted, MessageRejected
from tests.support.polling import eventually
from tests.support.product import ProductFixture
from tests.support.resetting import reset

LETTER = Email(to="ada@example.com", subject="Hello", text="Hello")


async def dead_letter(house: ProductFixture) -> MessageView:
    await house.add_account("main")
    house.script("main", MessageRejected(status_code=400, error_code="bad"), Accepted(provider_id="p2"))
    return await house.ended((await house.hermod.send(LETTER)).id)


async def status_of(house: ProductFixture, workflow_id: str) -> WorkflowExecutionStatus | None:
    return (await house.client.get_workflow_handle(workflow_id).describe()).status


async def test_dead_letter_fails_its_workflow_with_a_typed_error_without_personal_data(
    skipping: ProductFixture,
) -> None:
    view = await dead_letter(skipping)
    assert view.status is Status.FAILED
    with pytest.raises(WorkflowFailureError) as failed:
        await skipping.client.get_workflow_handle(view.workflow_id).result()
    cause = failed.value.cause
    assert isinstance(cause, ApplicationError)
    assert cause.type == "DeadLetter"
    assert cause.message == "1 of 1 given up: main: message_rejected 400 bad"


async def test_retry_sends_a_dead_letter_again_under_the_same_workflow_id(skipping: ProductFixture) -> None:
    view = await dead_letter(skipping)
    receipt = await skipping.hermod.retry(view.id)
    assert receipt.workflow_id == view.workflow_id
    again = await skipping.reached(view.id, Status.SENT)
    assert [attempt.outcome for attempt in again.attempts] == [Outcome.MESSAGE_REJECTED, Outcome.ACCEPTED]
    assert "reopened" in [decision.verdict for decision in again.decisions]


@pytest.mark.parametrize("to_last", [False, True])
async def test_reset_in_temporal_sends_a_dead_letter_again(skipping: ProductFixture, to_last: bool) -> None:
    view = await dead_letter(skipping)

    async def failed() -> bool:
        return await status_of(skipping, view.workflow_id) is WorkflowExecutionStatus.FAILED

    await eventually(failed)
    await reset(skipping.client, view.workflow_id, to_last=to_last)
    again = await skipping.reached(view.id, Status.SENT)
    assert [attempt.outcome for attempt in again.attempts] == [Outcome.MESSAGE_REJECTED, Outcome.ACCEPTED]
    assert "its workflow was reset in Temporal" in [decision.reason for decision in again.decisions]

    async def completed() -> bool:
        return await status_of(skipping, view.workflow_id) is WorkflowExecutionStatus.COMPLETED

    await eventually(completed)


async def test_reset_of_a_sent_message_does_not_send_it_again(skipping: ProductFixture) -> None:
    await skipping.add_account("main")
    script = skipping.script("main", Accepted())
    view = await skipping.ended((await skipping.hermod.send(LETTER)).id)
    handle = skipping.client.get_workflow_handle(view.workflow_id)
    await handle.result()
    await reset(skipping.client, view.workflow_id, to_last=False)

    async def completed() -> bool:
        return await status_of(skipping, view.workflow_id) is WorkflowExecutionStatus.COMPLETED

    await eventually(completed)
    assert len(script.sent) == 1


async def test_retry_of_a_sent_message_is_refused_with_the_reason(skipping: ProductFixture) -> None:
    await skipping.add_account("main")
    view = await skipping.ended((await skipping.hermod.send(LETTER)).id)
    with pytest.raises(Conflict, match="the message is sent; only a failed message can be retried"):
        await skipping.hermod.retry(view.id)


async def test_cancel_of_a_scheduled_message_ends_its_workflow_at_once(house: ProductFixture) -> None:
    await house.add_account("main")
    due = datetime.now(UTC) + timedelta(hours=1)
    receipt = await house.hermod.send(LETTER, send_at=due)
    await house.reached(receipt.id, Status.SCHEDULED)
    await house.hermod.cancel(receipt.id)
    result = await house.client.get_workflow_handle(receipt.workflow_id, result_type=DeliveryResult).result()
    assert result.counts == {Status.CANCELLED: 1}
    view = await house.hermod.status(receipt.id)
    assert view.status is Status.CANCELLED
    assert not view.attempts


async def test_cancel_by_update_in_temporal_closes_the_ledger_too(house: ProductFixture) -> None:
    await house.add_account("main")
    receipt = await house.hermod.send(LETTER, send_at=datetime.now(UTC) + timedelta(hours=1))
    await house.reached(receipt.id, Status.SCHEDULED)
    answer = await house.client.get_workflow_handle(receipt.workflow_id).execute_update(
        "cancel", result_type=DeliveryResult
    )
    assert answer.counts == {Status.CANCELLED: 1}
    assert (await house.hermod.status(receipt.id)).status is Status.CANCELLED


async def test_cancellation_requested_in_temporal_closes_the_ledger_and_the_workflow_is_cancelled(
    house: ProductFixture,
) -> None:
    await house.add_account("main")
    receipt = await house.hermod.send(LETTER, send_at=datetime.now(UTC) + timedelta(hours=1))
    await house.reached(receipt.id, Status.SCHEDULED)
    await house.client.get_workflow_handle(receipt.workflow_id).cancel()
    await house.reached(receipt.id, Status.CANCELLED)

    async def cancelled() -> bool:
        return await status_of(house, receipt.workflow_id) is WorkflowExecutionStatus.CANCELED

    await eventually(cancelled)


async def test_cancel_of_a_sent_message_is_refused(house: ProductFixture) -> None:
    await house.add_account("main")
    view = await house.ended((await house.hermod.send(LETTER)).id)
    with pytest.raises(Conflict, match="the message is sent"):
        await house.hermod.cancel(view.id)
