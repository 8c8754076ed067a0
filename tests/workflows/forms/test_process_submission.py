"""The story of a submission: saved, paid, told; with a backend that is away or refuses, and payments that come late."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError
from temporalio.exceptions import ApplicationError

from hermod.contracts.forms.forms import SubmissionStatus
from starter.forms.submissions import retry_submission
from tests.support.forms.backends import BACKENDS, TOKEN, own_backend
from tests.support.forms.product import ENTERED, add_form, ended, pay, submitted, told
from tests.support.polling import eventually
from tests.support.product import ProductFixture
from tests.support.resetting import reset

PAYMENT: dict[str, Any] = {"payment": {"required": True, "expires_in": "PT1H"}}


async def status_of(house: ProductFixture, workflow_id: str) -> WorkflowExecutionStatus | None:
    return (await house.client.get_workflow_handle(workflow_id).describe()).status


async def closed(house: ProductFixture, workflow_id: str, status: WorkflowExecutionStatus) -> None:
    async def there() -> bool:
        return await status_of(house, workflow_id) is status

    await eventually(there)


async def test_submission_without_payment_or_backend_is_completed(skipping: ProductFixture) -> None:
    await add_form(skipping)
    view = await ended(skipping, await submitted(skipping), SubmissionStatus.COMPLETED)
    assert view.data == ENTERED
    assert await told(skipping, view.id) == ["submission.completed"]
    await closed(skipping, view.workflow_id, WorkflowExecutionStatus.COMPLETED)


async def test_backend_takes_the_submission_and_its_id_is_kept(skipping: ProductFixture) -> None:
    await add_form(skipping)
    async with own_backend() as backend, BACKENDS.at(skipping.hermod.tenant, backend.url):
        own = await submitted(skipping, contact="c-7", metadata={"page": "/pricing"}, request_id="req-1")
        view = await ended(skipping, own, SubmissionStatus.COMPLETED)
    ((headers, document),) = backend.calls
    assert headers["authorization"] == f"Token {TOKEN}"
    assert headers["idempotency-key"] == own
    assert headers["x-request-id"] == "req-1"
    assert (document["id"], document["form"], document["data"]) == (own, "signup", ENTERED)
    assert (document["contact"], document["metadata"]) == ("c-7", {"page": "/pricing"})
    assert view.backend_id == "1"


async def test_backend_away_for_an_hour_takes_the_submission_once_when_it_is_back(skipping: ProductFixture) -> None:
    await add_form(skipping)
    async with own_backend() as backend, BACKENDS.at(skipping.hermod.tenant, backend.url):
        # Waits of 2, 4, 8 … seconds up to five minutes: the hour is over after some twenty requests.
        backend.decide = lambda attempt: 503 if attempt <= 20 else 201
        own = await submitted(skipping)
        view = await ended(skipping, own, SubmissionStatus.COMPLETED, within=30)
    assert len(backend.calls) == 21
    assert backend.kept == {own: 1}
    assert view.error_code is None
    history = await skipping.client.get_workflow_handle(view.workflow_id).fetch_history()
    took = history.events[-1].event_time.ToDatetime() - history.events[0].event_time.ToDatetime()
    assert took > timedelta(hours=1)


async def test_backend_asks_for_a_pause_is_given_it(skipping: ProductFixture) -> None:
    await add_form(skipping)
    async with own_backend() as backend, BACKENDS.at(skipping.hermod.tenant, backend.url):
        backend.decide = lambda attempt: (429, {"retry-after": "7200"}) if attempt == 1 else 201
        view = await ended(skipping, await submitted(skipping), SubmissionStatus.COMPLETED)
    history = await skipping.client.get_workflow_handle(view.workflow_id).fetch_history()
    took = history.events[-1].event_time.ToDatetime() - history.events[0].event_time.ToDatetime()
    assert timedelta(hours=2) <= took < timedelta(hours=3)


async def test_backend_refuses_is_a_dead_letter_without_what_was_entered(skipping: ProductFixture) -> None:
    await add_form(skipping)
    async with own_backend() as backend, BACKENDS.at(skipping.hermod.tenant, backend.url):
        backend.decide = lambda attempt: 400 if attempt == 1 else 201
        view = await ended(skipping, await submitted(skipping), SubmissionStatus.FAILED)
        assert (view.error_code, view.error) == ("backend_400", "the backend answered 400 about email")
        assert await told(skipping, view.id) == []
        with pytest.raises(WorkflowFailureError) as failed:
            await skipping.client.get_workflow_handle(view.workflow_id).result()
        cause = failed.value.cause
        assert isinstance(cause, ApplicationError)
        assert (cause.type, cause.message) == ("DeadLetter", "given up: backend_400")
        await retry_submission(skipping.hermod, view.id)
        again = await ended(skipping, view.id, SubmissionStatus.COMPLETED)
    assert (again.error_code, again.workflow_id) == (None, view.workflow_id)


@pytest.mark.parametrize("to_last", [False, True])
async def test_dead_letter_reset_in_temporal_tries_again(skipping: ProductFixture, to_last: bool) -> None:
    await add_form(skipping)
    async with own_backend() as backend, BACKENDS.at(skipping.hermod.tenant, backend.url):
        backend.decide = lambda attempt: 422 if attempt == 1 else 201
        view = await ended(skipping, await submitted(skipping), SubmissionStatus.FAILED)
        await closed(skipping, view.workflow_id, WorkflowExecutionStatus.FAILED)
        await reset(skipping.client, view.workflow_id, to_last=to_last)
        await ended(skipping, view.id, SubmissionStatus.COMPLETED)
        await closed(skipping, view.workflow_id, WorkflowExecutionStatus.COMPLETED)
    assert len(backend.calls) == 2


async def test_dead_letter_that_is_woken_by_a_payment_stays_one_and_the_backend_is_left_alone(
    skipping: ProductFixture,
) -> None:
    await add_form(skipping)
    async with own_backend() as backend, BACKENDS.at(skipping.hermod.tenant, backend.url):
        backend.decide = lambda attempt: 422
        view = await ended(skipping, await submitted(skipping), SubmissionStatus.FAILED)
        await closed(skipping, view.workflow_id, WorkflowExecutionStatus.FAILED)
        first = (await skipping.client.get_workflow_handle(view.workflow_id).describe()).run_id
        await skipping.hermod.core.submissions.wake(skipping.hermod.tenant, view.id)
        await closed(skipping, view.workflow_id, WorkflowExecutionStatus.FAILED)
    assert (await skipping.client.get_workflow_handle(view.workflow_id).describe()).run_id != first
    assert len(backend.calls) == 1
    assert (await ended(skipping, view.id)).status is SubmissionStatus.FAILED


async def test_payment_that_never_comes_expires(skipping: ProductFixture) -> None:
    await add_form(skipping, **PAYMENT)
    view = await ended(skipping, await submitted(skipping), SubmissionStatus.EXPIRED)
    assert view.payment is not None
    assert view.payment.status == "expired"
    assert await told(skipping, view.id) == ["submission.expired"]
    await closed(skipping, view.workflow_id, WorkflowExecutionStatus.COMPLETED)


async def test_payment_comes_wakes_the_submission_and_a_refund_after_the_end_is_told(house: ProductFixture) -> None:
    await add_form(house, **PAYMENT)
    wake = house.hermod.core.submissions.wake
    own = await submitted(house)
    await ended(house, own, SubmissionStatus.AWAITING_PAYMENT)
    await pay(house, own, "failed", failures=1, code="card_declined")
    await wake(house.hermod.tenant, own)
    await eventually(lambda: _has_told(house, own, "submission.payment_failed:1"))
    await pay(house, own, "paid", failures=1)
    await wake(house.hermod.tenant, own)
    view = await ended(house, own, SubmissionStatus.COMPLETED)
    await closed(house, view.workflow_id, WorkflowExecutionStatus.COMPLETED)
    await pay(house, own, "partially_refunded", refunded=900, refunds=1, failures=1)
    await wake(house.hermod.tenant, own)
    await eventually(lambda: _has_told(house, own, "submission.refunded:1"))
    assert await told(house, own) == [
        "submission.payment_failed:1",
        "submission.paid",
        "submission.completed",
        "submission.refunded:1",
    ]
    assert (await ended(house, own)).status is SubmissionStatus.COMPLETED


async def test_payment_and_expiry_come_at_the_same_moment_one_of_them_counts(skipping: ProductFixture) -> None:
    await add_form(skipping, **PAYMENT)
    ids = await asyncio.gather(*(submitted(skipping) for _ in range(6)))

    async def paid(own: str) -> None:
        await pay(skipping, own, "paid")
        await skipping.hermod.core.submissions.wake(skipping.hermod.tenant, own)

    await asyncio.gather(*map(paid, ids))
    for own in ids:
        await ended(skipping, own, SubmissionStatus.COMPLETED)
        assert (await told(skipping, own))[-2:] == ["submission.paid", "submission.completed"]


async def _has_told(house: ProductFixture, own: str, mark: str) -> bool:
    return mark in await told(house, own)
