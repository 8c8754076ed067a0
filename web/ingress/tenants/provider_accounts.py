"""`/v1/provider-accounts`: a tenant's accounts at its providers. Credentials go in and never come out."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Path
from starlette.requests import Request
from starlette.responses import Response

from hermod.contracts.tenants.accounts import AccountInput, AccountView
from hermod.contracts.values.model import Model
from starter.notifications.parsing import checked
from starter.tenants.accounts import save_account
from web.authentication import Caller
from web.bodies import answer, read_json_body
from web.examples import ACCOUNT_BODY
from web.reference import answers

MAX_ACCOUNT_BYTES: Final = 64 * 1024

router: Final = APIRouter(prefix="/v1/provider-accounts", tags=["provider accounts"])
AccountName = Annotated[
    str, Path(description="Lower-case letters, digits, `-` and `_`.", pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")
]


class AccountList(Model):
    items: tuple[AccountView, ...]
    next_cursor: str | None = None


@router.put(
    "/{name}",
    summary="Create or replace an account",
    responses=answers(
        {
            200: (AccountView, "Replaced. Its breaker is closed, as it may work now."),
            201: (AccountView, "Created."),
        },
        400,
        401,
        413,
        422,
        503,
    ),
    openapi_extra={"requestBody": ACCOUNT_BODY},
)
async def put_account(name: AccountName, request: Request, hermod: Caller) -> Response:
    """Settings that could never work are refused, field by field. Leave `credentials` out to keep the stored ones.

    With another `provider` or `base_url` they are needed again: stored credentials never go to a new address.
    """
    account = checked(AccountInput, await read_json_body(request, MAX_ACCOUNT_BYTES))
    saved = await save_account(hermod, name, account)
    return answer(saved.view, 201 if saved.created else 200)


@router.delete(
    "/{name}",
    summary="Delete an account",
    status_code=204,
    responses={204: {"description": "It is gone, with its credentials."}, **answers({}, 401, 404, 409, 422, 503)},
)
async def delete_account(name: AccountName, hermod: Caller) -> Response:
    """Refused (409) while messages name it or wait for it, while a request is under way, or while a message may have
    arrived there and only its report can tell; `detail` counts them. What was sent by it stays on record.
    """
    core = hermod.core
    await core.storage.accounts.delete(hermod.tenant, name, actor=hermod.actor, now=core.clock.now())
    return Response(status_code=204)


@router.get(
    "/{name}",
    summary="An account",
    responses=answers({200: (AccountView, "Its settings, and whether it can send now.")}, 401, 404, 422, 503),
)
async def show_account(name: AccountName, hermod: Caller) -> Response:
    core = hermod.core
    return answer(await core.storage.accounts.get(hermod.tenant, name, core.clock.now()))


@router.get(
    "",
    summary="List accounts",
    responses=answers({200: (AccountList, "By channel, in the order in which they are tried.")}, 401, 503),
)
async def list_accounts(hermod: Caller) -> Response:
    core = hermod.core
    return answer(AccountList(items=tuple(await core.storage.accounts.all(hermod.tenant, core.clock.now()))))
