"""The steps of a submission in the database: whoever has the row first wins; what was left behind is found."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from temporalio.client import WorkflowFailureError
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.forms.submissions import SubmissionActivities
from devstack.demo.stripe_stand_in import StripePayment
from hermod.contracts.forms.forms import (
    FormMoment,
    PaymentStatus,
    ProcessSubmissionInput,
    SubmissionInput,
    SubmissionStatus,
)
from hermod.contracts.ids import new_id, submission_workflow
from hermod.contracts.notifications.content import Channel
from hermod.contracts.notifications.delivery import SendNotificationInput
from hermod.contracts.queues import WORKFLOWS
from hermod.domain.forms.submissions import Tell
from hermod.domain.payments.stripe_events import read_event
from hermod.ports.forms.forms import Announced, Announcement
from hermod.ports.forms.submissions import SubmissionRecord
from hermod.storage.forms.submission_acceptance import SubmissionDraft
from hermod.storage.operations.orphaned_records import Limit, Orphan
from starter.forms.submissions import retry_submission, submission
from starter.housekeeping.orphans import SubmissionWorkflows
from starter.housekeeping.sweep_table import LEDGERS
from starter.housekeeping.sweeping import LedgerSweeper
from tests.support.forms.product import ENTERED, add_form, ended, pay, submitted
from tests.support.product import ProductFixture

PAYMENT: dict[str, Any] = {"payment": {"required": True, "expires_in": "PT1H"}}


async def accepted(house: ProductFixture) -> str:
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


async def opened(house: ProductFixture, own: str) -> SubmissionRecord:
    core = house.hermod.core
    return await core.storage.submission_ledger.open(house.hermod.tenant, own, "run-1", core.clock.now())


async def as_if_untouched_for_an_hour(house: ProductFixture, own: str) -> None:
    statement = text("""
        UPDATE form_submissions SET updated_at = now() - interval '1 hour',
               payment_expires_at = payment_expires_at - interval '3 hours' WHERE id = :id
    """)
    await house.hermod.core.storage.database.execute(statement, {"id": own})


def sweeper(house: ProductFixture) -> LedgerSweeper[Orphan]:
    core = house.hermod.core
    return LedgerSweeper(
        core.storage.orphaned_submissions, SubmissionWorkflows(core.submissions.starter), core.temporal, core.clock
    )


async def test_payment_and_expiry_at_the_same_moment_leave_one_of_them(skipping: ProductFixture) -> None:
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


async def pay_unless_expired(house: ProductFixture, own: str) -> None:
    """As a payment's transaction does: it locks the row and looks at it."""
    async with house.hermod.core.storage.database.begin() as connection:
        statement = text("SELECT status FROM form_submissions WHERE id = :id FOR NO KEY UPDATE")
        if (await connection.execute(statement, {"id": own})).one().status != "expired":
            statement = text("UPDATE form_submissions SET payment_status = 'paid' WHERE id = :id")
            await connection.execute(statement, {"id": own})


async def test_paid_submission_does_not_expire(skipping: ProductFixture) -> None:
    await add_form(skipping, **PAYMENT)
    own = await accepted(skipping)
    record = await opened(skipping, own)
    await pay(skipping, own, "paid")
    over = skipping.hermod.core.clock.now() + timedelta(hours=2)
    after = await skipping.hermod.core.storage.submission_ledger.expire(record, over)
    assert (after.status, after.standing.payment) == (SubmissionStatus.PROCESSING, PaymentStatus.PAID)


async def test_step_made_twice_is_written_once(skipping: ProductFixture) -> None:
    await add_form(skipping)
    ledger, now = skipping.hermod.core.storage.submission_ledger, skipping.hermod.core.clock.now()
    record = await opened(skipping, await accepted(skipping))
    for _ in range(2):
        record = await ledger.saved(record, "7", now)
        record = await ledger.told(record, Tell(FormMoment.COMPLETED), now)
    assert (record.backend_id, record.standing.told) == ("7", frozenset({"submission.completed"}))


