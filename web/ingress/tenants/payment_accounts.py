"""`/v1/payment-accounts`: a tenant's account at Stripe, and what Stripe has told. Secrets go in and never come out."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from hermod.contracts.forms.payments import PaymentEventPage, StripeAccountInput, StripeAccountView
from starter.forms.payments import delete_stripe_account, payment_events, put_stripe_account, stripe_account
from web.authentication import Caller
from web.bodies import answer, read_json_body
from web.examples import SCHEMAS
from web.reference import QueryFlag, answers

MAX_ACCOUNT_BYTES: Final = 16 * 1024

router: Final = APIRouter(prefix="/v1", tags=["payments"])

_BODY: Final = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {"$ref": SCHEMAS + StripeAccountInput.__name__},
            "example": {"secrets": ["whsec_secret"], "livemode": False},
        }
    },
}


@router.put(
    "/payment-accounts/stripe",
    summary="Create or replace the account at Stripe",
    responses=answers({200: (StripeAccountView, "Saved; it holds from now on.")}, 400, 401, 413, 422, 503),
    openapi_extra={"requestBody": _BODY},
)
async def put_payment_account(request: Request, hermod: Caller) -> Response:
    """`secrets` are the signing secrets of the webhooks at Stripe. Leave them out to keep the stored ones."""
    return answer(await put_stripe_account(hermod, await read_json_body(request, MAX_ACCOUNT_BYTES)))


@router.get(
    "/payment-accounts/stripe",
    summary="The account at Stripe",
    responses=answers({200: (StripeAccountView, "Its mode, and what to set up at Stripe.")}, 401, 404, 503),
)
async def show_payment_account(hermod: Caller) -> Response:
    return answer(await stripe_account(hermod))


@router.delete(
    "/payment-accounts/stripe",
    status_code=204,
    summary="Remove the account at Stripe",
    responses={204: {"description": "It is gone."}, **answers({}, 401, 404, 503)},
)
async def delete_payment_account(hermod: Caller) -> Response:
    """Calls of Stripe are refused from now on. What it has told stays."""
    await delete_stripe_account(hermod)
    return Response(status_code=204)


@router.get(
    "/payment-events",
    summary="What Stripe has told",
    responses=answers({200: (PaymentEventPage, "The newest first. Nothing of the payer is kept.")}, 401, 422, 503),
)
async def list_payment_events(
    hermod: Caller,
    submission: Annotated[str | None, Query(description="Of this one only.", pattern=r"^sub_[0-9a-f]{28}$")] = None,
    unlinked: Annotated[QueryFlag, Query(description="Only those of payments that belong to no submission.")] = False,
    cursor: Annotated[
        str | None, Query(description="`next_cursor` of the page before.", pattern=r"^[A-Za-z0-9_-]{1,255}$")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> Response:
    return answer(await payment_events(hermod, submission=submission, unlinked=unlinked, cursor=cursor, limit=limit))
