"""Events a second from `track` to a query that finds them, beside clickhouse-connect inserting the same rows itself.

    python -m benchmarks.events [--events 200000] [--singles 40000] [--rate 2500] [--seconds 10] [--workers 1] [--json]

First clickhouse-connect alone, in the same run and on the same server: inserts of 10,000 rows, one after another, by
its own way of writing rows and as JSON lines. Then `track_many` with 1,000 events a call; then `track`, one event a
call and 500 calls at once; each until a query counts them all. Then single events at 2,500 a second, and at half of the
rate that was just acknowledged, and how long each call takes. ClickHouse is chDB behind HTTP, a process of its own;
PostgreSQL (durable), Temporal (database file), the worker and this client share the machine with it.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import clickhouse_connect
import orjson
from rich.console import Console

from benchmarks._running import at_once, console, peak_memory, percentiles, run, show_memory, table_of
from devstack.cluster import Cluster, temporary_cluster
from hermod.contracts.errors import Unavailable
from starter import Hermod
from starter.process.processes import tune_gc

TENANT: Final = "bench"
TYPES: Final = 10
DIRECT_ROWS: Final = 10_000
CALL: Final = 1_000
WIDTH: Final = 500
TICK: Final = 0.01
"""Seconds."""
COLUMNS: Final = (
    "tenant", "type", "occurred_at", "received_at", "event_id", "contact", "session", "source", "properties",
)  # fmt: skip


def properties(number: int) -> dict[str, Any]:
    return {"path": f"/products/{number % 500}", "referrer": "https://example.com/", "ms": number % 900, "new": True}


def event(number: int) -> dict[str, Any]:
    kind = f"page.kind_{number % TYPES}"
    return {"type": kind, "contact": f"c-{number % 5_000}", "session": f"s-{number}", "properties": properties(number)}


def row(number: int, tenant: str, at: datetime) -> list[Any]:
    """The same event as it comes to stand in the table."""
    told = event(number)
    return [tenant, told["type"], at, at, "", told["contact"], told["session"], "api", told["properties"]]


class Direct:
    """clickhouse-connect by itself."""

    def __init__(self, url: str, database: str) -> None:
        self._client = clickhouse_connect.get_client(dsn=url, database=database)

    def rows(self, start: int) -> None:
        at = datetime.now(UTC)
        rows = [row(start + number, "direct", at) for number in range(DIRECT_ROWS)]
        self._client.insert("events", rows, column_names=COLUMNS)

    def lines(self, start: int) -> None:
        at = datetime.now(UTC)
        written = at.isoformat(" ", "milliseconds")[:23]
        lines = []
        for number in range(DIRECT_ROWS):
            values = dict(zip(COLUMNS, row(start + number, "direct", at), strict=True))
            lines.append(orjson.dumps(values | {"occurred_at": written, "received_at": written}))
        self._client.raw_insert("events", insert_block=b"\n".join(lines), fmt="JSONEachRow")

    def close(self) -> None:
        self._client.close()


async def direct(count: int, insert: Callable[[int], None]) -> dict[str, Any]:
    begun = time.perf_counter()
    for start in range(0, count, DIRECT_ROWS):
        await asyncio.to_thread(insert, start)
    return {"events": count, "per_second": round(count / (time.perf_counter() - begun))}


async def queryable(hermod: Hermod) -> int:
    counted = "SELECT count() AS n FROM events WHERE tenant = {tenant:String}"
    try:
        return int((await hermod.core.analytics.clickhouse.rows(counted, {"tenant": TENANT}))[0]["n"])
    except Unavailable:
        return 0


async def until_queryable(hermod: Hermod, count: int) -> None:
    deadline = time.monotonic() + 120
    while (found := await queryable(hermod)) < count:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{found} of {count} events were in ClickHouse after two minutes")
        await asyncio.sleep(0.05)


async def many(hermod: Hermod, count: int) -> dict[str, Any]:
    known = await queryable(hermod)

    async def call(number: int) -> None:
        await hermod.track_many([event(number * CALL + place) for place in range(CALL)])

    begun = time.perf_counter()
    took = await at_once(count // CALL, 4, call)
    return await _figures(hermod, known, count, begun, took)


async def singles(hermod: Hermod, count: int) -> dict[str, Any]:
    known = await queryable(hermod)
    begun = time.perf_counter()
    took = await at_once(count, WIDTH, lambda number: hermod.track(**event(number)))
    return await _figures(hermod, known, count, begun, took)


async def steady(hermod: Hermod, rate: float, seconds: float) -> dict[str, Any]:
    """So many calls a second, whether or not the earlier ones were answered."""
    known = await queryable(hermod)
    took: list[float] = []
    tasks: list[asyncio.Task[None]] = []

    async def call(number: int) -> None:
        begun = time.perf_counter()
        await hermod.track(**event(number))
        took.append(time.perf_counter() - begun)

    begun = time.perf_counter()
    while (elapsed := time.perf_counter() - begun) < seconds:
        tasks += [asyncio.create_task(call(number)) for number in range(len(tasks), round(elapsed * rate))]
        await asyncio.sleep(TICK)
    await asyncio.gather(*tasks)
    return await _figures(hermod, known, len(tasks), begun, took)


async def _figures(hermod: Hermod, known: int, count: int, begun: float, took: Sequence[float]) -> dict[str, Any]:
    """Called when all are acknowledged."""
    acknowledged = time.perf_counter() - begun
    await until_queryable(hermod, known + count)
    elapsed = time.perf_counter() - begun
    return {
        "events": count,
        "per_second": round(count / elapsed),
        "acknowledged_per_second": round(count / acknowledged),
        "queryable_after_the_last_ms": round((elapsed - acknowledged) * 1000),
        **percentiles(took),
    }


@asynccontextmanager
async def prepared(workers: int) -> AsyncIterator[tuple[Cluster, Hermod]]:
    """The product, warmed up."""
    async with temporary_cluster() as running, await Hermod.connect(settings=running.settings, tenant=TENANT) as hermod:
        await hermod.core.storage.tenants.create(TENANT, "Benchmark", hermod.core.clock.now())
        for _ in range(workers):
            await running.start_worker()
        await many(hermod, 5 * CALL)
        await singles(hermod, 2_000)
        tune_gc()
        yield running, hermod


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    async with prepared(options.workers) as (running, hermod):
        figures: dict[str, Any] = {"workers": options.workers}
        client = await asyncio.to_thread(Direct, running.clickhouse.url, running.settings.clickhouse_database)
        for name, insert in (("direct_rows", client.rows), ("direct_json_lines", client.lines)):
            console.print(f"measuring {name.replace('_', ' ')} …")
            figures[name] = await direct(options.events, insert)
        client.close()
        console.print("measuring track_many …")
        figures["track_many"] = await many(hermod, options.events)
        console.print("measuring track …")
        figures["track"] = await singles(hermod, options.singles)
        half = figures["track"]["acknowledged_per_second"] / 2
        for name, rate in (("track_steadily", options.rate), ("track_at_half", half)):
            console.print(f"measuring track, {rate:.0f} a second …")
            figures[name] = await steady(hermod, rate, options.seconds)
        share = figures["track_many"]["per_second"] / figures["direct_rows"]["per_second"]
        figures["share_of_direct"] = round(share, 2)
        figures["worker_peak_mib"] = [peak_memory(worker.pid) for worker in running.workers]
        return figures


def show(figures: dict[str, Any]) -> None:
    table = table_of("Events", "how", "queryable/s", "acknowledged/s", "acknowledged p50 / p99 ms")
    for name, found in figures.items():
        if isinstance(found, dict):
            taken = f"{found['p50_ms']} / {found['p99_ms']}" if "p50_ms" in found else ""
            acknowledged = f"{found.get('acknowledged_per_second', ''):}"
            table.add_row(name.replace("_", " "), f"{found['per_second']}", acknowledged, taken)
    Console().print(table)
    Console().print(f"track_many to clickhouse-connect's rows: {figures['share_of_direct']}")
    show_memory(figures)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.events", description=__doc__)
    parser.add_argument("--events", type=int, default=200_000, help="many at once (default: %(default)s)")
    parser.add_argument("--singles", type=int, default=40_000, help="one by one (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=2_500, help="events a second, steadily (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=10, help="of the steady run (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=1, help="worker processes (default: %(default)s)")
    run(parser, measure, show, within=timedelta(minutes=6))


if __name__ == "__main__":
    main()
