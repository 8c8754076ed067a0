"""The courses of ProcessSubmission."""

from __future__ import annotations

from typing import Any

from hermod.contracts.forms.forms import SubmissionStatus
from hermod.contracts.ids import submission_workflow
from tests.support.forms.backends import BACKENDS, own_backend
from tests.support.forms.product import add_form, ended, pay, submitted
from tests.support.polling import eventually
from tests.support.product import ProductFixture

PAYMENT: dict[str, Any] = {"payment": {"required": True, "expires_in": "PT1H"}}


async def process_submission_completed(house: ProductFixture) -> str:
    await add_form(house)
    return _workflow(house, await submitted(house))


async def process_submission_expired(house: ProductFixture) -> str:
    await add_form(house, **PAYMENT)
    return _workflow(house, await submitted(house))


async def process_submission_dead_letter(house: ProductFixture) -> str:
    """After a request to a backend that was away, and one that was refused."""
    await add_form(house)
    async with own_backend() as backend, BACKENDS.at(house.hermod.tenant, backend.url):
        backend.decide = lambda attempt: 503 if attempt == 1 else 400
        own = await submitted(house)
        await ended(house, own, SubmissionStatus.FAILED)
    return _workflow(house, own)


async def process_submission_paid(house: ProductFixture) -> str:
    await add_form(house, **PAYMENT)
    own = await submitted(house)
    handle = house.client.get_workflow_handle(_workflow(house, own))
    await ended(house, own, SubmissionStatus.AWAITING_PAYMENT)

    async def waits() -> bool:
        events = (await handle.fetch_history()).events
        return any(event.HasField("timer_started_event_attributes") for event in events)

    await eventually(waits)
    await pay(house, own, "paid")
    await house.hermod.core.submissions.wake(house.hermod.tenant, own)
    return handle.id


def _workflow(house: ProductFixture, submission: str) -> str:
    return submission_workflow(house.hermod.tenant, submission)