async def test_given_up_submission_is_opened_again_by_a_run_that_was_made_of_another_one_only(
    skipping: ProductFixture,
) -> None:
    await add_form(skipping)
    core, tenant = skipping.hermod.core, skipping.hermod.tenant
    ledger, now = core.storage.submission_ledger, core.clock.now()
    record = await opened(skipping, await accepted(skipping))
    await give_up(skipping, record)
    for run, is_reset in (("run-1", True), ("run-2", False)):
        assert (await ledger.open(tenant, record.id, run, now, is_reset=is_reset)).status is SubmissionStatus.FAILED
    again = await ledger.open(tenant, record.id, "run-2", now, is_reset=True)
    assert (again.status, again.reason, again.failed_run) == (SubmissionStatus.PROCESSING, None, None)


async def give_up(house: ProductFixture, record: SubmissionRecord) -> SubmissionRecord:
    core = house.hermod.core
    text, now = "the backend answered 400", core.clock.now()
    return await core.storage.submission_ledger.give_up(record, "run-1", "backend_400", text, now)


async def test_superseded_executor_decides_nothing(skipping: ProductFixture) -> None:
    await add_form(skipping, **PAYMENT)
    ledger, now = skipping.hermod.core.storage.submission_ledger, skipping.hermod.core.clock.now()
    slow = await opened(skipping, await accepted(skipping))
    own = await opened(skipping, slow.id)
    await ledger.troubled(slow, "backend_503", "the backend answered 503", now)
    for after in (
        await give_up(skipping, slow),
        await ledger.awaiting(slow, now),
        await ledger.expire(slow, now + timedelta(hours=2)),
        await ledger.finish(slow, SubmissionStatus.COMPLETED, now),
    ):
        assert (after.status, after.reason) == (SubmissionStatus.PROCESSING, None)
        assert after.is_as_read_in(own)


async def test_superseded_executor_says_what_it_has_seen_happen(skipping: ProductFixture) -> None:
    await add_form(skipping)
    ledger, now = skipping.hermod.core.storage.submission_ledger, skipping.hermod.core.clock.now()
    slow = await opened(skipping, await accepted(skipping))
    await opened(skipping, slow.id)
    after = await ledger.told(await ledger.saved(slow, "7", now), Tell(FormMoment.COMPLETED), now)
    assert (after.backend_id, after.standing.saved) == ("7", True)
    assert after.standing.told == frozenset({"submission.completed"})


async def test_refusal_of_what_another_executor_has_saved_or_finished_changes_nothing(skipping: ProductFixture) -> None:
    await add_form(skipping)
    ledger, now = skipping.hermod.core.storage.submission_ledger, skipping.hermod.core.clock.now()
    slow = await opened(skipping, await accepted(skipping))
    own = await opened(skipping, slow.id)
    await ledger.saved(slow, "7", now)
    assert (await give_up(skipping, own)).status is SubmissionStatus.PROCESSING
    assert (await ledger.finish(own, SubmissionStatus.COMPLETED, now)).status is SubmissionStatus.COMPLETED
    assert (await give_up(skipping, own)).status is SubmissionStatus.COMPLETED


async def test_refusal_that_comes_after_the_operators_retry_changes_nothing(skipping: ProductFixture) -> None:
    await add_form(skipping)
    core, tenant = skipping.hermod.core, skipping.hermod.tenant
    slow = await opened(skipping, await accepted(skipping))
    await give_up(skipping, await opened(skipping, slow.id))
    await core.storage.submissions.retry(tenant, slow.id, actor="test", now=core.clock.now())
    assert (await give_up(skipping, slow)).status is SubmissionStatus.PENDING
    again = await opened(skipping, slow.id)
    assert (await give_up(skipping, slow)).status is SubmissionStatus.PROCESSING
    assert (await give_up(skipping, again)).status is SubmissionStatus.FAILED


