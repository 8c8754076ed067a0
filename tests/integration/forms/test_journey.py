"""One visitor's way through the whole product, and how it reads afterwards."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from devstack.demo.stripe_stand_in import StripePayment
from hermod.contracts.forms.forms import PartialStatus, SubmissionStatus
from hermod.contracts.journeys import JourneyView
from starter.forms.journeys import journey
from starter.forms.partials import partial, resumed
from tests.integration.api.conftest import calling
from tests.integration.delivery.reports.test_reporting import SECRET, Exchange
from tests.support.forms.product import add_form, ended
from tests.support.forms.stripe_sender import stripe_sender
from tests.support.polling import eventually
from tests.support.product import ProductFixture
from tests.support.webhooks.product import add_endpoint
from tests.support.webhooks.receiver import receiving
from web.app import create_app

VISITOR = {"email": "ada@example.com", "name": "Ada"}
SESSION, CONTACT = "3f9a1c07d2e84b65", "customer-42"


def mail(moment: str, subject: str, text: str) -> dict[str, object]:
    content = {"subject": subject, "text": text}
    return {"channel": "email", "to": "{{ data.email }}", "on": moment, "content": content}


FORM = {
    "payment": {"expires_in": "PT1H"},
    "partials": {"abandon_after": 1, "resume_url": "https://shop.example.com/go-on/{token}"},
    "on_submit": {
        "notifications": [
            mail("form.abandoned", "You left something", "Go on: {{ resume_url }}"),
            mail("submission.paid", "Your receipt", "Thank you, {{ data.name }}."),
        ]
    },
}

UP_TO_THE_PAYMENT = [
    *("form.partial", "form.abandoned"),
    *("message.accepted", "message.sent", "message.delivered", "message.opened", "message.clicked"),
    *("form.recovered", "submission.received", "payment.paid", "submission.paid"),
]
AFTER_IT = [
    *("message.accepted", "webhook.accepted", "message.sent", "submission.completed"),
    *("webhook.delivered", "message.delivered"),
]


@pytest.fixture
async def exchange(house: ProductFixture) -> AsyncIterator[Exchange]:
    await house.add_account("mail", credentials=SECRET)
    async with calling(create_app(house.hermod.core.settings, hermod=house.hermod)) as client:
        yield Exchange(house, client)


async def message_for(house: ProductFixture, moment: str) -> str:
    """The message that the moment has made, once it is sent."""

    async def made() -> str | None:
        steps = (await journey(house.hermod, SESSION)).steps
        found = [one.reference for one in steps if one.kind == "message.accepted" and one.detail["moment"] == moment]
        return found[0] if found else None

    own = await eventually(made)
    await house.ended(own)
    return own


async def test_visitor_leaves_is_reminded_comes_back_and_pays_reads_as_one_journey(exchange: Exchange) -> None:
    house, hermod = exchange.house, exchange.house.hermod
    async with receiving() as receiver:
        await add_endpoint(house, receiver.url, event_types=["submission.paid"])
        await add_form(house, "checkout", **FORM)
        kept = await hermod.save_partial("checkout", SESSION, VISITOR, revision=1, contact=CONTACT)

        reminder = await message_for(house, "form.abandoned")
        assert (await partial(hermod, "checkout", SESSION)).status is PartialStatus.ABANDONED
        await exchange.report(reminder, "delivered", "opened", "clicked")
        entered = (await resumed(hermod.core, kept.resume_token)).data
        assert entered == VISITOR

        submission = (await hermod.submit("checkout", entered, session=SESSION)).id
        await ended(house, submission, SubmissionStatus.AWAITING_PAYMENT)
        await (await stripe_sender(hermod, exchange.web)).send(StripePayment(submission, amount=4_900).succeeded())
        await ended(house, submission, SubmissionStatus.COMPLETED)
        receipt = await message_for(house, "submission.paid")
        await exchange.report(receipt, "delivered")
        await eventually(lambda: len(receiver.calls) == 1)

    view = await eventually(lambda: _with(house, "webhook.delivered"))
    assert (view.contacts, view.sessions) == ((CONTACT,), (SESSION,))
    kinds = [step.kind for step in view.steps]
    assert kinds[:11] == UP_TO_THE_PAYMENT
    assert sorted(kinds[11:]) == sorted(AFTER_IT)
    assert [step.at for step in view.steps] == sorted(step.at for step in view.steps)
    assert {step.reference for step in view.steps} >= {SESSION, reminder, submission, receipt}
    assert "Ada" not in view.model_dump_json()
    assert "example.com" not in view.model_dump_json()


async def _with(house: ProductFixture, kind: str) -> JourneyView | None:
    view = await journey(house.hermod, CONTACT)
    return view if kind in [step.kind for step in view.steps] else None
