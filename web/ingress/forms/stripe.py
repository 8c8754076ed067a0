"""`/ingress/stripe`: where Stripe tells what became of payments. Its signature stands for an API key.

Everything that is wrong is 400, as Stripe's own examples answer. What is wrong with who calls is so in the same words:
a wrong signature, one that is too old, no such tenant, a tenant without an account at Stripe. Whoever guesses addresses
learns nothing from the answers.
"""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Path
from starlette.requests import Request
from starlette.responses import Response

from hermod.contracts.ids import TENANT_PATTERN
from hermod.domain.payments.stripe_signatures import HEADER
from starter.forms.payments import receive_stripe, stripe_sender
from web.bodies import MIB, unverified_body
from web.context import context_of, core_of
from web.reference import answers

MAX_EVENT_BYTES: Final = MIB

router: Final = APIRouter(prefix="/ingress/stripe", tags=["payments"])
Tenant = Annotated[str, Path(description="Whose account it is.", json_schema_extra={"pattern": TENANT_PATTERN})]

_BAD: Final = "A wrong signature or an old one, an event of the other mode, or nothing that can be read."
_ANSWERS: Final = {
    200: {"description": "Kept, known already, or of no interest here."},
    400: answers({}, 400)[400] | {"description": _BAD},
    **answers({}, 413, 503),
}


@router.post("/{tenant}", summary="Stripe reports", responses=_ANSWERS)
async def take_payment_event(tenant: Tenant, request: Request) -> Response:
    """Give this address to Stripe as a webhook for snapshot events, and its signing secret to the payment account.

    The answer comes when the event is durable; until then Stripe repeats the call. Repeats change nothing.
    """
    core = core_of(request)
    account = await stripe_sender(core, tenant)
    async with unverified_body(request, MAX_EVENT_BYTES, keep=MAX_EVENT_BYTES if account else 0) as body:
        await receive_stripe(core, tenant, account, body, request.headers.getlist(HEADER))
    context_of(request).tenant = tenant
    return Response(status_code=200)
