"""`/v1/limits`: how fast a tenant's own messages may go, over all accounts and to single domains."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from hermod.contracts.tenants.limits import Limits
from starter.notifications.parsing import checked
from web.authentication import Caller
from web.bodies import answer, read_json_body
from web.examples import LIMITS_BODY
from web.reference import answers

MAX_LIMITS_BYTES: Final = 128 * 1024

router: Final = APIRouter(prefix="/v1/limits", tags=["limits"])


@router.get(
    "",
    summary="The limits",
    responses=answers({200: (Limits, "What applies beside the rates of the accounts.")}, 401, 503),
)
async def show_limits(hermod: Caller) -> Response:
    return answer(await hermod.core.storage.limits.get(hermod.tenant))


@router.put(
    "",
    summary="Replace the limits",
    responses=answers({200: (Limits, "Replaced; at work everywhere within a second.")}, 400, 401, 413, 422, 503),
    openapi_extra={"requestBody": LIMITS_BODY},
)
async def put_limits(request: Request, hermod: Caller) -> Response:
    """A limit that is left out is gone. Messages that a limit holds back wait for it; that spends no attempt."""
    limits = checked(Limits, await read_json_body(request, MAX_LIMITS_BYTES))
    core = hermod.core
    return answer(await core.storage.limits.put(hermod.tenant, limits, actor=hermod.actor, now=core.clock.now()))
