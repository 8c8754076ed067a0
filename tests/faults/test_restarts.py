"""Restarts are free: servers and processes die, stand still and are cut off under load, and every promise is kept."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest

from devstack.servers.clickhouse import ClickHouseServer
from devstack.servers.postgres import Postgres
from devstack.servers.temporal import TemporalServer
from tests.faults.conftest import Record
from tests.faults.restart_load import Load
from tests.faults.restart_product import Product, running_product
from tests.faults.restarts import ANSWERED_WITHIN, account, recovered, settled, told

AWAY: Final = 5.0
"""Seconds until what was killed is started again."""
FROZEN: Final = 20.0
LEAD, TAIL, QUICK = 8.0, 6.0, 4.0
"""Seconds of load before and after the fault; of a quick test, both."""
BURST_BEFORE: Final = 2.0
ENDED_WITHIN: Final = timedelta(seconds=80)
"""What is due later than so long after the fault is left to its owner; a quick test leaves all that is due later."""

Fault = Callable[[Product], Awaitable[None]]
Server = Postgres | TemporalServer | ClickHouseServer


def server(product: Product, name: str) -> Server:
    cluster = product.cluster
    servers: dict[str, Server] = {
        "database": cluster.postgres,
        "temporal": cluster.temporal,
        "clickhouse": cluster.clickhouse,
    }
    return servers[name]


def server_killed(name: str) -> Fault:
    async def make(product: Product) -> None:
        own = server(product, name)
        await product.kill(own.child)
        await asyncio.sleep(AWAY)
        await own.start()

    return make


def server_restarted(name: str) -> Fault:
    async def make(product: Product) -> None:
        own = server(product, name)
        await own.stop()
        await own.start()

    return make


def server_frozen(name: str) -> Fault:
    async def make(product: Product) -> None:
        child = server(product, name).child
        child.freeze()
        try:
            await asyncio.sleep(FROZEN)
        finally:
            child.thaw()

    return make


def connections_frozen(name: str) -> Fault:
    async def make(product: Product) -> None:
        product.proxies[name].freeze()
        await asyncio.sleep(FROZEN)
        product.proxies[name].thaw()

    return make


def connections_cut(name: str) -> Fault:
    async def make(product: Product) -> None:
        product.proxies[name].cut()

    return make


async def worker_killed(product: Product) -> None:
    await product.kill_worker()
    await asyncio.sleep(AWAY)
    await product.start_worker()


async def worker_frozen(product: Product) -> None:
    product.worker.freeze()
    try:
        await asyncio.sleep(FROZEN)
    finally:
        product.worker.thaw()


async def worker_replaced(product: Product) -> None:
    first = product.worker
    await product.start_worker()
    await first.stop(within=60)


async def web_killed(product: Product) -> None:
    port = product.web.port
    await product.kill(product.web.child)
    await asyncio.sleep(AWAY)
    await product.start_web(port=port)


async def web_frozen(product: Product) -> None:
    product.web.child.freeze()
    try:
        await asyncio.sleep(FROZEN)
    finally:
        product.web.child.thaw()


async def web_replaced(product: Product) -> None:
    first = product.web.child
    await product.start_web()
    await first.stop(within=60)


@dataclass(frozen=True, kw_only=True)
class Scenario:
    fault: str
    """For the table."""
    make: Fault
    """Returns when the fault is over."""
    times: int = 1
    every: float = 6.0
    """Seconds between the end of one and the next."""
    proxied: bool = False
    workers: int = 1
    repeats: bool = False
    """Whether something may arrive twice, after an `unknown`: a worker dies with requests under way."""
    quick: bool = False


SCENARIOS: Final = {
    "temporal-killed": Scenario(fault="Temporal, SIGKILL", make=server_killed("temporal"), times=2),
    "temporal-restarted": Scenario(fault="Temporal, SIGTERM", make=server_restarted("temporal"), times=2),
    "temporal-frozen": Scenario(fault="Temporal, frozen for 20 s", make=server_frozen("temporal")),
    "temporal-silent": Scenario(
        fault="Connections to Temporal, silent for 20 s", make=connections_frozen("temporal"), proxied=True
    ),
    "temporal-cut": Scenario(
        fault="Connections to Temporal, cut", make=connections_cut("temporal"), times=5, every=3.0, proxied=True
    ),
    "postgres-killed": Scenario(fault="PostgreSQL, SIGKILL", make=server_killed("database"), quick=True),
    "postgres-restarted": Scenario(fault="PostgreSQL, SIGINT", make=server_restarted("database"), times=3),
    "postgres-frozen": Scenario(fault="PostgreSQL, frozen for 20 s", make=server_frozen("database")),
    "postgres-silent": Scenario(
        fault="Connections to PostgreSQL, silent for 20 s", make=connections_frozen("database"), proxied=True
    ),
    "postgres-cut": Scenario(
        fault="Connections to PostgreSQL, cut", make=connections_cut("database"), times=5, every=3.0, proxied=True
    ),
    "clickhouse-killed": Scenario(fault="ClickHouse, SIGKILL", make=server_killed("clickhouse"), times=2),
    "clickhouse-frozen": Scenario(fault="ClickHouse, frozen for 20 s", make=server_frozen("clickhouse")),
    "clickhouse-silent": Scenario(
        fault="Connections to ClickHouse, silent for 20 s", make=connections_frozen("clickhouse"), proxied=True
    ),
    "worker-killed": Scenario(fault="The worker, SIGKILL", make=worker_killed, quick=True, repeats=True),
    "worker-killed-twice": Scenario(fault="The worker, SIGKILL", make=worker_killed, times=2, every=15, repeats=True),
    "worker-frozen": Scenario(fault="The only worker, frozen for 20 s", make=worker_frozen),
    "one-of-two-workers-frozen": Scenario(fault="One of two workers, frozen for 20 s", make=worker_frozen, workers=2),
    "worker-replaced": Scenario(
        fault="The worker, SIGTERM; another one was started before", make=worker_replaced, times=2
    ),
    "web-killed": Scenario(fault="Web, SIGKILL", make=web_killed, times=2),
    "web-frozen": Scenario(fault="Web, frozen for 20 s", make=web_frozen),
    "web-replaced": Scenario(fault="Web, SIGTERM; another one was started before", make=web_replaced, times=2),
}


@pytest.mark.usefixtures("quiet_exit")
@pytest.mark.timeout(480)
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if each.quick else pytest.mark.long) for name, each in SCENARIOS.items()]
)
async def test_restart_under_load_every_promise_is_kept(record_property: Record, name: str) -> None:
    scenario = SCENARIOS[name]
    async with running_product(proxied=scenario.proxied, workers=scenario.workers) as product:
        load = Load(product.application, lambda: product.web.url, product.key)
        begun = time.monotonic()
        async with asyncio.TaskGroup() as group:
            loading = group.create_task(load.run())
            ended_at = await _break(product, load, scenario)
            measuring = group.create_task(recovered(product, ended_at))
            await asyncio.sleep(QUICK if scenario.quick else TAIL)
            load.stop(answers_within=ANSWERED_WITHIN)
            await loading
            lasted = time.monotonic() - begun
        undone = await settled(product, datetime.now(UTC) if scenario.quick else ended_at + ENDED_WITHIN)
        found = await account(product, load, ended_at, measuring.result(), undone)
    row = told(list(SCENARIOS).index(name), scenario.fault, f"mixed, {lasted:.0f} s", scenario.times, found)
    record_property(*row)
    assert not found.broken, "\n".join([*found.broken[:40], str(len(found.broken)), str(row)])
    assert found.lost == 0
    assert scenario.repeats or not found.repeated, row
    assert found.repeated["silent"] == 0


async def _break(product: Product, load: Load, scenario: Scenario) -> datetime:
    """Make the fault under load, as often as it is to be made; when the last one had ended."""
    ended_at = datetime.now(UTC)
    await asyncio.sleep((QUICK if scenario.quick else LEAD) - BURST_BEFORE)
    for number in range(scenario.times):
        burst = asyncio.create_task(load.burst())
        await asyncio.sleep(BURST_BEFORE if number == 0 else scenario.every)
        await scenario.make(product)
        ended_at = datetime.now(UTC)
        await burst
    return ended_at
