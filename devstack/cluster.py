"""The product as separate processes in a folder of its own: what fault tests kill and benchmarks measure.

Unlike the stack of `make run`, workers are real `python worker.py` processes, so that one can be ended by SIGKILL.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

import httpx

from devstack.servers.clickhouse import ClickHouseServer
from devstack.servers.ports import LOOPBACK, free_port
from devstack.servers.postgres import Postgres
from devstack.servers.process import Child, Program, whole_environment
from devstack.servers.sandbox import SandboxServer
from devstack.servers.temporal import TemporalServer
from hermod.settings import Settings, load_settings
from hermod.storage.database import migrate
from hermod.storage.secrets.vault import Vault

ROOT: Final = Path(__file__).resolve().parents[1]
DATABASE: Final = "hermod"
READY_SECONDS: Final = 90.0


class Web(NamedTuple):
    """A running API."""

    child: Child
    port: int

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"


@dataclass(kw_only=True)
class Cluster:
    """Running servers, and the workers and webs that were started on them.

    A fault for one of them is its own `child` halted (`cluster.postgres.child.freeze()`), or a proxy in `environment`.
    """

    folder: Path
    postgres: Postgres
    temporal: TemporalServer
    sandbox: SandboxServer
    clickhouse: ClickHouseServer
    settings: Settings
    workers: list[Child] = field(default_factory=list)
    webs: list[Web] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to take part."""
        return {
            **{name: value for name, value in whole_environment().items() if name != "PYTHONDONTWRITEBYTECODE"},
            "PYTHONPATH": str(ROOT),
            "DATABASE_URL": self.settings.database_url.get_secret_value(),
            "HERMOD_SECRET_KEY": self.settings.secret_key.get_secret_value(),
            "TEMPORAL_ADDRESS": self.settings.temporal_address,
            "CLICKHOUSE_URL": self.clickhouse.url,
            "HERMOD_ALLOW_PRIVATE_ADDRESSES": "1",
        }

    async def start_worker(self, *arguments: str, environment: Mapping[str, str] | None = None) -> Child:
        """A worker process, ready for work. `environment` comes on top of the cluster's."""
        log = self.folder / f"worker-{len(self.workers)}.log"
        child = self._spawn(
            f"worker {len(self.workers)}",
            [str(ROOT / "worker.py"), *arguments],
            log,
            {"HERMOD_WORKER_PORT": str(free_port()), **(environment or {})},
        )

        async def ready() -> bool:
            return b"worker_ready" in log.read_bytes()

        await child.until_ready(ready, within=READY_SECONDS)
        self.workers.append(child)
        return child

    async def start_web(self, *, port: int | None = None, environment: Mapping[str, str] | None = None) -> Web:
        """The API as a process; its `/health` answers. `environment` comes on top of the cluster's.

        `port`: that of one that has ended; a free one where none is given.
        """
        port = port or free_port()
        log = self.folder / f"web-{len(self.webs)}.log"
        own = {"HERMOD_HOST": LOOPBACK, "HERMOD_PORT": str(port), **(environment or {})}
        web = Web(self._spawn(f"web {len(self.webs)}", ["-m", "web"], log, own), port)

        async def ready() -> bool:
            try:
                async with httpx.AsyncClient() as client:
                    await client.get(f"{web.url}/health")
            except httpx.TransportError:
                return False
            return True

        await web.child.until_ready(ready, within=READY_SECONDS)
        self.webs.append(web)
        return web

    async def stop(self) -> None:
        """End the workers and webs; the servers stay."""
        children = [*self.workers, *(web.child for web in self.webs)]
        await asyncio.gather(*(child.stop(within=15.0) for child in children))

    def _spawn(self, name: str, arguments: Sequence[str], log: Path, environment: Mapping[str, str]) -> Child:
        return Child.spawn(
            Program(
                name=name,
                command=[sys.executable, *arguments],
                log=log,
                cwd=self.folder,
                environment={**self.environment, **environment},
            )
        )


@asynccontextmanager
async def cluster(folder: Path, *, durable: bool = True) -> AsyncIterator[Cluster]:
    """PostgreSQL, Temporal, ClickHouse and the sandbox, migrated, without a worker yet. All are stopped at the end."""
    postgres = Postgres(folder / "postgres", log=folder / "postgres.log", port=free_port(), durable=durable)
    temporal = TemporalServer(
        port=free_port(),
        ui_port=None,
        folder=folder / "temporal",
        log=folder / "temporal.log",
    )
    async with AsyncExitStack() as stack:
        await postgres.start()
        stack.push_async_callback(postgres.stop)
        await temporal.start()
        stack.push_async_callback(temporal.stop, within=2.0)
        await postgres.create_database(DATABASE)
        await asyncio.to_thread(migrate.upgrade, postgres.url(DATABASE))
        sandbox = SandboxServer(log=folder / "sandbox.log")
        await sandbox.start()
        stack.push_async_callback(sandbox.stop, within=3.0)
        clickhouse = ClickHouseServer(folder=folder / "clickhouse", log=folder / "clickhouse.log")
        await clickhouse.start()
        stack.push_async_callback(clickhouse.stop)
        settings = load_settings(
            DATABASE_URL=postgres.url(DATABASE),
            HERMOD_SECRET_KEY=Vault.new_key(),
            TEMPORAL_ADDRESS=temporal.address,
            CLICKHOUSE_URL=clickhouse.url,
            HERMOD_ALLOW_PRIVATE_ADDRESSES=True,
        )
        running = Cluster(
            folder=folder,
            postgres=postgres,
            temporal=temporal,
            sandbox=sandbox,
            clickhouse=clickhouse,
            settings=settings,
        )
        try:
            yield running
        finally:
            await running.stop()


@asynccontextmanager
async def temporary_cluster() -> AsyncIterator[Cluster]:
    """A cluster that leaves nothing behind."""
    folder = Path(tempfile.mkdtemp(prefix="hermod-"))
    try:
        async with cluster(folder) as running:
            yield running
    finally:
        shutil.rmtree(folder, ignore_errors=True)
