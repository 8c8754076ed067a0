"""The steps of a submission in the database: whoever has the row first wins; what was left behind is found."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text
from temporalio.client import WorkflowFailureError

from hermod.contracts.content import Channel
from hermod.contracts.delivery import SendNotificationInput
from hermod.contracts.forms import FormMoment, PaymentStatus, SubmissionInput, SubmissionStatus
from hermod.contracts.ids import new_id, submission_workflow
from hermod.contracts.queues import WORKFLOWS
from hermod.domain.forms.submissions import Tell
from hermod.ports.submissions import SubmissionRecord
from hermod.storage.orphaned_records import Limit, Orphan
from hermod.storage.submission_acceptance import SubmissionDraft
from starter.orphans import SubmissionWorkflows
from starter.submissions import retry_submission, submission
from starter.sweeping import LedgerSweeper
from tests.support.form_house import ENTERED, add_form, ended, pay, submitted
from tests.support.product import House

PAYMENT: dict[str, Any] = {"payment": {"required": True, "expires_in": "PT1H"}}


async def accepted(house: House) -> str:
    """A submission whose workflow nobody has started."""
    core, tenant = house.hermod.core, house.hermod.tenant
    draft = SubmissionDraft(
        id=new_id("sub"),
        form=await core.storage.forms.compiled(tenant, "signup"),
        asked=SubmissionInput(data=ENTERED),
        data=dict(ENTERED),
        key=None,
        request_id=None,
    )
    await core.storage.submission_acceptance.take(tenant, draft, core.clock.now())
    return draft.id


async def opened(house: House, own: str) -> SubmissionRecord:
    core = house.hermod.core
    return await core.storage.submission_ledger.open(house.hermod.tenant, own, "run-1", core.clock.now())


async def as_if_untouched_for_an_hour(house: House, own: str) -> None:
    statement = text("""
        UPDATE form_submissions SET updated_at = now() - interval '1 hour',
               payment_expires_at = payment_expires_at - interval '3 hours' WHERE id = :id
    """)
    await house.hermod.core.storage.database.execute(statement, {"id": own})


def sweeper(house: House) -> LedgerSweeper[Orphan]:
    core = house.hermod.core
    return LedgerSweeper(
        core.storage.orphaned_submissions, SubmissionWorkflows(core.submissions), core.temporal, core.clock
    )


async def test_payment_and_expiry_at_the_same_moment_leave_one_of_them(skipping: House) -> None:
    await add_form(skipping, **PAYMENT)
    ledger, over = skipping.hermod.core.storage.submission_ledger, skipping.hermod.core.clock.now() + timedelta(hours=2)

    async def race(own: str) -> None:
        record = await opened(skipping, own)
        expired, _ = await asyncio.gather(ledger.expire(record, over), pay_unless_expired(skipping, own))
        view = await submission(skipping.hermod, own)
        assert view.payment is not None
        outcome = (view.status, view.payment.status)
        assert outcome in (
            (SubmissionStatus.EXPIRED, PaymentStatus.EXPIRED),
            (SubmissionStatus.PROCESSING, PaymentStatus.PAID),
        )
        assert (expired.status is SubmissionStatus.EXPIRED) == (outcome[0] is SubmissionStatus.EXPIRED)

    await asyncio.gather(*[race(await accepted(skipping)) for _ in range(8)])


async def pay_unless_expired(house: House, own: str) -> None:
    """As a payment's transaction does: it locks the row and looks at it."""
    async with house.hermod.core.storage.database.begin() as connection:
        statement = text("SELECT status FROM form_submissions WHERE id = :id FOR NO KEY UPDATE")
        if (await connection.execute(statement, {"id": own})).one().status != "expired":
            statement = text("UPDATE form_submissions SET payment_status = 'paid' WHERE id = :id")
            await connection.execute(statement, {"id": own})


async def test_paid_submission_does_not_expire(skipping: House) -> None:
    await add_form(skipping, **PAYMENT)
    own = await accepted(skipping)
    record = await opened(skipping, own)
    await pay(skipping, own, "paid")
    over = skipping.hermod.core.clock.now() + timedelta(hours=2)
    after = await skipping.hermod.core.storage.submission_ledger.expire(record, over)
    assert (after.status, after.standing.payment) == (SubmissionStatus.PROCESSING, PaymentStatus.PAID)


