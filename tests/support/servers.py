"""The real servers that tests use, as fixtures: each starts once for the whole run, when the first test asks for it.

    database_url   a migrated database of this test alone          (`postgres` is the server)
    database_proxy a proxy in front of that, to make faults        (`.through(database_url)` is its address)
    temporal       a client of a Temporal server that all share    (`temporal_server`); use ids and queues of your own
    temporal_proxy a proxy in front of that
    idle_temporal  the address of a Temporal server of this test alone, which no worker asks for work
    time_skipping  an environment whose workflows skip their timers
    clickhouse     ClickHouse's HTTP interface over chDB; use a database of your own in it

A copy of the migrated template takes some 20 ms, so no test has to share a database or clean one up.
"""

from __future__ import annotations

import asyncio
import itertools
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from devstack.servers.clickhouse import ClickHouseServer
from devstack.servers.ports import free_port
from devstack.servers.postgres import Postgres
from devstack.servers.temporal import DYNAMIC_CONFIG, TemporalServer, dynamic_config_arguments, temporal_program
from hermod.storage.database import migrate
from starter.temporal.connection import DATA_CONVERTER
from starter.temporal.search_attributes import SEARCH_ATTRIBUTES
from tests.support.proxies.fault_proxy import FaultProxy
from tests.support.proxies.postgres_proxy import PostgresProxy

_TEMPLATE = "template_hermod"
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def servers_dir() -> Iterator[Path]:
    """Where the servers of this run keep their data and logs; a short path, gone at the end."""
    path = Path(tempfile.mkdtemp(prefix="hermod-test-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
async def postgres(servers_dir: Path) -> AsyncIterator[Postgres]:
    """A PostgreSQL server that forgets everything in a crash, which makes it fast."""
    server = Postgres(servers_dir / "postgres", log=servers_dir / "postgres.log", durable=False)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture(scope="session")
async def migrated_template(postgres: Postgres) -> str:
    """The name of a database with the newest schema and no rows, to make copies of."""
    await postgres.create_database(_TEMPLATE)
    await asyncio.to_thread(migrate.upgrade, postgres.url(_TEMPLATE))
    return _TEMPLATE


@pytest.fixture
async def database_url(postgres: Postgres, migrated_template: str) -> AsyncIterator[str]:
    """`postgresql+asyncpg://…` of a migrated, empty database that belongs to this test."""
    name = f"test_{next(_numbers)}"
    await postgres.create_database(name, template=migrated_template)
    yield postgres.url(name)
    await postgres.drop_database(name)


@pytest.fixture
async def database_proxy(database_url: str) -> AsyncIterator[PostgresProxy]:
    """Stands in front of the server of `database_url`; `database_proxy.through(database_url)` goes by way of it."""
    async with PostgresProxy.before(database_url) as proxy:
        yield proxy


@pytest.fixture(scope="session")
async def clickhouse(servers_dir: Path) -> AsyncIterator[ClickHouseServer]:
    """Its engine takes a second to open, which is when somebody first asks it something."""
    server = ClickHouseServer(folder=servers_dir / "clickhouse", log=servers_dir / "clickhouse.log")
    await server.start()
    yield server
    await server.stop()


@pytest.fixture(scope="session")
def quiet_exit() -> Iterator[None]:
    """Gives the Temporal SDK's threads a moment: a Python that exits right after a worker has stopped may abort."""
    yield
    time.sleep(0.5)


@pytest.fixture(scope="session")
async def temporal_server(servers_dir: Path) -> AsyncIterator[TemporalServer]:
    """The server of the dev stack with all its settings, in memory and without the Web UI."""
    server = _temporal_server(servers_dir / "temporal.log")
    await server.start()
    yield server
    await server.stop(within=0)


@pytest.fixture
async def temporal_proxy(temporal_server: TemporalServer) -> AsyncIterator[FaultProxy]:
    """Stands in front of the server that all share; `temporal_proxy.address` goes by way of it."""
    async with FaultProxy.before(temporal_server.address) as proxy:
        yield proxy


@pytest.fixture
async def idle_temporal(servers_dir: Path, quiet_exit: None) -> AsyncIterator[str]:
    server = _temporal_server(servers_dir / "temporal-idle.log")
    await server.start()
    yield server.address
    await server.stop(within=0)


def _temporal_server(log: Path) -> TemporalServer:
    return TemporalServer(port=free_port(), ui_port=None, folder=None, log=log, search_attributes=SEARCH_ATTRIBUTES)


@pytest.fixture(scope="session")
async def temporal(temporal_server: TemporalServer, quiet_exit: None) -> Client:
    return await Client.connect(temporal_server.address, data_converter=DATA_CONVERTER)


@pytest.fixture(scope="session")
async def time_skipping(quiet_exit: None) -> AsyncIterator[WorkflowEnvironment]:
    """The real server again, with a clock per workflow that jumps over timers, retries and start delays.

    A day of waiting takes some 20 ms. Jumps per workflow are limited to 200 by the server.
    """
    config = {**DYNAMIC_CONFIG, "frontend.WorkflowTimeSkippingEnabled": True}
    async with await WorkflowEnvironment.start_time_skipping_v2(
        dev_server_existing_path=str(temporal_program()),
        dev_server_extra_args=dynamic_config_arguments(config),
        search_attributes=SEARCH_ATTRIBUTES,
        data_converter=DATA_CONVERTER,
    ) as environment:
        yield environment
