"""What is up and what is not, for `/health`, `doctor`, and a worker's own small server of `/health` and `/metrics`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy import text
from temporalio.api.workflowservice.v1 import GetSystemInfoRequest
from temporalio.client import Client

from hermod.bootstrap import Analytics, Storage
from hermod.contracts.errors import Unavailable
from hermod.contracts.values.model import Model
from hermod.ports.clock import Clock
from hermod.settings import Settings
from hermod.storage.analytics.event_refusals import EventRefusals
from starter.process.backlog import BacklogView, BacklogWatch
from starter.temporal.calls import TEMPORAL_ERRORS, answered_within
from starter.temporal.lanes import Crews, look_at_workers, worker_for

CHECK_TIMEOUT: Final = timedelta(seconds=3)
_Found = TypeVar("_Found")


class PortTaken(Exception):
    """The port for `/health` is in use. The text says which and what to do."""


class Check(Model):
    """One part: whether it answers, in how many milliseconds, and what it says."""

    ok: bool
    ms: int
    detail: str


class Health(Model):
    """`status`: `ok`, `degraded` where what is accepted has to wait somewhere, `down` where nothing can be accepted.

    Backlog: what was accepted and nobody has begun; null where the database does not say. Unserved: the lanes on which
    work waits and nobody asks for it.
    """

    status: str
    database: Check
    temporal: Check
    workers: Check
    clickhouse: Check
    backlog: BacklogView | None
    unserved: tuple[str, ...] = ()
    refused_events: int | None = None
    """Of analytics, of the last day: accepted, and nothing that ClickHouse can take; null where it is not known."""

    @property
    def delivers(self) -> bool:
        """Messages are accepted and sent. ClickHouse is not needed for that: what is for it waits in the database."""
        return self.database.ok and self.temporal.ok and self.workers.ok


async def check(storage: Storage, analytics: Analytics, client: Client, backlog: BacklogWatch) -> Health:
    """A look at everything, all at once."""
    (
        (database, _),
        (temporal, _),
        (workers, crews),
        (clickhouse, _),
        (waiting, found),
        (_, refused),
    ) = await asyncio.gather(
        _timed(_database(storage)),
        _timed(_temporal(client)),
        _timed(_workers(client)),
        _timed(_clickhouse(analytics)),
        _timed(_backlog(backlog)),
        _timed(_refused(storage)),
    )
    well = database.ok and temporal.ok and workers.ok and clickhouse.ok and waiting.ok
    unserved = crews.missed(_records(found)) if crews is not None else []
    if unserved:
        workers = workers.model_copy(
            update={"detail": f"{workers.detail}; work waits on {', '.join(unserved)}: {worker_for(unserved)}"}
        )
    if unserved or (found is not None and found.late(backlog.late_after)):
        well = False
    status = "ok" if well else "degraded" if database.ok else "down"
    return Health(
        status=status,
        database=database,
        temporal=temporal,
        workers=workers,
        clickhouse=clickhouse,
        backlog=found,
        unserved=tuple(lane.value for lane in unserved),
        refused_events=refused,
    )


async def _timed(probe: Awaitable[tuple[str, _Found]]) -> tuple[Check, _Found | None]:
    begun = time.perf_counter()
    found = None
    try:
        async with answered_within(CHECK_TIMEOUT):
            detail, found = await probe
        ok = True
    except (Unavailable, *TEMPORAL_ERRORS) as error:
        ok, detail = False, str(error)[:200] or "no answer in time"
    return Check(ok=ok, ms=round((time.perf_counter() - begun) * 1000), detail=detail), found


async def _database(storage: Storage) -> tuple[str, None]:
    rows = await storage.database.rows(text("SHOW server_version"), {})
    return f"PostgreSQL {rows[0].server_version}", None


async def _temporal(client: Client) -> tuple[str, None]:
    answer = await client.workflow_service.get_system_info(GetSystemInfoRequest())
    return f"Temporal {answer.server_version}", None


async def _clickhouse(analytics: Analytics) -> tuple[str, None]:
    return await analytics.ping(), None


async def _backlog(backlog: BacklogWatch) -> tuple[str, BacklogView]:
    return "", await backlog.look()


async def _refused(storage: Storage) -> tuple[str, int]:
    return "", await EventRefusals(storage.database, storage.contents).count(
        datetime.now(UTC), within=timedelta(days=1)
    )


async def _workers(client: Client) -> tuple[str, Crews]:
    crews = await look_at_workers(client)
    if not crews.workflows.workers:
        raise Unavailable("no worker has asked for work lately; start one with `python worker.py`")
    nobody = f", nobody on {', '.join(crews.unserved)}" if crews.unserved else ""
    return f"{len(crews.workflows.workers)} at work{nobody}", crews


def _records(backlog: BacklogView | None) -> dict[str, int]:
    return {} if backlog is None else {lane: waiting.records for lane, waiting in backlog.by_lane.items()}


@asynccontextmanager
async def serve_health(
    settings: Settings, storage: Storage, analytics: Analytics, client: Client, clock: Clock
) -> AsyncIterator[None]:
    """`/health` and `/metrics` of a worker, at HERMOD_WORKER_PORT; port 0 serves nothing. Raises PortTaken."""
    if settings.worker_port == 0:
        yield
        return
    backlog = BacklogWatch(storage.backlog, clock, settings.backlog_seconds)

    async def health(_request: web.Request) -> web.Response:
        found = await check(storage, analytics, client, backlog)
        return web.json_response(text=found.model_dump_json(), status=200 if found.delivers else 503)

    async def metrics(_request: web.Request) -> web.Response:
        await backlog.refresh()
        return web.Response(body=generate_latest(), headers={"content-type": CONTENT_TYPE_LATEST})

    application = web.Application()
    application.add_routes([web.get("/health", health), web.get("/metrics", metrics)])
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, settings.host, settings.worker_port).start()
    except OSError as error:
        await runner.cleanup()
        raise PortTaken(
            f"port {settings.worker_port} is in use; set HERMOD_WORKER_PORT to another, or to 0 for none"
        ) from error
    try:
        yield
    finally:
        await runner.cleanup()
