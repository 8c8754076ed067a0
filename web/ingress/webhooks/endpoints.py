"""`/v1/webhook-endpoints`: where events go. Secrets are shown when they are made and never again."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Path, Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from hermod.contracts.errors import NotFound
from hermod.contracts.values.model import Model
from hermod.contracts.webhooks.deliveries import (
    DeliveryAttemptView,
    EndpointPage,
    EndpointSettings,
    EndpointView,
    NewEndpoint,
    NewSecret,
    Rotation,
)
from starter.notifications.parsing import checked, read_json
from starter.webhooks.endpoints import (
    change_endpoint,
    create_endpoint,
    delete_endpoint,
    enable_endpoint,
    list_endpoints,
    rotate_secret,
    show_endpoint,
    try_endpoint,
)
from web.authentication import Caller
from web.bodies import answer, read_json_body, read_json_text
from web.context import context_of
from web.examples import ENDPOINT_BODY, ENDPOINT_CHANGES_BODY, ROTATION_BODY
from web.reference import answers, id_pattern

MAX_ENDPOINT_BYTES: Final = 64 * 1024
_CURSOR: Final = r"^whe_[0-9a-f]{28}$"

router: Final = APIRouter(prefix="/v1/webhook-endpoints", tags=["webhooks"])
EndpointId = Annotated[
    str,
    Path(description="`whe_…`, as the answer to its creation said.", alias="id", json_schema_extra=id_pattern("whe_")),
]


class EndpointQuery(Model):
    """Which page of the list."""

    cursor: Annotated[str, Field(pattern=_CURSOR)] | None = Field(
        default=None, description="`next_cursor` of the page before."
    )
    limit: Annotated[int, Field(ge=1, le=200)] = 50


@router.post(
    "",
    summary="Create an endpoint",
    status_code=201,
    responses=answers(
        {
            201: (
                NewEndpoint,
                "Created. `secret` is shown this once; whoever receives the requests checks them with it.",
            )
        },
        400,
        401,
        413,
        422,
        503,
    ),
    openapi_extra={"requestBody": ENDPOINT_BODY},
)
async def create_webhook_endpoint(request: Request, hermod: Caller) -> Response:
    """Requests follow [Standard Webhooks](https://www.standardwebhooks.com). The URL is https, at a public address.

    `filter` is a list of conditions on the payload, like `{"path": "data.status", "op": "eq", "value": "paid"}`, which
    must all hold. `op` is one of `eq ne gt gte lt lte in exists`; a payload without the path is only `ne`, and
    `exists: false`.

    `retry` is a named schedule (`webhook`: 30 s, 2 min, 10 min, 1 h, 6 h, 24 h; `webhook-fast`: 1, 2, 4, 8, 16 s;
    `webhook-standard`: 5 s, 5 min, 30 min, 2, 5, 10, 14, 20, 24 h), or a list of waits in seconds. Up to 20% are added
    by chance.
    """
    asked = checked(EndpointSettings, await read_json_body(request, MAX_ENDPOINT_BYTES))
    return answer(await create_endpoint(hermod, asked), 201)


@router.get(
    "",
    summary="List endpoints",
    responses=answers({200: (EndpointPage, "The newest first.")}, 401, 422, 503),
)
async def list_webhook_endpoints(hermod: Caller, query: Annotated[EndpointQuery, Query()]) -> Response:
    return answer(await list_endpoints(hermod, cursor=query.cursor, limit=query.limit))


@router.get(
    "/{id}",
    summary="An endpoint",
    responses=answers({200: (EndpointView, "Its settings, its health, and how much waits for it.")}, 401, 404, 503),
)
async def show_webhook_endpoint(endpoint: EndpointId, hermod: Caller) -> Response:
    return answer(await show_endpoint(hermod, _known(endpoint)))


@router.patch(
    "/{id}",
    summary="Change an endpoint",
    responses=answers({200: (EndpointView, "As it is from now on.")}, 400, 401, 404, 413, 422, 503),
    openapi_extra={"requestBody": ENDPOINT_CHANGES_BODY},
)
async def change_webhook_endpoint(endpoint: EndpointId, request: Request, hermod: Caller) -> Response:
    """Only what is named changes. Null takes away what may be missing; `headers` are merged by name, and null takes one
    away.

    `enabled: false` parks what comes for the endpoint. `enabled: true` does what `POST …/enable` does.
    """
    given = await read_json_body(request, MAX_ENDPOINT_BYTES)
    return answer(await change_endpoint(hermod, _known(endpoint), given))


@router.delete(
    "/{id}",
    summary="Delete an endpoint",
    status_code=204,
    responses={204: {"description": "It is gone."}, **answers({}, 401, 404, 503)},
)
async def delete_webhook_endpoint(endpoint: EndpointId, hermod: Caller) -> Response:
    """What is still open for it is cancelled. Its deliveries can be looked at as before."""
    await delete_endpoint(hermod, _known(endpoint))
    return Response(status_code=204)


@router.post(
    "/{id}/rotate-secret",
    summary="Give an endpoint a new secret",
    responses=answers(
        {200: (NewSecret, "Signs from now on; the old secrets beside it until `old_valid_until`.")},
        400,
        401,
        404,
        409,
        413,
        422,
        503,
    ),
    openapi_extra={"requestBody": ROTATION_BODY},
)
async def rotate_webhook_secret(endpoint: EndpointId, request: Request, hermod: Caller) -> Response:
    """Requests carry a signature by each secret, so receivers can change theirs at any time in between.

    With `overlap_hours: 0` the old ones end at once: for a secret that somebody else has seen. A key pair
    (`asymmetric`) stays; for a new one, take `asymmetric` away and set it again.
    """
    body = await read_json_text(request, MAX_ENDPOINT_BYTES)
    asked = checked(Rotation, read_json(body) if body else {})
    return answer(await rotate_secret(hermod, _known(endpoint), asked))


@router.post(
    "/{id}/enable",
    summary="Enable an endpoint",
    responses=answers({200: (EndpointView, "Enabled; pauses and failures are forgotten.")}, 401, 404, 422, 503),
)
async def enable_webhook_endpoint(endpoint: EndpointId, hermod: Caller) -> Response:
    """What was parked in the meantime stays so, until it is replayed: `POST …/replay`."""
    return answer(await enable_endpoint(hermod, _known(endpoint)))


@router.post(
    "/{id}/test",
    summary="Try an endpoint out",
    responses=answers({200: (DeliveryAttemptView, "What came of it, good or bad.")}, 401, 404, 422, 503),
)
async def try_webhook_endpoint(endpoint: EndpointId, request: Request, hermod: Caller) -> Response:
    """Sends a signed event of the type `hermod.test` right now, and waits for the answer. Nothing is stored or
    repeated, and the endpoint's health stays as it is. It works for a disabled endpoint, too.
    """
    tried = await try_endpoint(hermod, _known(endpoint), request_id=context_of(request).request_id)
    return answer(tried)


def _known(endpoint: str) -> str:
    """An id that could be one. What could not never reaches the database."""
    if len(endpoint) > 64 or not (endpoint.isascii() and endpoint.isprintable()):
        raise NotFound("there is no such webhook endpoint")
    return endpoint