async def test_dead_letter_that_was_saved_after_all_keeps_its_reason_and_is_not_saved_again(
    skipping: ProductFixture,
) -> None:
    await add_form(skipping)
    core, tenant = skipping.hermod.core, skipping.hermod.tenant
    ledger, now = core.storage.submission_ledger, core.clock.now()
    slow = await opened(skipping, await accepted(skipping))
    await give_up(skipping, await opened(skipping, slow.id))
    after = await ledger.saved(slow, "7", now)
    assert (after.status, after.reason, after.standing.saved) == (SubmissionStatus.FAILED, "backend_400", True)
    await core.storage.submissions.retry(tenant, slow.id, actor="test", now=now)
    again = await opened(skipping, slow.id)
    assert (again.status, again.backend_id, again.standing.saved) == (SubmissionStatus.PROCESSING, "7", True)


async def stripe(house: ProductFixture, told: Any) -> None:
    """What Stripe tells is kept, and nobody is woken."""
    core = house.hermod.core
    await core.storage.payments.take(house.hermod.tenant, read_event(told), core.clock.now())


async def test_payment_that_comes_after_expiry_was_told_is_not_finished_as_expired(skipping: ProductFixture) -> None:
    await add_form(skipping, **PAYMENT)
    ledger, now = skipping.hermod.core.storage.submission_ledger, skipping.hermod.core.clock.now()
    over = now + timedelta(hours=2)
    record = await opened(skipping, await accepted(skipping))
    record = await ledger.expire(record, over)
    record = await ledger.told(record, Tell(FormMoment.EXPIRED), over)
    assert record.status is SubmissionStatus.EXPIRED
    await stripe(skipping, StripePayment(record.id).succeeded())
    after = await ledger.finish(record, SubmissionStatus.EXPIRED, over)
    assert (after.status, after.standing.payment) == (SubmissionStatus.AWAITING_PAYMENT, PaymentStatus.PAID)
    assert not after.is_as_read_in(record)


async def test_payment_that_comes_before_the_wait_for_it_is_seen_at_once(skipping: ProductFixture) -> None:
    await add_form(skipping, **PAYMENT)
    ledger, now = skipping.hermod.core.storage.submission_ledger, skipping.hermod.core.clock.now()
    record = await opened(skipping, await accepted(skipping))
    await stripe(skipping, StripePayment(record.id).succeeded())
    after = await ledger.awaiting(record, now)
    assert (after.status, after.standing.payment) == (SubmissionStatus.PROCESSING, PaymentStatus.PAID)


async def test_payment_of_what_is_given_up_in_the_same_moment_wakes_nobody(skipping: ProductFixture) -> None:
    await add_form(skipping, **PAYMENT)
    core = skipping.hermod.core
    record = await opened(skipping, await accepted(skipping))
    await stripe(skipping, StripePayment(record.id).succeeded())
    assert (await give_up(skipping, record)).status is SubmissionStatus.FAILED
    later = core.clock.now() + timedelta(hours=1)
    found = await core.storage.payments.untold(later, older_than=timedelta(0), limit=100)
    assert record.id not in {one.submission for one in found}


async def orphan(house: ProductFixture, own: str) -> Orphan:
    """The submission, as the sweeper reads it."""
    core, limit = house.hermod.core, Limit(workflows=100, records=100)
    found = await core.storage.orphaned_submissions.stalled(
        core.clock.now(), older_than=LEDGERS.stalled_after, limit=limit
    )
    return next(one for one in found if one.id == own)


async def given_up(house: ProductFixture, one: Orphan, now: datetime) -> SubmissionStatus:
    """As by the sweeper that looked at `now`."""
    orphaned, since = house.hermod.core.storage.orphaned_submissions, now - LEDGERS.stalled_after
    await orphaned.dead_letter([one], "run-1", "closed", now, untouched_since=since)
    return (await submission(house.hermod, one.id)).status


