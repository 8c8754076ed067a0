"""`/v1/events`: what happened, for analytics."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from hermod.contracts.analytics.events import EventsReceipt
from hermod.contracts.analytics.queries import RefusedEventsPage
from hermod.contracts.values.model import Model
from starter.analytics.events import taken_alone
from starter.analytics.queries import refused_events
from starter.analytics.validation import read_events
from starter.idempotency import KEY_HEADER, checked_key, with_event_ids
from web.authentication import Caller
from web.bodies import MIB, answer, read_json_text
from web.examples import EVENTS_BODY, IDEMPOTENCY_KEY
from web.reference import answers

MAX_EVENTS_BYTES: Final = 8 * MIB

router: Final = APIRouter(prefix="/v1", tags=["events"])


class RefusedQuery(Model):
    cursor: Annotated[str, Field(pattern=r"^evb_[0-9a-f]{28}:[^\x00]{1,255}$", max_length=300)] | None = Field(
        default=None, description="`next_cursor` of the page before."
    )
    limit: Annotated[int, Field(ge=1, le=200)] = 50


@router.get(
    "/events/refused",
    summary="Events that could not be counted",
    responses=answers({200: (RefusedEventsPage, "Newest first.")}, 401, 422, 503),
)
async def list_refused_events(hermod: Caller, query: Annotated[RefusedQuery, Query()]) -> Response:
    """What was accepted and ClickHouse cannot take, with its reason, for 90 days. No answer counts it."""
    return answer(await refused_events(hermod, cursor=query.cursor, limit=query.limit))


@router.post(
    "/events",
    summary="Tell what happened",
    status_code=202,
    responses=answers(
        {202: (EventsReceipt, "The good ones are stored, and soon in ClickHouse, whatever happens from now on.")},
        *(400, 401, 413, 422, 503),
    ),
    openapi_extra={"requestBody": EVENTS_BODY, "parameters": [IDEMPOTENCY_KEY]},
)
async def track_events(request: Request, hermod: Caller) -> Response:
    """Takes one event, or an object with up to 10,000 of them.

    Of several, every one that is right is taken; the others come back in `rejected`, each with its place and its
    errors, even those that are no JSON. An event with an `event_id` is taken once in seven days, however often it
    comes; an `Idempotency-Key` does the same for a call whose events have none. The properties of one have at most 16
    KiB, 256 keys and 8 levels; `occurred_at` lies within the last 365 days, and at most 24 hours ahead.
    """
    key = checked_key(request.headers.get(KEY_HEADER))
    given, alone = read_events(await read_json_text(request, MAX_EVENTS_BYTES))
    receipt = await hermod.core.events.take(hermod.tenant, with_event_ids(given, key))
    return answer(taken_alone(receipt) if alone else receipt, 202)
