"""Single calls at a steady rate: how long until each is accepted and at its provider, and whether that stays so.

    python -m benchmarks.steady [--rates 5,100,1000] [--seconds 20] [--workers 1] [--json]

Calls come at even intervals, whatever became of those before, as callers do who know nothing of each other. The figures
of the last third beside those of all say whether a queue grows. A rate that is not kept up with shows as `behind`: the
messages that were accepted and not sent when the last call had been made.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from datetime import timedelta
from typing import Any

from rich.console import Console
from sqlalchemy import text

from benchmarks._running import console, peak_memory, percentiles, run, show_memory, table_of
from benchmarks.throughput import email, product, sent_so_far, until_all_sent
from devstack.cluster import temporary_cluster
from starter import Hermod

_ON_THE_WAY = text("""
    SELECT extract(epoch FROM a.started_at - m.created_at) AS seconds
      FROM messages m JOIN attempts a ON a.tenant_id = m.tenant_id AND a.message_id = m.id AND a.number = 1
     WHERE m.id > :since ORDER BY m.id
""")
"""From accept to the request at the provider, in the order of the calls."""
_WORKFLOWS = text("SELECT count(DISTINCT workflow_id) AS n FROM messages WHERE id > :since")


async def steadily(hermod: Hermod, rate: float, seconds: float) -> dict[str, Any]:
    known, last = await sent_so_far(hermod)
    took: list[float] = []
    calls: list[asyncio.Task[None]] = []

    async def call(number: int) -> None:
        begun = time.perf_counter()
        await hermod.send(email(number))
        took.append(time.perf_counter() - begun)

    begun = time.perf_counter()
    count = round(rate * seconds)
    for number in range(count):
        await asyncio.sleep(max(0.0, begun + number / rate - time.perf_counter()))
        calls.append(asyncio.create_task(call(number)))
    await asyncio.gather(*calls)
    elapsed = time.perf_counter() - begun
    sent, _ = await sent_so_far(hermod)
    await until_all_sent(hermod, known, count)
    database = hermod.core.storage.database
    on_the_way = [float(row.seconds) for row in await database.rows(_ON_THE_WAY, {"since": last})]
    return {
        "rate": rate,
        "messages": count,
        "accepted_per_second": round(count / elapsed),
        "behind": count - (sent - known),
        "workflows": (await database.rows(_WORKFLOWS, {"since": last}))[0].n,
        "accept": percentiles(took),
        "to_provider": percentiles(on_the_way),
        "to_provider_at_the_end": percentiles(on_the_way[-max(count // 3, 1) :]),
    }


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    async with temporary_cluster() as running, product(running, options.workers) as hermod:
        await hermod.send_many([email(number) for number in range(500)])
        await until_all_sent(hermod, 0, 500)
        figures: dict[str, Any] = {"steady": []}
        for rate in options.rates:
            console.print(f"measuring {rate:g}/s for {options.seconds:g} s …")
            figures["steady"].append(await steadily(hermod, rate, options.seconds))
            await asyncio.sleep(2)
        figures["worker_peak_mib"] = [peak_memory(worker.pid) for worker in running.workers]
        return figures


def show(figures: dict[str, Any]) -> None:
    table = table_of(
        "Single calls at a steady rate (p50 / p99 ms)",
        "calls/s",
        "accepted/s",
        "behind",
        "messages a workflow",
        "accept",
        "to the provider",
        "the last third",
    )
    for row in figures["steady"]:
        spreads = (row[name] for name in ("accept", "to_provider", "to_provider_at_the_end"))
        table.add_row(
            f"{row['rate']:g}",
            str(row["accepted_per_second"]),
            str(row["behind"]),
            f"{row['messages'] / row['workflows']:.1f}",
            *(f"{spread['p50_ms']} / {spread['p99_ms']}" for spread in spreads),
        )
    Console().print(table)
    show_memory(figures)


def _rates(given: str) -> list[float]:
    return [float(rate) for rate in given.split(",")]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.steady", description=__doc__)
    parser.add_argument("--rates", type=_rates, default=[5.0, 100.0, 1000.0], help="calls a second (5,100,1000)")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each rate (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=1, help="worker processes (default: %(default)s)")
    run(parser, measure, show, within=timedelta(minutes=60))


if __name__ == "__main__":
    main()