async def test_step_made_twice_is_written_once(skipping: House) -> None:
    await add_form(skipping)
    ledger, now = skipping.hermod.core.storage.submission_ledger, skipping.hermod.core.clock.now()
    record = await opened(skipping, await accepted(skipping))
    for _ in range(2):
        record = await ledger.saved(record, "7", now)
        record = await ledger.told(record, Tell(FormMoment.COMPLETED), now)
    assert (record.backend_id, record.standing.told) == ("7", frozenset({"submission.completed"}))


async def test_given_up_submission_is_opened_again_by_another_run_only(skipping: House) -> None:
    await add_form(skipping)
    core, tenant = skipping.hermod.core, skipping.hermod.tenant
    ledger, now = core.storage.submission_ledger, core.clock.now()
    record = await opened(skipping, await accepted(skipping))
    await ledger.give_up(record, "run-1", "backend_400", "the backend answered 400", now)
    assert (await ledger.open(tenant, record.id, "run-1", now)).status is SubmissionStatus.FAILED
    again = await ledger.open(tenant, record.id, "run-2", now)
    assert (again.status, again.reason, again.failed_run) == (SubmissionStatus.PROCESSING, None, None)


async def test_submission_that_was_never_started_is_started_by_the_sweeper(house: House) -> None:
    await add_form(house)
    own = await accepted(house)
    await as_if_untouched_for_an_hour(house, own)
    await sweeper(house).sweep()
    await ended(house, own, SubmissionStatus.COMPLETED)


async def test_submission_whose_workflow_was_terminated_is_a_dead_letter_and_goes_on_when_retried(
    house: House,
) -> None:
    await add_form(house, **PAYMENT)
    own = await submitted(house)
    view = await ended(house, own, SubmissionStatus.AWAITING_PAYMENT)
    await house.client.get_workflow_handle(view.workflow_id).terminate("by a test")
    await as_if_untouched_for_an_hour(house, own)
    await sweeper(house).sweep()
    dead = await ended(house, own, SubmissionStatus.FAILED)
    assert dead.error == "its workflow was closed as terminated without finishing it"
    await pay(house, own, "paid")
    await retry_submission(house.hermod, own)
    await ended(house, own, SubmissionStatus.COMPLETED)


async def test_submission_whose_workflow_failed_before_its_end_is_begun_again(house: House) -> None:
    await add_form(house)
    own = await accepted(house)
    workflow_id = submission_workflow(house.hermod.tenant, own)
    # Fails, since there is no such message: as a run may that ended without a word in the record.
    other = SendNotificationInput(tenant=house.hermod.tenant, message="msg_none", channel=Channel.EMAIL)
    handle = await house.client.start_workflow("SendNotification", other, id=workflow_id, task_queue=WORKFLOWS)
    with pytest.raises(WorkflowFailureError):
        await handle.result()
    statement = text("UPDATE form_submissions SET status = 'processing' WHERE id = :id")
    await house.hermod.core.storage.database.execute(statement, {"id": own})
    await as_if_untouched_for_an_hour(house, own)
    await sweeper(house).sweep()
    await ended(house, own, SubmissionStatus.COMPLETED)


async def test_submission_that_waits_for_its_payment_is_not_swept(house: House) -> None:
    await add_form(house, **PAYMENT)
    own = await submitted(house)
    await ended(house, own, SubmissionStatus.AWAITING_PAYMENT)
    statement = text("UPDATE form_submissions SET updated_at = now() - interval '1 hour' WHERE id = :id")
    await house.hermod.core.storage.database.execute(statement, {"id": own})
    orphaned, limit = house.hermod.core.storage.orphaned_submissions, Limit(workflows=100, records=100)
    found = await orphaned.stalled(house.hermod.core.clock.now(), older_than=timedelta(minutes=10), limit=limit)
    assert own not in {one.id for one in found}
