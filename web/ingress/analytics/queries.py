"""`/v1/analytics`: what events and messages come to, counted by ClickHouse."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Query
from starlette.responses import Response

from hermod.contracts.analytics.queries import Funnel, FunnelAsked, Timeseries, TimeseriesAsked, Top, TopAsked
from starter.analytics.queries import funnel, timeseries, top
from web.authentication import Caller
from web.bodies import answer
from web.reference import answers

router: Final = APIRouter(prefix="/v1/analytics", tags=["analytics"])


@router.get(
    "/timeseries",
    summary="Events by time",
    responses=answers({200: (Timeseries, "All points, also those without events.")}, 401, 422, 503),
)
async def get_timeseries(hermod: Caller, query: Annotated[TimeseriesAsked, Query()]) -> Response:
    """How many events there were in each minute, hour or day, 1,500 points at the most. Days and hours begin by the
    clock of `timezone` (UTC without it), like `Europe/Berlin`; all times of the answer are in UTC.

    `type` is one type, `order.*` for all below it, or `*`. `property=plan=pro` counts events whose property `plan` is
    `pro`; it may be repeated. Without `since` it is the last hour by minute, day by hour, or 30 days by day.
    """
    return answer(await timeseries(hermod, query))


@router.get(
    "/funnel",
    summary="How far messages came, or contacts",
    responses=answers({200: (Funnel, "`channels` of messages, or `steps` of events.")}, 401, 422, 503),
)
async def get_funnel(hermod: Caller, query: Annotated[FunnelAsked, Query()]) -> Response:
    """Of the messages accepted in the time asked for (whole hours), how many were sent, delivered, opened and so on.

    With `steps=cart.added,order.begun,order.paid` it is about events: how many contacts (or sessions, `by=session`) did
    the first, then the second, and so on, all `within` so many seconds. Without `since` it is the last seven days.
    """
    return answer(await funnel(hermod, query))


@router.get(
    "/top",
    summary="The most frequent types, contacts or properties",
    responses=answers({200: (Top, "The most frequent first.")}, 401, 422, 503),
)
async def get_top(hermod: Caller, query: Annotated[TopAsked, Query()]) -> Response:
    """What the events have most often: `by=type`, `source`, `contact`, `session`, or `property:NAME` for a property.

    Without `since` it is the last seven days.
    """
    return answer(await top(hermod, query))
