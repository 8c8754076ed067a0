"""A submission that is to be paid, from the visitor to the last refund: over HTTP, through the workflow, to its end.

Waiting for days is done with time skipped; what Stripe says at once needs no skipping.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from devstack.demo.stripe_stand_in import StripePayment, new_id
from hermod.contracts import ids
from hermod.contracts.forms.forms import SubmissionInput, SubmissionView
from hermod.domain.payments.stripe_events import read_event
from hermod.storage.forms.submission_acceptance import SubmissionDraft
from starter.forms.journeys import journey
from starter.forms.payment_intake import PaymentAcceptor
from starter.forms.submissions import release_submission, submission
from starter.housekeeping.sweep_table import PAYMENTS
from tests.integration.api.conftest import calling
from tests.support.forms.rows import add_form
from tests.support.forms.stripe_sender import StripeSender, stripe_sender
from tests.support.polling import eventually
from tests.support.product import ProductFixture
from web.app import create_app

_MARKS = text("SELECT announced FROM form_submissions WHERE tenant_id = :tenant AND id = :id")


@dataclass(frozen=True)
class Till:
    """A tenant whose form asks for payment, and Stripe, which calls about it."""

    house: ProductFixture
    stripe: StripeSender

    async def submitted(self) -> str:
        receipt = await self.house.hermod.submit("order", {"email": "ada@example.com"}, session="session-1")
        return receipt.id

    async def accepted(self) -> str:
        """A submission whose workflow nobody has started yet."""
        core, tenant = self.house.hermod.core, self.house.hermod.tenant
        draft = SubmissionDraft(
            id=ids.new_id("sub"),
            form=await core.storage.forms.compiled(tenant, "order"),
            asked=SubmissionInput(data={}, session="session-1"),
            data={},
            key=None,
            request_id=None,
        )
        await core.storage.submission_acceptance.take(tenant, draft, core.clock.now())
        return draft.id

    async def view(self, own: str) -> SubmissionView:
        return await submission(self.house.hermod, own)

    async def told(self, own: str) -> Sequence[str]:
        """The moments that were announced, in their order."""
        database = self.house.hermod.core.storage.database
        (row,) = await database.rows(_MARKS, {"tenant": self.house.hermod.tenant, "id": own})
        marks: Sequence[str] = row.announced
        return marks

    async def untold(self) -> list[str]:
        """The tenant's submissions that the sweeper would wake, were it much later."""
        tenant, later = self.house.hermod.tenant, Ahead(2 * PAYMENTS.stalled_after).now()
        found = await self.house.hermod.core.storage.payments.untold(
            later, older_than=PAYMENTS.unstarted_after, limit=1_000
        )
        return [one.submission for one in found if one.tenant == tenant]

    async def reached(self, own: str, status: str, payment: str, *marks: str) -> SubmissionView:
        """The submission, once it stands so and exactly these moments have been announced."""

        async def there() -> SubmissionView:
            view = await self.view(own)
            assert view.payment is not None
            assert (view.status, view.payment.status, *await self.told(own)) == (status, payment, *marks)
            assert (view.finished_at is not None) == (status in ("completed", "expired"))
            return view

        return await eventually(there, within=60)

    async def caught(self, own: str, payment: str, *marks: str) -> SubmissionView:
        """The submission, still spam, once its payment stands so and exactly these moments have been announced."""

        async def there() -> SubmissionView:
            view = await self.view(own)
            assert view.payment is not None
            assert (view.status, view.payment.status, *await self.told(own)) == ("spam", payment, *marks)
            assert view.finished_at is not None
            assert not await self.untold()
            return view

        return await eventually(there, within=60)

    async def steps(self) -> list[str]:
        found = await journey(self.house.hermod, "session-1")
        return [step.kind for step in found.steps]


@asynccontextmanager
async def _till(house: ProductFixture, **payment: Any) -> AsyncIterator[Till]:
    await add_form(house.hermod.core.storage.database, house.hermod.tenant, payment=payment)
    async with calling(create_app(house.hermod.core.settings, hermod=house.hermod)) as web:
        yield Till(house, await stripe_sender(house.hermod, web))


