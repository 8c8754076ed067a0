"""What a slow account does to those who share it: fairness, urgency, and the rate as the provider sees it.

    python -m benchmarks.rates [--rate 50] [--large 5000] [--small 50] [--workers 2] [--seconds 20] [--json]

Two tenants use one real account. The large one queues thousands of messages; then the small one queues a few, and
urgent messages of the large one come one by one. Nobody waits for the thousands to end: after `--seconds` the requests
that the provider took are counted, second by second, from its own record.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from datetime import datetime, timedelta
from typing import Any, Final

import httpx
from pydantic import SecretStr
from rich.console import Console

from benchmarks._running import console, run, table_of
from benchmarks.throughput import email
from devstack.cluster import Cluster, temporary_cluster
from hermod.contracts.notifications.content import Channel
from hermod.contracts.notifications.messages import Status
from hermod.contracts.tenants.accounts import AccountInput
from hermod.domain.rates import burst
from starter import Hermod

URGENT_MESSAGES: Final = 5
PAGE: Final = 500


async def tenant(core: Hermod, running: Cluster, name: str, rate: float) -> Hermod:
    """A tenant with the one account that they all share."""
    storage, now = core.core.storage, core.core.clock.now()
    await storage.tenants.create(name, name, now)
    account = AccountInput(
        channel=Channel.EMAIL,
        provider="sandbox",
        credentials={"api_key": SecretStr("one-real-account")},
        base_url=f"{running.sandbox.url}/sandbox",
        from_="shop@example.com",
        rate_per_second=rate,
    )
    await storage.accounts.put(name, "main", account, actor="benchmark", now=now)
    return core.as_tenant(name, "benchmark")


async def sent(hermod: Hermod, ids: list[str]) -> None:
    """Wait until all of them are."""
    for id in ids:
        while (await hermod.status(id)).status is not Status.SENT:
            await asyncio.sleep(0.02)


async def received(running: Cluster) -> list[datetime]:
    """When the provider took each message, in order."""
    times: list[datetime] = []
    before: int | None = None
    async with httpx.AsyncClient(base_url=running.sandbox.url) as sandbox:
        while True:
            query: dict[str, str | int] = {"provider": "sandbox", "limit": PAGE, "brief": 1}
            if before is not None:
                query["before"] = before
            items = (await sandbox.get("/_sandbox/inbox", params=query)).raise_for_status().json()["items"]
            times += [datetime.fromisoformat(item["received_at"]) for item in items]
            if len(items) < PAGE:
                return sorted(times)
            before = min(item["number"] for item in items)


def densest_second(times: list[datetime]) -> int:
    """The most requests in any second."""
    most = first = 0
    for last, at in enumerate(times):
        while at - times[first] >= timedelta(seconds=1):
            first += 1
        most = max(most, last - first + 1)
    return most


async def scenario(running: Cluster, options: argparse.Namespace) -> dict[str, Any]:
    async with await Hermod.connect(settings=running.settings) as core:
        large, small = [await tenant(core, running, name, options.rate) for name in ("large", "small")]
        for _ in range(options.workers):
            await running.start_worker()
        begun = time.perf_counter()
        await large.send_many([email(number) for number in range(options.large)])
        while not await received(running):
            await asyncio.sleep(0.05)
        await asyncio.sleep(2)
        console.print("the small tenant comes …")
        came = time.perf_counter()
        receipt = await small.send_many([email(number) for number in range(options.small)])
        await sent(small, [one.id for one in receipt.receipts])
        small_took = time.perf_counter() - came
        console.print("urgent messages come …")
        urgent_took = []
        for number in range(URGENT_MESSAGES):
            came = time.perf_counter()
            await sent(large, [(await large.send(email(number), priority=10)).id])
            urgent_took.append(time.perf_counter() - came)
        await asyncio.sleep(max(0.0, options.seconds - (time.perf_counter() - begun)))
        times = await received(running)
        span = (times[-1] - times[0]).total_seconds()
        return {
            "rate": options.rate,
            "slice": burst(options.rate),
            "workers": options.workers,
            "queued_by_the_large_tenant": options.large,
            "small_tenant_messages": options.small,
            "small_tenant_done_s": round(small_took, 2),
            "urgent_sent_s": [round(took, 2) for took in urgent_took],
            "taken_by_the_provider": len(times),
            "in_s": round(span, 1),
            "per_second": round((len(times) - 1) / span, 2),
            "most_in_any_second": densest_second(times),
        }


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    async with temporary_cluster() as running:
        return await scenario(running, options)


def show(figures: dict[str, Any]) -> None:
    title = f"{figures['rate']:g} messages a second for two tenants, {figures['workers']} workers"
    table = table_of(title, "what", "figure")
    for name, figure in figures.items():
        table.add_row(name.replace("_", " "), str(figure))
    Console().print(table)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rates", description=__doc__)
    parser.add_argument("--rate", type=float, default=50, help="messages a second (default: %(default)s)")
    parser.add_argument("--large", type=int, default=5_000, help="queued by the large tenant (default: %(default)s)")
    parser.add_argument("--small", type=int, default=50, help="queued by the small one (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=2, help="worker processes (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=20, help="how long to watch (default: %(default)s)")
    run(parser, measure, show, within=timedelta(minutes=5))


if __name__ == "__main__":
    main()
