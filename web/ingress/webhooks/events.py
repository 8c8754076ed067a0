"""`/v1/webhook-events` and `/v1/webhook-deliveries`: hand events over, and follow them to their receivers."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from hermod.contracts.errors import NotFound
from hermod.contracts.notifications.dead_letters import ManyDeliveries
from hermod.contracts.values.model import Model
from hermod.contracts.values.scalars import Instant
from hermod.contracts.webhooks.deliveries import (
    DeliveryPage,
    DeliveryStatus,
    DeliverySummary,
    DeliveryView,
    EventFilter,
    EventId,
    EventReceipt,
)
from starter.idempotency import KEY_HEADER
from starter.webhooks.deliveries import (
    cancel_delivery,
    deliveries,
    delivery_status,
    discard_delivery,
    emit_event,
    retry_delivery,
)
from web.authentication import Caller
from web.bodies import MIB, answer, read_json_body
from web.context import context_of
from web.dead_letters import many, moved
from web.examples import EVENT_BODY, IDEMPOTENCY_KEY
from web.reference import answers, id_pattern

MAX_EVENT_BYTES: Final = MIB

router: Final = APIRouter(prefix="/v1", tags=["webhooks"])
DeliveryId = Annotated[
    str, Path(description="`whd_…`, as the answer to the event said.", alias="id", json_schema_extra=id_pattern("whd_"))
]


class DeliveryQuery(Model):
    """What a list may be narrowed to."""

    endpoint: EventId | None = Field(default=None, description="Deliveries to this endpoint, `whe_…`.")
    status: DeliveryStatus | None = Field(
        default=None, description="With it, those that were discarded are left out, unless `discarded` says otherwise."
    )
    status_code: Annotated[int, Field(ge=100, le=599)] | None = Field(
        default=None, description="What the receiver answered last."
    )
    discarded: bool | None = Field(default=None, description="Only those that were discarded, or only the others.")
    type: EventFilter | None = Field(
        default=None, description="`order.paid`, or `order.*` or `orders/*` for everything below."
    )
    since: Instant | None = Field(default=None, description="Accepted from then on.")
    until: Instant | None = Field(default=None, description="Accepted before then.")
    cursor: Annotated[str, Field(pattern=r"^whd_[0-9a-f]{28}$")] | None = Field(
        default=None, description="`next_cursor` of the page before."
    )
    limit: Annotated[int, Field(ge=1, le=200)] = 50


@router.post(
    "/webhook-events",
    summary="Send an event",
    status_code=202,
    responses=answers(
        {202: (EventReceipt, "Stored. It reaches every endpoint that asked for it, whatever happens from now on.")},
        *(400, 401, 413, 422, 503),
    ),
    openapi_extra={"requestBody": EVENT_BODY, "parameters": [IDEMPOTENCY_KEY]},
)
async def send_webhook_event(request: Request, hermod: Caller) -> Response:
    """Stores the event with a delivery for each endpoint that asked for its type, and starts them.

    Receivers get `{"type", "timestamp", "data"}`: the type, when the event was accepted, and the payload. With an
    `event_id` or an `Idempotency-Key`, the same event again gives the same answer and sends nothing; another event is
    refused. Where both are given, `event_id` counts. Endpoints that keep order get the events with one `ordering_key`
    strictly one after another. The payload has at most 256 KiB.
    """
    given = await read_json_body(request, MAX_EVENT_BYTES)
    key = request.headers.get(KEY_HEADER)
    receipt = await emit_event(hermod, given, idempotency_key=key, request_id=context_of(request).request_id)
    return answer(receipt, 202)


@router.get(
    "/webhook-deliveries",
    summary="List deliveries",
    responses=answers({200: (DeliveryPage, "Newest first.")}, 401, 422, 503),
)
async def list_webhook_deliveries(hermod: Caller, query: Annotated[DeliveryQuery, Query()]) -> Response:
    """The dead letters are those with the status `failed`; `parked` ones wait for their endpoint to be enabled."""
    page = await deliveries(
        hermod,
        endpoint=query.endpoint,
        status=query.status,
        event_type=query.type,
        since=query.since,
        until=query.until,
        status_code=query.status_code,
        discarded=query.discarded,
        cursor=query.cursor,
        limit=query.limit,
    )
    return answer(page)


@router.get(
    "/webhook-deliveries/{id}",
    summary="A delivery's story",
    responses=answers({200: (DeliveryView, "The whole story.")}, 401, 404, 503),
)
async def show_webhook_delivery(delivery: DeliveryId, hermod: Caller) -> Response:
    """Every request that was made: headers, address, the first 16 KiB of its answer, and where the time went."""
    return answer(await delivery_status(hermod, _known(delivery)))


_MOVE: Final[dict[str, Any]] = {
    "status_code": 202,
    "responses": answers({202: (DeliverySummary, "Done, and durable.")}, 401, 404, 409, 503),
}


@router.post("/webhook-deliveries/{id}/retry", summary="Send a delivery again", **_MOVE)
async def retry_webhook_delivery(delivery: DeliveryId, hermod: Caller) -> Response:
    """Begins a delivery again that failed, or was skipped, parked or cancelled, with its whole schedule."""
    return answer(await retry_delivery(hermod, _known(delivery)), 202)


@router.post("/webhook-deliveries/{id}/cancel", summary="Cancel a delivery", **_MOVE)
async def cancel_webhook_delivery(delivery: DeliveryId, hermod: Caller) -> Response:
    """Withdraws a delivery that waits. One that is on its way, or has ended, stays as it is (409)."""
    return answer(await cancel_delivery(hermod, _known(delivery)), 202)


@router.post("/webhook-deliveries/{id}/discard", summary="Discard a dead letter", **_MOVE)
async def discard_webhook_delivery(delivery: DeliveryId, hermod: Caller) -> Response:
    """Takes a delivery off the lists by status that failed, or was skipped or parked; its record stays."""
    return answer(await discard_delivery(hermod, _known(delivery)), 202)


@router.post("/webhook-deliveries/retry", summary="Retry dead letters, many at once", **many("ManyDeliveries"))
async def retry_webhook_deliveries(request: Request, hermod: Caller) -> Response:
    """Begins what matches again, the oldest first. With `dry_run` it is only counted. A replay of an endpoint does the
    same at a rate of its own.
    """
    return await moved(request, hermod, "retry", ManyDeliveries)


@router.post("/webhook-deliveries/discard", summary="Discard dead letters, many at once", **many("ManyDeliveries"))
async def discard_webhook_deliveries(request: Request, hermod: Caller) -> Response:
    """Takes what matches off the lists by status, the oldest first; the records stay."""
    return await moved(request, hermod, "discard", ManyDeliveries)


def _known(delivery: str) -> str:
    """An id that could be one. What could not never reaches the database."""
    if len(delivery) > 64 or not (delivery.isascii() and delivery.isprintable()):
        raise NotFound("there is no such delivery")
    return delivery