class Ahead:
    """The clock when the sweeper comes by."""

    def __init__(self, by: timedelta = timedelta(0)) -> None:
        self._by = by

    def now(self) -> datetime:
        return datetime.now(UTC) + self._by + 2 * PAYMENTS.unstarted_after


@pytest.fixture
async def till(house: ProductFixture) -> AsyncIterator[Till]:
    async with _till(house, expires_in=3600) as own:
        yield own


@pytest.fixture
async def skipped(skipping: ProductFixture) -> AsyncIterator[Till]:
    """Where a day of waiting takes milliseconds."""
    async with _till(skipping, expires_in="P1D") as own:
        yield own


async def test_payment_fails_and_succeeds_completes_the_submission(till: Till) -> None:
    own = await till.submitted()
    await till.reached(own, "awaiting_payment", "awaited")
    customer = StripePayment(own)
    await till.stripe.send(customer.failed("expired_card"))
    view = await till.reached(own, "awaiting_payment", "failed", "submission.payment_failed:1")
    assert view.payment is not None
    assert view.payment.failure_code == "expired_card"
    paid = customer.succeeded()
    await till.stripe.send(paid, customer.checked_out(), paid)
    marks = ("submission.payment_failed:1", "submission.paid", "submission.completed")
    await till.reached(own, "completed", "paid", *marks)
    kinds = ["submission.received", "payment.failed", "submission.payment_failed", "payment.paid", "submission.paid"]
    assert [kind for kind in await till.steps() if kind in {*kinds, "submission.completed"}] == [
        *kinds,
        "submission.completed",
    ]


async def test_refunds_come_after_the_end_are_each_told_once(till: Till) -> None:
    own = await till.submitted()
    at = datetime.now(UTC)
    customer = StripePayment(own, charged_at=at)
    await till.stripe.send(customer.succeeded(at=at))
    done = ("submission.paid", "submission.completed")
    await till.reached(own, "completed", "paid", *done)
    part = customer.gave_back(500, at=at + timedelta(seconds=1))
    await till.stripe.send(part, customer.refund("created", "re_1", 500, at=at + timedelta(seconds=1)))
    await till.reached(own, "completed", "partially_refunded", *done, "submission.refunded:1")
    await till.stripe.send(part, customer.gave_back(1_000, at=at + timedelta(seconds=2)))
    told = (*done, "submission.refunded:1", "submission.refunded:2")
    await till.reached(own, "completed", "refunded", *told)
    failed = customer.refund("failed", new_id("re"), 1_000, status="failed", made_at=at, at=at + timedelta(seconds=9))
    await till.stripe.send(failed)
    view = await till.reached(own, "completed", "partially_refunded", *told, "submission.refunded:3")
    assert view.payment is not None
    assert view.payment.amount_refunded == 500


async def test_payment_comes_before_its_submission_is_looked_at_is_told_at_once(till: Till) -> None:
    own = await till.submitted()
    await till.stripe.send(StripePayment(own).succeeded())
    await till.reached(own, "completed", "paid", "submission.paid", "submission.completed")


async def test_checkout_expires_ends_the_wait(till: Till) -> None:
    own = await till.submitted()
    await till.stripe.send(StripePayment(own).expired())
    await till.reached(own, "expired", "expired", "submission.expired")
    await till.stripe.send(StripePayment(own).succeeded())
    marks = ("submission.expired", "submission.paid", "submission.completed")
    await till.reached(own, "completed", "paid", *marks)


async def test_signal_is_lost_the_sweeper_tells(till: Till) -> None:
    own = await till.submitted()
    await till.reached(own, "awaiting_payment", "awaited")
    core = till.house.hermod.core

    async def lost(tenant: str, submission: str) -> bool:
        return False

    desk = PaymentAcceptor(core.storage.payments, lost, core.clock)
    await desk.take(till.house.hermod.tenant, read_event(StripePayment(own).succeeded()))
    await desk.drain()
    assert (await PaymentAcceptor(core.storage.payments, core.submissions.wake, Ahead()).sweep()).restarted >= 1
    await till.reached(own, "completed", "paid", "submission.paid", "submission.completed")


