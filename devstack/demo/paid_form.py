"""A form that somebody pays for, as `make demo` shows it: submitted, declined, paid, and partly given back.

Stripe is played by `devstack.demo.stripe_stand_in`, which calls the product's own address, signed.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import httpx

from devstack.demo.stripe_stand_in import StripePayment, printed, signed
from hermod.contracts.forms.forms import PaymentStatus, SubmissionStatus
from hermod.contracts.journeys import JourneyStep
from starter import Hermod
from starter.forms.forms import put_form
from starter.forms.journeys import journey
from starter.forms.payments import put_stripe_account
from starter.forms.submissions import submission

FORM: Final = "order"
_SECRET: Final = "whsec_showcase"
_DEFINITION: Final = {
    "name": "Order",
    "schema": {"type": "object", "required": ["cups"], "properties": {"cups": {"type": "integer", "minimum": 1}}},
    "payment": {"required": True, "expires_in": "PT1H"},
}
_WAIT_SECONDS: Final = 30.0
_POLL_SECONDS: Final = 0.1


async def show_paid_form(hermod: Hermod) -> tuple[JourneyStep, ...]:
    """What became of it, step by step. Needs a public address, where the product answers."""
    await put_form(hermod, FORM, _DEFINITION)
    await put_stripe_account(hermod, {"secrets": [_SECRET], "livemode": False})
    session = f"showcase-{secrets.token_hex(8)}"
    own = (await hermod.submit(FORM, {"cups": 3}, session=session)).id
    now = datetime.now(UTC)
    customer = StripePayment(own, amount=1_250, charged_at=now)
    await _call(hermod, customer.failed("insufficient_funds", at=now))
    await _call(hermod, customer.succeeded(at=now + timedelta(seconds=1)))
    await _until(hermod, own, PaymentStatus.PAID)
    await _call(hermod, customer.gave_back(250, at=now + timedelta(seconds=2)))
    return await _until(hermod, own, PaymentStatus.PARTIALLY_REFUNDED, session=session)


async def _call(hermod: Hermod, event: dict[str, Any]) -> None:
    call = signed(printed(event), _SECRET)
    url = f"{hermod.core.settings.public_url}/ingress/stripe/{hermod.tenant}"
    async with httpx.AsyncClient(timeout=15, trust_env=False) as stripe:
        (await stripe.post(url, content=call.body, headers=call.headers)).raise_for_status()


async def _until(
    hermod: Hermod, own: str, status: PaymentStatus, *, session: str | None = None
) -> tuple[JourneyStep, ...]:
    """The journey, once the payment stands so and has been told, or as it is when the patience is over."""
    begun = time.monotonic()
    while True:
        view = await submission(hermod, own)
        steps = (await journey(hermod, session)).steps if session is not None else ()
        there = view.payment is not None and view.payment.status is status and view.status is SubmissionStatus.COMPLETED
        told = session is None or any(step.kind == "submission.refunded" for step in steps)
        if (there and told) or time.monotonic() - begun > _WAIT_SECONDS:
            return steps
        await asyncio.sleep(_POLL_SECONDS)
