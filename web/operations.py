"""For load balancers and monitoring: what is up, and the numbers. Open, so nothing here names tenants or messages."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from time import monotonic
from typing import Final

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import Response

from hermod.contracts.values.model import Model
from starter.process.health import Check, Health, check
from starter.services import Services
from web.bodies import answer
from web.context import core_of
from web.reference import answers

MEMORY: Final = 1.0
"""Seconds that a report of the servers is given to everybody who asks: anybody may, and each look is work for them."""

router: Final = APIRouter(tags=["operations"])


class Part(Model):
    """The state of one part, with the time of the report."""

    status: str
    timestamp: datetime
    detail: str


class HealthCache:
    """Looks at the servers, once a second at the most."""

    def __init__(self, core: Services) -> None:
        self._core = core
        self._turn = asyncio.Lock()
        self._seen: tuple[float, Health] | None = None

    async def look(self) -> Health:
        async with self._turn:
            if self._seen is None or monotonic() - self._seen[0] > MEMORY:
                core = self._core
                report = await check(core.storage, core.analytics, core.temporal, core.backlog)
                self._seen = (monotonic(), report)
            return self._seen[1]


@router.get(
    "/health",
    summary="Is everything up?",
    responses=answers(
        {
            200: (
                Health,
                "Messages are accepted and sent. `degraded` where events wait, as ClickHouse is away, or where "
                "what was accepted is not begun in time: `backlog` says what waits.",
            ),
            503: (Health, "They are not: `degraded` where they are still accepted, else `down`."),
        }
    ),
)
async def health(request: Request) -> Response:
    report = await _look(request)
    return answer(report, 200 if report.delivers else 503)


@router.get("/metrics", summary="Prometheus metrics", response_class=Response)
@router.get("/queue/metrics", include_in_schema=False)
async def metrics(request: Request) -> Response:
    await core_of(request).backlog.refresh()
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


@router.get(
    "/queue/health",
    summary="Is the queue up?",
    responses=answers({200: (Part, "Yes."), 503: (Part, "No.")}),
)
async def queue_health(request: Request) -> Response:
    """Temporal, which holds the queues."""
    return _part((await _look(request)).temporal)


@router.get(
    "/api/v1/workers/health",
    summary="Are workers at work?",
    responses=answers(
        {
            200: (Part, "Yes."),
            503: (Part, "No; `degraded` where work waits on a lane that nobody works on, else `down`."),
        }
    ),
)
async def workers_health(request: Request) -> Response:
    """`detail` names the lanes that nobody works on, and the command that helps."""
    report = await _look(request)
    return _part(report.workers, degraded=bool(report.unserved))


async def _look(request: Request) -> Health:
    watch: HealthCache | None = getattr(request.app.state, "watch", None)
    if watch is None:
        watch = request.app.state.watch = HealthCache(core_of(request))
    return await watch.look()


def _part(found: Check, *, degraded: bool = False) -> Response:
    status = "down" if not found.ok else "degraded" if degraded else "ok"
    part = Part(status=status, timestamp=datetime.now(UTC), detail=found.detail)
    return answer(part, 200 if status == "ok" else 503)