async def test_workflow_is_terminated_before_it_has_told_the_sweeper_begins_it_again(till: Till) -> None:
    own = await till.submitted()
    await till.reached(own, "awaiting_payment", "awaited")
    core = till.house.hermod.core
    woken = till.house.hermod.core.temporal.get_workflow_handle(ids.submission_workflow(till.house.hermod.tenant, own))

    async def terminated(tenant: str, submission: str) -> bool:
        await woken.terminate("an operator's word")
        return True

    desk = PaymentAcceptor(core.storage.payments, terminated, core.clock)
    await desk.take(till.house.hermod.tenant, read_event(StripePayment(own).succeeded()))
    await desk.drain()
    woken_again = []

    async def wake(tenant: str, submission: str) -> bool:
        woken_again.append(submission)
        return await core.submissions.wake(tenant, submission)

    await PaymentAcceptor(core.storage.payments, wake, Ahead()).sweep()
    assert own not in woken_again, "just woken"
    await PaymentAcceptor(core.storage.payments, wake, Ahead(PAYMENTS.stalled_after)).sweep()
    assert own in woken_again
    await till.reached(own, "completed", "paid", "submission.paid", "submission.completed")
    assert own not in await till.untold()


async def test_failed_payment_is_told_and_wakes_nobody_again(till: Till) -> None:
    own = await till.submitted()
    await till.reached(own, "awaiting_payment", "awaited")
    await till.stripe.send(StripePayment(own).failed("expired_card"))
    await till.reached(own, "awaiting_payment", "failed", "submission.payment_failed:1")

    async def settled() -> bool:
        return own not in await till.untold()

    await eventually(settled)


async def test_nobody_pays_expires_and_money_that_comes_late_completes_it(skipped: Till) -> None:
    own = await skipped.submitted()
    await skipped.reached(own, "expired", "expired", "submission.expired")
    await skipped.stripe.send(StripePayment(own).failed())
    await skipped.stripe.send(StripePayment(own).succeeded())
    marks = ("submission.expired", "submission.paid", "submission.completed")
    await skipped.reached(own, "completed", "paid", *marks)
    assert "payment.late" in await skipped.steps()


async def test_bank_takes_days_is_not_expired_meanwhile(skipped: Till) -> None:
    own = await skipped.accepted()
    customer = StripePayment(own)
    await skipped.stripe.send(customer.checked_out("unpaid"))
    await skipped.reached(own, "awaiting_payment", "processing")
    await skipped.stripe.send(customer.paid_later())
    await skipped.reached(own, "completed", "paid", "submission.paid", "submission.completed")


async def test_payment_for_what_was_caught_as_spam_is_told_and_may_be_released(house: ProductFixture) -> None:
    database, tenant = house.hermod.core.storage.database, house.hermod.tenant
    await add_form(database, tenant, payment={"expires_in": 3600}, spam={"honeypot": "website"})
    async with calling(create_app(house.hermod.core.settings, hermod=house.hermod)) as web:
        till = Till(house, await stripe_sender(house.hermod, web))
        own = (await house.hermod.submit("order", {"website": "filled by a browser"}, session="session-1")).id
        customer = StripePayment(own)
        await till.stripe.send(customer.failed())
        await till.stripe.send(customer.succeeded())
        view = await till.caught(own, "paid", "submission.paid")
        assert view.caught_by is not None
        await till.stripe.send(customer.gave_back(500))
        await till.caught(own, "partially_refunded", "submission.paid", "submission.refunded:1")
        await release_submission(house.hermod, own)
        marks = ("submission.paid", "submission.refunded:1", "submission.completed")
        view = await till.reached(own, "completed", "partially_refunded", *marks)
        assert (view.data, view.caught_by is not None) == ({}, True)
