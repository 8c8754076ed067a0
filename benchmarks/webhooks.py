"""Webhook deliveries a second and how long each takes, and what one hung endpoint of a hundred does to the others.

    python -m benchmarks.webhooks [--deliveries 600] [--ordered 300] [--rate 30] [--seconds 20] [--workers 1] [--json]

First, events for 1, 10 and 100 endpoints, many at once: deliveries a second, and the time from `emit` to the
receiver's 200. Then events for one endpoint that keeps order, with one ordering key and with fifty. Then events at a
steady rate, in small bursts, for 100 endpoints, once with all of them well and once with one that never answers: how
long `emit` takes (publish), and the deliveries to the other 99. PostgreSQL (durable), Temporal (database file), the
worker, the receiver and this client share the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, Final, cast

import orjson
from rich.console import Console

from benchmarks._running import at_once, console, peak_memory, percentiles, run, show_memory, table_of
from devstack.cluster import temporary_cluster
from devstack.servers.ports import LOOPBACK
from hermod.contracts.webhooks.deliveries import EndpointSettings, Ordering
from starter import Hermod

TENANT: Final = "bench"
HUNG: Final = "/hung"
TICK: Final = 0.5
"""Seconds."""
KEYS: Final = 50
_OK: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: text/plain\r\n\r\nok"


class Receiver(asyncio.Protocol):
    """One connection of a receiver that answers 200, or nothing at all under `HUNG`."""

    def __init__(self, answered: dict[int, float]) -> None:
        self._answered = answered
        self._buffer = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none of asyncio's classes.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].lower()
            length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
            if len(self._buffer) < end + 4 + length:
                return
            body, self._buffer = self._buffer[end + 4 : end + 4 + length], self._buffer[end + 4 + length :]
            if HUNG.encode() not in head.partition(b"\r\n")[0]:
                self._transport.write(_OK)
                self._answered.setdefault(int(orjson.loads(body)["data"]["number"]), time.perf_counter())


class Bench:
    """A tenant's endpoints, the events that were emitted, and when each was answered."""

    def __init__(self, hermod: Hermod, port: int, answered: dict[int, float]) -> None:
        self.hermod = hermod
        self.answered = answered
        self.begun: dict[int, float] = {}
        self.published: dict[int, float] = {}
        self._port = port
        self._groups = 0

    async def endpoints(self, count: int, *, hung: int = 0, ordering: Ordering = Ordering.NONE) -> list[str]:
        """The event types of so many new endpoints, one each; the first `hung` of them never answer."""
        self._groups += 1
        types = [f"bench.g{self._groups}.e{number}" for number in range(count)]
        core = self.hermod.core
        for number, kind in enumerate(types):
            path = HUNG if number < hung else "/ok"
            url = f"http://{LOOPBACK}:{self._port}{path}"
            settings = EndpointSettings(url=url, event_types=(kind,), ordering=ordering)
            await core.storage.webhook_endpoints.create(TENANT, settings, actor="benchmark", now=core.clock.now())
        # Every process may go by a list of endpoints that is a second old.
        await asyncio.sleep(1.1)
        return types

    async def emit(self, kind: str, key: str | None = None) -> int:
        number = len(self.begun)
        self.begun[number] = begun = time.perf_counter()
        payload = {"number": number, "order": "ord_1", "total": 4999, "currency": "EUR"}
        await self.hermod.emit(kind, payload, ordering_key=key)
        self.published[number] = time.perf_counter() - begun
        return number

    async def until_answered(self, numbers: Sequence[int], within: float) -> None:
        deadline = time.monotonic() + within
        while missing := [number for number in numbers if number not in self.answered]:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(missing)} of {len(numbers)} deliveries were not made within {within:g} s")
            await asyncio.sleep(0.02)

    def took(self, numbers: Sequence[int]) -> dict[str, float]:
        """From `emit` to the receiver's answer."""
        return percentiles([self.answered[number] - self.begun[number] for number in numbers])


