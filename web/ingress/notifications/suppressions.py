"""`/v1/suppressions`: addresses that get no more messages."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from hermod.contracts.errors import NotFound
from hermod.contracts.notifications.content import Channel, Line
from hermod.contracts.notifications.suppressions import Reason, SuppressionInput, SuppressionPage, SuppressionView
from hermod.contracts.values.model import Model
from starter.notifications.parsing import checked
from starter.notifications.suppressions import allow, suppress, suppressions
from web.authentication import Caller
from web.bodies import answer, read_json_body
from web.examples import SCHEMAS
from web.reference import answers, id_pattern

MAX_SUPPRESSION_BYTES: Final = 16 * 1024
_ID: Final = r"^sup_[0-9a-f]{28}$"

router: Final = APIRouter(prefix="/v1/suppressions", tags=["suppressions"])
SuppressionId = Annotated[
    str, Path(description="`sup_…`, as the list shows it.", alias="id", json_schema_extra=id_pattern("sup_"))
]

_BODY: Final[dict[str, Any]] = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {"$ref": SCHEMAS + "SuppressionInput"},
            "examples": {
                "marketing": {
                    "summary": "No more marketing mail",
                    "value": {"address": "ada@example.com", "channel": "email", "category": "marketing"},
                },
                "everything": {
                    "summary": "Nothing at all until May",
                    "value": {"address": "+14155550100", "detail": "ticket 4711", "expires_at": "2100-05-01T00:00:00Z"},
                },
            },
        }
    },
}


class SuppressionQuery(Model):
    """What a list may be narrowed to."""

    address: Annotated[Line, Field(max_length=998)] | None = None
    channel: Channel | None = None
    reason: Reason | None = None
    cursor: Annotated[str, Field(pattern=_ID)] | None = Field(
        default=None, description="`next_cursor` of the page before."
    )
    limit: Annotated[int, Field(ge=1, le=200)] = 50


@router.post(
    "",
    summary="Suppress an address",
    status_code=201,
    responses=answers(
        {
            201: (SuppressionView, "Nothing more is sent there."),
            200: (SuppressionView, "There was one already; this is what stands now."),
        },
        400,
        401,
        413,
        422,
        503,
    ),
    openapi_extra={"requestBody": _BODY},
)
async def add_suppression(request: Request, hermod: Caller) -> Response:
    """Without a channel it holds for all of them, without a category for both.

    Messages that are accepted already are checked at the instant at which they would be sent. A stronger suppression
    of the same address, channel and category stays as it is.
    """
    asked = checked(SuppressionInput, await read_json_body(request, MAX_SUPPRESSION_BYTES))
    saved = await suppress(hermod, asked)
    return answer(saved.view, 201 if saved.created else 200)


@router.get(
    "",
    summary="List suppressions",
    responses=answers({200: (SuppressionPage, "Those in force, newest first.")}, 401, 422, 503),
)
async def list_suppressions(hermod: Caller, query: Annotated[SuppressionQuery, Query()]) -> Response:
    page = await suppressions(
        hermod,
        address=query.address,
        channel=query.channel,
        reason=query.reason,
        cursor=query.cursor,
        limit=query.limit,
    )
    return answer(page)


@router.delete(
    "/{id}",
    summary="Let an address have messages again",
    status_code=204,
    responses={204: {"description": "It is gone."}, **answers({}, 401, 404, 503)},
)
async def remove_suppression(suppression: SuppressionId, hermod: Caller) -> Response:
    """Whatever the reason. What a recipient asked for should only be taken away when they ask for it."""
    if len(suppression) > 64 or not (suppression.isascii() and suppression.isprintable()):
        raise NotFound("there is no such suppression")
    await allow(hermod, suppression)
    return Response(status_code=204)
