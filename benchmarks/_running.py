"""What the benchmarks share: calls at once, the figures that come of them, and how one is run and shown."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import psutil
import uvloop
from rich.console import Console
from rich.table import Table

from starter.process.exit import leave

console: Final = Console(stderr=True)
"""For what is going on; standard output is for the figures."""


def run(
    parser: argparse.ArgumentParser,
    measure: Callable[[argparse.Namespace], Coroutine[Any, Any, dict[str, Any]]],
    show: Callable[[dict[str, Any]], None],
    *,
    within: timedelta,
) -> None:
    """Measure as the command line asks, show the figures, or print them with --json, and end the process."""
    parser.add_argument("--json", action="store_true", help="figures as JSON")
    options = parser.parse_args()
    figures = uvloop.run(asyncio.wait_for(measure(options), within.total_seconds()))
    if options.json:
        print(json.dumps(figures, indent=2))
    else:
        show(figures)
    leave(0)


async def at_once(count: int, width: int, call: Callable[[int], Awaitable[Any]]) -> list[float]:
    """Make `count` calls, `width` at a time; the seconds that each took."""
    numbers = iter(range(count))
    took: list[float] = []

    async def work() -> None:
        for number in numbers:
            begun = time.perf_counter()
            await call(number)
            took.append(time.perf_counter() - begun)

    await asyncio.gather(*(work() for _ in range(width)))
    return took


def percentiles(seconds: Sequence[float]) -> dict[str, float]:
    """The median and the 99th, in milliseconds."""
    ordered = sorted(seconds)
    return {f"p{part}_ms": round(ordered[int((len(ordered) - 1) * part / 100)] * 1000, 1) for part in (50, 99)}


def peak_memory(pid: int) -> int:
    """The largest resident size of a process so far, in MiB (Linux; elsewhere the present one)."""
    with contextlib.suppress(OSError, StopIteration):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) // 1024
    return int(psutil.Process(pid).memory_info().rss) // 1024**2


def table_of(title: str, what: str, *figures: str) -> Table:
    """A table with a column for what was measured, and one for each of its figures."""
    table = Table(title=title)
    table.add_column(what)
    for figure in figures:
        table.add_column(figure, justify="right")
    return table


def show_memory(figures: dict[str, Any]) -> None:
    Console().print(f"worker's peak memory: {', '.join(map(str, figures['worker_peak_mib']))} MiB")
