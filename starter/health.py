"""What is up and what is not, for `/health`, `doctor`, and a worker's own small server of `/health` and `/metrics`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy import text
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest, GetSystemInfoRequest
from temporalio.client import Client
from temporalio.service import RPCError

from hermod.bootstrap import Analytics, Storage
from hermod.contracts.errors import Unavailable
from hermod.contracts.model import Model
from hermod.contracts.queues import WORKFLOWS
from hermod.settings import Settings

CHECK_TIMEOUT: Final = 3.0


class PortTaken(Exception):
    """The port for `/health` is in use. The text says which and what to do."""


class Check(Model):
    """One part: whether it answers, in how many milliseconds, and what it says."""

    ok: bool
    ms: int
    detail: str


class Health(Model):
    """`status`: `ok`, `degraded` where what is accepted has to wait somewhere, `down` where nothing can be accepted."""

    status: str
    database: Check
    temporal: Check
    workers: Check
    clickhouse: Check

    @property
    def delivers(self) -> bool:
        """Messages are accepted and sent. ClickHouse is not needed for that: what is for it waits in the database."""
        return self.database.ok and self.temporal.ok and self.workers.ok


async def check(storage: Storage, analytics: Analytics, client: Client) -> Health:
    database, temporal, workers, clickhouse = await asyncio.gather(
        _timed(_database(storage)), _timed(_temporal(client)), _timed(_workers(client)), _timed(analytics.ping())
    )
    well = database.ok and temporal.ok and workers.ok and clickhouse.ok
    status = "ok" if well else "degraded" if database.ok else "down"
    return Health(status=status, database=database, temporal=temporal, workers=workers, clickhouse=clickhouse)


async def _timed(probe: Awaitable[str]) -> Check:
    begun = time.perf_counter()
    try:
        async with asyncio.timeout(CHECK_TIMEOUT):
            ok, detail = True, await probe
    except (Unavailable, RPCError, RuntimeError, TimeoutError) as error:
        ok, detail = False, str(error)[:200] or "no answer in time"
    return Check(ok=ok, ms=round((time.perf_counter() - begun) * 1000), detail=detail)


async def _database(storage: Storage) -> str:
    rows = await storage.database.rows(text("SHOW server_version"), {})
    return f"PostgreSQL {rows[0].server_version}"


async def _temporal(client: Client) -> str:
    answer = await client.workflow_service.get_system_info(GetSystemInfoRequest())
    return f"Temporal {answer.server_version}"


async def _workers(client: Client) -> str:
    """Temporal remembers a poller for five minutes, so a crashed worker is missed only then."""
    answer = await client.workflow_service.describe_task_queue(
        DescribeTaskQueueRequest(
            namespace=client.namespace,
            task_queue=TaskQueue(name=WORKFLOWS),
            task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
        )
    )
    names = sorted({poller.identity for poller in answer.pollers})
    if not names:
        raise Unavailable("no worker has asked for work lately; start one with `python worker.py`")
    return f"{len(names)} at work"


@asynccontextmanager
async def serve_health(
    settings: Settings, storage: Storage, analytics: Analytics, client: Client
) -> AsyncIterator[None]:
    """`/health` and `/metrics` of a worker, at HERMOD_WORKER_PORT; port 0 serves nothing. Raises PortTaken."""
    if settings.worker_port == 0:
        yield
        return

    async def health(_request: web.Request) -> web.Response:
        found = await check(storage, analytics, client)
        return web.json_response(text=found.model_dump_json(), status=200 if found.delivers else 503)

    async def metrics(_request: web.Request) -> web.Response:
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