async def test_sweeper_gives_up_nothing_that_was_retried_taken_up_or_finished_since_it_looked(
    skipping: ProductFixture,
) -> None:
    await add_form(skipping)
    core, tenant = skipping.hermod.core, skipping.hermod.tenant
    record = await opened(skipping, await accepted(skipping))
    await as_if_untouched_for_an_hour(skipping, record.id)
    read, looked = await orphan(skipping, record.id), core.clock.now()
    assert await given_up(skipping, read, looked) is SubmissionStatus.FAILED
    assert (await give_up(skipping, record)).reason == "workflow_closed", "its executor was superseded"
    await core.storage.submissions.retry(tenant, record.id, actor="test", now=core.clock.now())
    assert await given_up(skipping, read, looked) is SubmissionStatus.PENDING
    again = await opened(skipping, record.id)
    assert await given_up(skipping, read, looked) is SubmissionStatus.PROCESSING
    again = await core.storage.submission_ledger.finish(again, SubmissionStatus.COMPLETED, core.clock.now())
    await as_if_untouched_for_an_hour(skipping, record.id)
    before = (await submission(skipping.hermod, record.id)).updated_at
    assert await given_up(skipping, read, looked) is SubmissionStatus.COMPLETED
    await core.storage.orphaned_submissions.touch([read], core.clock.now())
    assert (await submission(skipping.hermod, record.id)).updated_at == before


@dataclass
class SlowBackend:
    """Takes a submission when it is let go on."""

    asked: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)

    async def save(self, record: SubmissionRecord) -> str | None:
        self.asked.set()
        await self.go_on.wait()
        return "7"


class NobodyIsTold:
    async def announce(self, told: Announcement) -> Announced:
        raise AssertionError(told.moment)


async def test_executor_that_was_superseded_while_it_saved_takes_no_further_step(skipping: ProductFixture) -> None:
    await add_form(skipping)
    ledger, backend = skipping.hermod.core.storage.submission_ledger, SlowBackend()
    own = await accepted(skipping)
    order = ProcessSubmissionInput(tenant=skipping.hermod.tenant, submission=own)
    activities = SubmissionActivities(ledger, backend, NobodyIsTold())
    slow = asyncio.create_task(ActivityEnvironment().run(activities.process_submission, order))
    await asyncio.wait_for(backend.asked.wait(), 10)
    await opened(skipping, own)
    backend.go_on.set()
    with pytest.raises(ApplicationError) as ended:
        await slow
    assert ended.value.type == "Superseded"
    assert (await submission(skipping.hermod, own)).backend_id == "7"


async def test_submission_that_was_never_started_is_started_by_the_sweeper(house: ProductFixture) -> None:
    await add_form(house)
    own = await accepted(house)
    await as_if_untouched_for_an_hour(house, own)
    await sweeper(house).sweep()
    await ended(house, own, SubmissionStatus.COMPLETED)


async def test_submission_whose_workflow_was_terminated_is_a_dead_letter_and_goes_on_when_retried(
    house: ProductFixture,
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


async def test_submission_whose_workflow_failed_before_its_end_is_begun_again(house: ProductFixture) -> None:
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


async def test_submission_that_waits_for_its_payment_is_not_swept(house: ProductFixture) -> None:
    await add_form(house, **PAYMENT)
    own = await submitted(house)
    await ended(house, own, SubmissionStatus.AWAITING_PAYMENT)
    statement = text("UPDATE form_submissions SET updated_at = now() - interval '1 hour' WHERE id = :id")
    await house.hermod.core.storage.database.execute(statement, {"id": own})
    orphaned, limit = house.hermod.core.storage.orphaned_submissions, Limit(workflows=100, records=100)
    found = await orphaned.stalled(house.hermod.core.clock.now(), older_than=LEDGERS.stalled_after, limit=limit)
    assert own not in {one.id for one in found}
