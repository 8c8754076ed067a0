"""`/v1/retention`: how long and how many of a tenant's records are kept."""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from hermod.contracts.tenants.retention import Retention
from hermod.storage.operations.retention import TenantRetention
from starter.notifications.parsing import checked
from web.authentication import Caller
from web.bodies import answer, read_json_body
from web.examples import SCHEMAS
from web.reference import answers

MAX_RETENTION_BYTES: Final = 16 * 1024
_BODY: Final[dict[str, Any]] = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {"$ref": SCHEMAS + "Retention"},
            "example": {
                "messages": {"completed": {"age": "24h", "count": 100}, "failed": {"age": "7d", "count": 50}},
            },
        }
    },
}

router: Final = APIRouter(prefix="/v1/retention", tags=["limits"])


@router.get(
    "",
    summary="How long records are kept",
    responses=answers({200: (Retention, "Null is the default of this installation.")}, 401, 503),
)
async def show_retention(hermod: Caller) -> Response:
    return answer(await TenantRetention(hermod.core.storage.database).get(hermod.tenant))


@router.put(
    "",
    summary="Say how long and how many records are kept",
    responses=answers({200: (Retention, "Replaced; at work within the hour.")}, 400, 401, 413, 422, 503),
    openapi_extra={"requestBody": _BODY},
)
async def put_retention(request: Request, hermod: Caller) -> Response:
    """By kind of record, and by how it ended: a record goes with all that hangs on it when it is older than `age`, or
    when `count` newer ones have ended. Open records never go, nothing within an hour of its end, and a message with an
    idempotency key not within a day.
    """
    retention = checked(Retention, await read_json_body(request, MAX_RETENTION_BYTES))
    core = hermod.core
    stored = TenantRetention(core.storage.database)
    return answer(await stored.put(hermod.tenant, retention, actor=hermod.actor, now=core.clock.now()))
