"""The whole product in one process on embedded servers: what starts, in which order, and how it ends.

lock the data folder, check the ports
PostgreSQL with its schema, Temporal, ClickHouse and the sandbox, side by side
the demo tenant; the worker; when it works: dev.json, and the web opens
the demo; then until cancelled; what ends by itself is started again, and what cannot start ends the run
web and worker bring to an end what they are at; then the servers stop
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any, Final

import httpx
from rich.console import Console

from devstack.data_dir import DataDir, hold, write_private
from devstack.demo.announcement import announce, announce_demo
from devstack.demo.message import run_demo
from devstack.demo.seed import TENANT, admin_token, seed
from devstack.errors import StackError
from devstack.options import Options, unless_given
from devstack.product import Product, log_to
from devstack.progress import Steps, say
from devstack.servers.clickhouse import ClickHouseServer
from devstack.servers.keeping import Server, keep_running
from devstack.servers.logs import keep_small
from devstack.servers.ports import check_ports
from devstack.servers.postgres import Postgres
from devstack.servers.process import end_leftover
from devstack.servers.sandbox import SandboxServer
from devstack.servers.temporal import NAMESPACE, TemporalServer
from hermod.settings import Settings, load_settings
from hermod.storage.database import migrate
from starter import Hermod
from starter.process import health
from starter.temporal.search_attributes import SEARCH_ATTRIBUTES

DATABASE: Final = "hermod"
_READY_SECONDS: Final = 30.0
_SERVER_STOP_SECONDS: Final = 3.0
_POLL: Final = 0.05


async def run(options: Options, console: Console) -> None:
    """Run the product until cancelled. Raises StackError where it cannot start or go on; all is stopped by then."""
    with hold(options.data_dir, url=options.url) as data_dir:
        pid_files = [data_dir.pid_file(name) for name in ("temporal", "sandbox", "clickhouse")]
        await asyncio.gather(*(end_leftover(file, marked=data_dir.path) for file in pid_files))
        check_ports(options.ports())
        data_dir.dev_file.unlink(missing_ok=True)
        try:
            await Stack(options, data_dir, console).run()
        except BaseExceptionGroup as group:
            raise _first(group) from None


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """What went wrong, out of a task group: the first thing that we can explain, else the first."""
    errors = [_first(error) if isinstance(error, BaseExceptionGroup) else error for error in group.exceptions]
    return next((error for error in errors if isinstance(error, StackError)), errors[0])


class Stack:
    """One run of the product in a data folder that is ours."""

    def __init__(self, options: Options, data_dir: DataDir, console: Console) -> None:
        self._options = options
        self._data_dir = data_dir
        self._console = console
        self._secrets = data_dir.secrets()
        self._postgres = Postgres(
            data_dir.path / "postgres", log=data_dir.log("postgres"), port=options.postgres_port or None
        )
        self._temporal = TemporalServer(
            port=options.temporal_port,
            ui_port=options.temporal_ui_port,
            folder=data_dir.path / "temporal",
            log=data_dir.log("temporal"),
            search_attributes=SEARCH_ATTRIBUTES,
            pid_file=data_dir.pid_file("temporal"),
        )
        self._sandbox = SandboxServer(
            port=options.sandbox_port,
            smtp_port=options.smtp_port,
            apns_port=options.apns_port,
            inbox=data_dir.path / "sandbox" / "inbox.jsonl",
            log=data_dir.log("sandbox"),
            pid_file=data_dir.pid_file("sandbox"),
        )
        self._clickhouse = ClickHouseServer(
            port=options.clickhouse_port,
            folder=data_dir.path / "clickhouse",
            password=self._secrets["HERMOD_DEV_CLICKHOUSE_PASSWORD"],
            log=data_dir.log("clickhouse"),
            pid_file=data_dir.pid_file("clickhouse"),
        )
        self._servers: tuple[Server, ...] = (self._postgres, self._temporal, self._sandbox, self._clickhouse)

    async def run(self) -> None:
        begun = time.monotonic()
        async with AsyncExitStack() as exits, asyncio.TaskGroup() as watches:
            exits.push_async_callback(self._stop_servers)
            with Steps(self._console) as steps:
                await self._start_servers(steps)
                settings = self._settings()
                for server in self._servers:
                    watches.create_task(keep_running(server, self._tell))
                watches.create_task(keep_small([server.child.program.log for server in self._servers]))
                hermod = await exits.enter_async_context(await Hermod.connect(settings=settings, actor="web"))
                product = Product(settings, hermod, self._tell)
                exits.push_async_callback(product.stop)
                watches.create_task(product.watch())
                exits.callback(self._data_dir.dev_file.unlink, missing_ok=True)
                api_key = await self._open(product, steps)
            if self._options.demo:
                await self._demo(api_key)
            ready_after = time.monotonic() - begun
            announce(self._console, self._addresses(), url=self._options.url, api_key=api_key, seconds=ready_after)
            await asyncio.Event().wait()

    async def _start_servers(self, steps: Steps) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._start_database(steps))
            group.create_task(_timed(steps, "Temporal", self._temporal.start()))
            group.create_task(_timed(steps, "provider sandbox", self._sandbox.start()))
            group.create_task(_timed(steps, "ClickHouse", self._clickhouse.start()))

    async def _start_database(self, steps: Steps) -> None:
        await _timed(steps, "PostgreSQL", self._postgres.start())
        with steps.step("database schema"):
            await self._postgres.create_database(DATABASE)
            await asyncio.to_thread(migrate.upgrade, self._postgres.url(DATABASE))

    def _tell(self, line: str) -> None:
        say(self._console, line)

    async def _stop_servers(self) -> None:
        await asyncio.gather(*(server.stop(within=_SERVER_STOP_SECONDS) for server in self._servers))

    def _settings(self) -> Settings:
        """Our own servers and secrets in the place of whatever the environment names."""
        settings = load_settings(
            **unless_given(self._secrets | {"HERMOD_PUBLIC_URL": self._options.url}),
            DATABASE_URL=self._postgres.url(DATABASE),
            TEMPORAL_ADDRESS=self._temporal.address,
            TEMPORAL_NAMESPACE=NAMESPACE,
            TEMPORAL_API_KEY=None,
            CLICKHOUSE_URL=self._clickhouse.url,
            CLICKHOUSE_DATABASE="hermod",
            CLICKHOUSE_USER=None,
            CLICKHOUSE_PASSWORD=None,
            HERMOD_DATA_DIR=self._data_dir.path,
            HERMOD_ALLOW_PRIVATE_ADDRESSES=True,
            HERMOD_WORKER_PORT=0,
        )
        log_to(self._data_dir.log("hermod"), settings)
        return settings

    async def _open(self, product: Product, steps: Steps) -> str:
        """Bring the product up; gives the demo tenant's API key.

        Whoever sees dev.json finds a web that answers, and whoever gets 200 from /health finds dev.json.
        """
        with steps.step("demo tenant"):
            api_key = await seed(product.hermod, self._sandbox, self._secrets["HERMOD_API_KEY"])
            self._data_dir.keep_secret("HERMOD_API_KEY", api_key)
            described = self._dev_json(product.settings, api_key)
        with steps.step("worker"):
            product.start_worker()
            await _until_working(product.hermod)
        with steps.step("web"):
            await product.start_web()
            write_private(self._data_dir.dev_file, described)
            await _until_healthy(self._options.url)
        return api_key

    async def _demo(self, api_key: str) -> None:
        """The demo's failure is told, and nothing more: the product runs, and can be asked why."""
        try:
            delivered = await run_demo(self._options.url, api_key, self._sandbox.url)
        except StackError as error:
            say(self._console, f"\nThe demo failed: {error}")
        else:
            announce_demo(self._console, delivered)

    def _dev_json(self, settings: Settings, api_key: str) -> dict[str, Any]:
        return {
            "url": self._options.url,
            "api_key": api_key,
            "admin_token": admin_token(settings.jwt_secret.get_secret_value()),
            "tenant": TENANT,
            "temporal_address": self._temporal.address,
            "temporal_ui": self._temporal.ui_url,
            "database_url": self._postgres.plain_url(DATABASE),
            "sandbox_url": self._sandbox.url,
            "smtp_port": self._sandbox.smtp_port,
            "apns_url": self._sandbox.apns_url,
            "clickhouse_url": self._clickhouse.url,
        }

    def _addresses(self) -> list[tuple[str, str]]:
        return [
            ("API", self._options.url),
            ("API reference", f"{self._options.url}/docs"),
            ("inbox of the sandbox", self._sandbox.url),
            ("Temporal Web UI", str(self._temporal.ui_url)),
            ("ClickHouse", self._clickhouse.plain_url),
            ("keys and addresses", str(self._data_dir.dev_file)),
            ("logs", str(self._data_dir.log("hermod").parent)),
        ]


async def _timed(steps: Steps, name: str, work: Coroutine[Any, Any, None]) -> None:
    with steps.step(name):
        await work


async def _until_working(hermod: Hermod) -> None:
    core, deadline = hermod.core, time.monotonic() + _READY_SECONDS
    while True:
        found = await health.check(core.storage, core.analytics, core.temporal, core.backlog)
        if found.delivers:
            return
        if time.monotonic() > deadline:
            raise StackError(f"the product is not ready after {_READY_SECONDS:.0f} s: {found.model_dump_json()}")
        await asyncio.sleep(_POLL)


async def _until_healthy(url: str) -> None:
    """The same as everybody else sees it."""
    async with httpx.AsyncClient(base_url=url, timeout=_READY_SECONDS, trust_env=False) as client:
        answer = await client.get("/health")
    if answer.status_code != httpx.codes.OK:
        raise StackError(f"GET {url}/health answers {answer.status_code}: {answer.text[:300]}")
