"""One run: the product up, the load on it, the drain, and the verdict. Exit code 1 where a promise was broken."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import time
from datetime import timedelta
from random import Random
from typing import Any, Final

import uvloop

from benchmarks import soak
from benchmarks._running import console
from benchmarks.soak import report
from benchmarks.soak.accepted import Accepted
from benchmarks.soak.census import Progress, drained, orphaned, progress, waiting
from benchmarks.soak.load import Load
from benchmarks.soak.operations import Operator
from benchmarks.soak.product import Product, running_product
from benchmarks.soak.samples import Sample, Sampler
from benchmarks.soak.verdict import early, judge
from starter.process.exit import leave
from starter.process.processes import tune_gc

LINE_EVERY: Final = 5.0
RUNNING: Final = "calls and processes"
EARLY_EVERY: Final = 12
"""Lines of progress between two looks at what the providers have seen."""
OWNED_WITHIN: Final = 45.0
"""Seconds in which the sweeper has to give what is open a workflow."""
STOPPED_WITHIN: Final = 20.0
START_AND_END: Final = timedelta(minutes=5)


async def measure(options: argparse.Namespace) -> tuple[dict[str, Any], list[Sample]]:
    accepted, seconds = Accepted(), options.minutes * 60
    console.print("starting the product …")
    async with running_product(options.rate) as product:
        tune_gc()
        beside = (os.getpid(), product.cluster.sandbox.child.pid)
        sampler = Sampler(product.servers, beside, product.hermod, product.temporal)
        load = Load(product, accepted, Random(options.seed), options.rate)
        operator = Operator(product, accepted, Random(options.seed + 1))
        early_broken: list[str] = []
        waits: list[Progress] = []
        watching = [asyncio.create_task(sampler.run()), asyncio.create_task(_watch(product, waits, early_broken))]
        async with asyncio.TaskGroup() as group:
            group.create_task(load.run(seconds))
            group.create_task(operator.run(seconds))
        await sampler.take(seconds)
        samples = list(sampler.samples)
        console.print("the load has stopped; waiting for what is under way …")
        drain, undone = await drained(product, options.drain * 60)
        console.print(f"that took {drain:.0f} s; comparing all records …")
        running = [f"{number} {what} were still under way after {drain:.0f} s" for what, number in undone.items()]
        running += await orphaned(product.hermod, product.temporal, OWNED_WITHIN)
        await _end(watching)
        longest = max(waits, key=lambda each: each.oldest, default=None)
        left = await waiting(product)
        running += await _stopped(product)
        api = product.api
        running += [f"{number} × an answer that was not due: {call}" for call, number in api.unexpected.items()]
        running += [f"{number} × no answer: {error}" for error, number in api.unanswered.items()]
        broken, counts = await judge(product.records, accepted)
        broken["messages"] += early_broken
        broken[RUNNING] = running
    figures = {
        "minutes": options.minutes,
        "rate": options.rate,
        "seed": options.seed,
        "cores": os.cpu_count(),
        "broken": {about: lines for about, lines in broken.items() if lines},
        "accepted": accepted.counts(),
        "found": counts,
        "waiting": dict(left.most_common()),
        "longest_wait": {"seconds": round(longest.oldest, 1), "of": longest.oldest_kind} if longest else None,
        "drained_after": round(drain, 1),
        "calls": dict(api.calls.most_common()),
        "asked_to_wait": api.asked_to_wait,
        "left_out": dict(load.left_out),
        "faults": dict(operator.faults.most_common()),
        "retried": len(accepted.retried),
        "cancelled": len(accepted.cancelled),
        "replayed": operator.replayed,
        "usage": report.usage_of(samples),
    }
    return figures, samples


async def _watch(product: Product, seen: list[Progress], broken: list[str]) -> None:
    """A line of progress now and then, and what can be found broken on the way. Until cancelled."""
    begun = time.monotonic()
    for line in itertools.count(1):
        await asyncio.sleep(LINE_EVERY)
        now = await progress(product.hermod)
        seen.append(now)
        oldest = f"{now.oldest_kind} {now.oldest:.1f} s" if now.oldest_kind else "none"
        usage = report.memory_of(product.servers)
        console.print(
            f"{(time.monotonic() - begun) / 60:5.1f} min  accepted {now.accepted}  final {now.final}  open {now.open}"
            f"  oldest not begun: {oldest}  repeated {now.repeated}  unknown {now.unknown}  {usage}",
            highlight=False,
            soft_wrap=True,
        )
        if line % EARLY_EVERY == 0:
            broken += await early(product.records)


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    """Cancel; an error that ended one of them before is raised."""
    for task in tasks:
        task.cancel()
    for task in tasks:
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _stopped(product: Product) -> list[str]:
    """Stop worker and web, so that nothing moves any more. Each has to have lived so long, and to end well."""
    ended = []
    for child in (product.worker, product.web):
        early_end = child.exit_code is not None
        await child.stop(within=STOPPED_WITHIN)
        if early_end or child.exit_code != 0:
            ended.append(f"{child.program.name} ended with {child.exit_code}{' by itself' if early_end else ''}")
    return ended


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.soak",
        description=soak.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--minutes", type=float, default=30, help="of load (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=1.0, help="scales the load (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of chance (default: %(default)s)")
    parser.add_argument("--drain", type=float, default=5, help="minutes to end what is begun (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="figures as JSON")
    parser.add_argument("--write-docs", action="store_true", help="write docs/soak.md, its picture, and the figures")
    options = parser.parse_args()
    within = timedelta(minutes=options.minutes + options.drain) + START_AND_END
    figures, samples = uvloop.run(asyncio.wait_for(measure(options), within.total_seconds()))
    if options.write_docs:
        report.written(figures, samples)
    if options.json:
        print(json.dumps(figures, indent=2))
    else:
        report.show(figures)
    leave(1 if figures["broken"] else 0)


if __name__ == "__main__":
    main()
