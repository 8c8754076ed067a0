"""`/v1/webhook-deliveries/{id}/curl`: an attempt, to be made again by hand."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Path, Query
from pydantic import Field
from starlette.responses import Response

from hermod.contracts.errors import NotFound
from hermod.contracts.values.model import Model
from starter.webhooks.curl import attempt_as_curl
from web.authentication import Caller
from web.reference import answers, id_pattern

router: Final = APIRouter(tags=["webhooks"])


class AttemptQuery(Model):
    attempt: Annotated[int, Field(ge=1, le=100_000)] | None = Field(
        default=None, description="Its number; the last one without it."
    )


@router.get(
    "/v1/webhook-deliveries/{id}/curl",
    summary="An attempt as a shell script",
    responses={
        200: {
            "description": "A script for `sh` around curl.",
            "content": {"text/plain": {"schema": {"type": "string"}}},
        },
        **answers({}, 401, 404, 422, 503),
    },
)
async def show_attempt_as_curl(
    delivery: Annotated[
        str, Path(description="`whd_…`, the delivery's id.", alias="id", json_schema_extra=id_pattern("whd_"))
    ],
    hermod: Caller,
    query: Annotated[AttemptQuery, Query()],
) -> Response:
    """The same address, headers and bytes, signed anew when it is run. It has no secrets in it and asks for them in
    the environment: `WEBHOOK_SECRET`, and a `HEADER_…` for each custom header.
    """
    if len(delivery) > 64 or not (delivery.isascii() and delivery.isprintable()):
        raise NotFound("there is no such delivery")
    script = await attempt_as_curl(hermod, delivery, query.attempt)
    return Response(script, headers={"cache-control": "no-store"}, media_type="text/plain")
