"""`/v1/retry-defaults`: what a tenant's messages wait between attempts where neither they nor their accounts say so."""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from hermod.contracts.notifications.retries import RetryDefaults
from starter.notifications.parsing import checked
from web.authentication import Caller
from web.bodies import answer, read_json_body
from web.examples import SCHEMAS
from web.reference import answers

MAX_DEFAULTS_BYTES: Final = 64 * 1024

router: Final = APIRouter(prefix="/v1/retry-defaults", tags=["limits"])
_BODY: Final[dict[str, Any]] = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {"$ref": SCHEMAS + "RetryDefaults"},
            "examples": {
                "waits": {
                    "summary": "Four attempts, and a preset for SMS",
                    "value": {"default": ["2s", "10s", "1m"], "channels": {"sms": "fallback"}},
                },
                "none": {"summary": "As built in", "value": {}},
            },
        }
    },
}


@router.get(
    "",
    summary="The retry defaults",
    responses=answers({200: (RetryDefaults, "By channel; lists of waits in seconds.")}, 401, 503),
)
async def show_retry_defaults(hermod: Caller) -> Response:
    return answer(await hermod.core.storage.retry_defaults.get(hermod.tenant))


@router.put(
    "",
    summary="Replace the retry defaults",
    responses=answers({200: (RetryDefaults, "Replaced.")}, 400, 401, 413, 422, 503),
    openapi_extra={"requestBody": _BODY},
)
async def put_retry_defaults(request: Request, hermod: Caller) -> Response:
    """What a message names itself counts first, then its provider account's `retry`, its channel's, the `default`, and
    what is built in. Defaults count for messages accepted from then on; what waits already keeps what it has.
    """
    defaults = checked(RetryDefaults, await read_json_body(request, MAX_DEFAULTS_BYTES))
    core, now = hermod.core, hermod.core.clock.now()
    return answer(await core.storage.retry_defaults.put(hermod.tenant, defaults, actor=hermod.actor, now=now))