async def burst(bench: Bench, endpoints: int, deliveries: int, *, keys: int = 0) -> dict[str, Any]:
    """All at once, as fast as they are taken; with `keys`, the endpoints keep order and the events have so many."""
    types = await bench.endpoints(endpoints, ordering=Ordering.BY_KEY if keys else Ordering.NONE)
    numbers: list[int] = []

    async def one(number: int) -> None:
        key = f"key-{number % keys}" if keys else None
        numbers.append(await bench.emit(types[number % endpoints], key))

    begun = time.perf_counter()
    await at_once(deliveries, 100, one)
    accepted = time.perf_counter() - begun
    await bench.until_answered(numbers, within=60)
    elapsed = max(bench.answered[number] for number in numbers) - begun
    return {
        "deliveries": deliveries,
        "per_second": round(deliveries / elapsed),
        "accepted_per_second": round(deliveries / accepted),
        **bench.took(numbers),
    }


async def steady(bench: Bench, options: argparse.Namespace, *, hung: int) -> dict[str, Any]:
    """Events at a steady rate, some at once every `TICK`, for 100 endpoints in turn."""
    types = await bench.endpoints(100, hung=hung)
    well: list[int] = []
    tasks = []

    async def one(turn: int) -> None:
        number = await bench.emit(types[turn % len(types)])
        if turn % len(types) >= hung:
            well.append(number)

    first, begun = len(bench.begun), time.perf_counter()
    at_a_time = round(options.rate * TICK)
    for tick in range(round(options.seconds / TICK)):
        await asyncio.sleep(max(0.0, begun + tick * TICK - time.perf_counter()))
        tasks += [asyncio.create_task(one(tick * at_a_time + number)) for number in range(at_a_time)]
    await asyncio.gather(*tasks)
    await bench.until_answered(well, within=30)
    published = percentiles([bench.published[number] for number in range(first, len(bench.begun))])
    return {
        "hung": hung,
        "per_second": options.rate,
        "deliveries_to_the_others": len(well),
        **{f"publish_{name}": value for name, value in published.items()},
        **bench.took(well),
    }


@asynccontextmanager
async def prepared(workers: int) -> AsyncIterator[tuple[Bench, list[int]]]:
    """The product with a receiver, warmed up; and the process ids of its workers."""
    async with temporary_cluster() as running, await Hermod.connect(settings=running.settings, tenant=TENANT) as hermod:
        await hermod.core.storage.tenants.create(TENANT, "Benchmark", hermod.core.clock.now())
        answered: dict[int, float] = {}
        server = await asyncio.get_running_loop().create_server(lambda: Receiver(answered), LOOPBACK, 0)
        for _ in range(workers):
            await running.start_worker()
        bench = Bench(hermod, server.sockets[0].getsockname()[1], answered)
        await burst(bench, 10, 200)
        yield bench, [worker.pid for worker in running.workers]
        server.close()


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    async with prepared(options.workers) as (bench, workers):
        figures: dict[str, Any] = {"workers": options.workers}
        for endpoints in (1, 10, 100):
            console.print(f"measuring {endpoints} endpoints …")
            figures[f"endpoints_{endpoints}"] = await burst(bench, endpoints, options.deliveries)
        for name, keys in (("ordered_one_key", 1), (f"ordered_{KEYS}_keys", KEYS)) if options.ordered else ():
            console.print(f"measuring {name.replace('_', ' ')} …")
            figures[name] = await burst(bench, 1, options.ordered, keys=keys)
        for name, hung in (("all_well", 0), ("one_hung_of_100", 1)):
            console.print(f"measuring {name.replace('_', ' ')} …")
            figures[name] = await steady(bench, options, hung=hung)
        figures["worker_peak_mib"] = [peak_memory(pid) for pid in workers]
        return figures


def show(figures: dict[str, Any]) -> None:
    table = table_of("Webhook deliveries", "how", "deliveries/s", "publish p50 / p99 ms", "emit → 200 p50 / p99 ms")
    for name, row in figures.items():
        if isinstance(row, dict):
            published = f"{row['publish_p50_ms']} / {row['publish_p99_ms']}" if "publish_p50_ms" in row else ""
            taken = f"{row['p50_ms']} / {row['p99_ms']}"
            table.add_row(name.replace("_", " "), f"{row['per_second']:g}", published, taken)
    Console().print(table)
    show_memory(figures)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.webhooks", description=__doc__)
    parser.add_argument("--deliveries", type=int, default=600, help="of each burst (default: %(default)s)")
    parser.add_argument("--ordered", type=int, default=300, help="in order; 0: leave that out (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=30, help="events a second, steadily (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=20, help="of each steady run (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=1, help="worker processes (default: %(default)s)")
    run(parser, measure, show, within=timedelta(minutes=5))


if __name__ == "__main__":
    main()
