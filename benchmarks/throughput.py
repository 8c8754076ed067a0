"""Messages a second, one by one and many at once, beside the engine's floor on the same servers in the same run.

    python -m benchmarks.throughput [--messages 10000] [--singles 2000] [--workers 1] [--json]

The floor is empty workflows a second: what Temporal's dev server gives on this machine before Hermod does anything.
Everything shares the machine: PostgreSQL (durable), Temporal (database file), the sandbox, the worker, and this client.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Any

from pydantic import SecretStr
from rich.console import Console
from sqlalchemy import text
from temporalio import workflow
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from benchmarks._running import at_once, console, peak_memory, run, show_memory, table_of
from devstack.cluster import Cluster, temporary_cluster
from hermod.contracts.notifications.content import Channel, Email
from hermod.contracts.notifications.messages import Status
from hermod.contracts.tenants.accounts import AccountInput
from starter import Hermod
from starter.temporal.connection import connect

TENANT = "bench"


@workflow.defn(name="BenchmarkFloor", sandboxed=False)
class Floor:
    @workflow.run
    async def run(self) -> None:
        return None


async def floor(client: Client, count: int) -> float:
    """Empty workflows a second, thirty at a time."""
    async with Worker(
        client, task_queue="benchmark-floor", workflows=[Floor], workflow_runner=UnsandboxedWorkflowRunner()
    ):

        async def one(number: int) -> None:
            await client.execute_workflow(
                Floor.run, id=f"floor-{number}-{time.time_ns()}", task_queue="benchmark-floor"
            )

        await at_once(50, 10, one)
        begun = time.perf_counter()
        await at_once(count, 30, one)
        return count / (time.perf_counter() - begun)


def email(number: int) -> Email:
    return Email(to=f"user{number}@example.com", subject=f"Order {number}", text="Thank you for your order. " * 8)


async def until_all_sent(hermod: Hermod, known: int, count: int) -> None:
    """Wait until `count` messages beyond the `known` ones are sent."""
    statement = text("SELECT count(*) AS n FROM messages WHERE status = 'sent'")
    deadline = time.monotonic() + 300
    while (await hermod.core.storage.database.rows(statement, {}))[0].n - known < count:
        if time.monotonic() > deadline:
            raise TimeoutError("not everything was sent within five minutes")
        await asyncio.sleep(0.05)


async def latencies(hermod: Hermod, since: str) -> dict[str, float]:
    """Milliseconds from accept to the request at the provider, of the messages after the id `since`."""
    statement = text("""
        SELECT percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP
               (ORDER BY extract(epoch FROM a.started_at - m.created_at) * 1000) AS p
          FROM messages m JOIN attempts a ON a.tenant_id = m.tenant_id AND a.message_id = m.id AND a.number = 1
         WHERE m.id > :since
    """)
    p50, p95, p99 = (await hermod.core.storage.database.rows(statement, {"since": since}))[0].p
    return {"p50_ms": round(p50, 1), "p95_ms": round(p95, 1), "p99_ms": round(p99, 1)}


async def sent_so_far(hermod: Hermod) -> tuple[int, str]:
    statement = text("SELECT count(*) FILTER (WHERE status = 'sent') AS n, coalesce(max(id), '') AS last FROM messages")
    row = (await hermod.core.storage.database.rows(statement, {}))[0]
    return row.n, row.last


async def singles(hermod: Hermod, count: int, width: int) -> dict[str, Any]:
    known, last = await sent_so_far(hermod)
    begun = time.perf_counter()
    took = sorted(await at_once(count, width, lambda number: hermod.send(email(number))))
    accepted = time.perf_counter() - begun
    await until_all_sent(hermod, known, count)
    elapsed = time.perf_counter() - begun
    return {
        "messages": count,
        "at_once": width,
        "per_second": round(count / elapsed),
        "accepted_per_second": round(count / accepted),
        "accept_p50_ms": round(took[len(took) // 2] * 1000, 1),
        "accept_p99_ms": round(took[int(len(took) * 0.99)] * 1000, 1),
        **await latencies(hermod, last),
    }


async def alone(hermod: Hermod, count: int) -> dict[str, Any]:
    """One message at a time, each sent before the next is handed over."""
    _, last = await sent_so_far(hermod)

    async def one(number: int) -> None:
        receipt = await hermod.send(email(number))
        while (await hermod.status(receipt.id)).status is not Status.SENT:
            await asyncio.sleep(0.003)

    begun = time.perf_counter()
    await at_once(count, 1, one)
    return {
        "messages": count,
        "per_second": round(count / (time.perf_counter() - begun)),
        **await latencies(hermod, last),
    }


async def many(hermod: Hermod, count: int) -> dict[str, Any]:
    contents: Sequence[Email] = [email(number) for number in range(count)]
    known, last = await sent_so_far(hermod)
    begun = time.perf_counter()
    receipt = await hermod.send_many(contents)
    accepted = time.perf_counter() - begun
    if len(receipt.receipts) != count:
        raise RuntimeError(f"{len(receipt.rejected)} messages were rejected")
    await until_all_sent(hermod, known, count)
    elapsed = time.perf_counter() - begun
    return {
        "messages": count,
        "per_second": round(count / elapsed),
        "accepted_per_second": round(count / accepted),
        **await latencies(hermod, last),
    }


@contextlib.asynccontextmanager
async def product(running: Cluster, workers: int) -> AsyncIterator[Hermod]:
    async with await Hermod.connect(settings=running.settings, tenant=TENANT) as hermod:
        core = hermod.core
        await core.storage.tenants.create(TENANT, "Benchmark", core.clock.now())
        account = AccountInput(
            channel=Channel.EMAIL,
            provider="sandbox",
            credentials={"api_key": SecretStr("benchmark")},
            base_url=f"{running.sandbox.url}/sandbox",
            from_="shop@example.com",
        )
        await core.storage.accounts.put(TENANT, "sandbox", account, actor="benchmark", now=core.clock.now())
        for _ in range(workers):
            await running.start_worker()
        yield hermod


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    async with temporary_cluster() as running, product(running, options.workers) as hermod:
        client = await connect(running.settings, lazy=False)
        await hermod.send_many([email(number) for number in range(500)])
        await until_all_sent(hermod, 0, 500)
        figures: dict[str, Any] = {"workers": options.workers}
        for name, step in (
            ("floor", lambda: floor(client, 500)),
            ("single_calls_alone", lambda: alone(hermod, 100)),
            ("single_calls_in_a_burst", lambda: singles(hermod, options.singles, 200)),
            ("send_many", lambda: many(hermod, options.messages)),
            ("floor_again", lambda: floor(client, 500)),
        ):
            console.print(f"measuring {name} …")
            figures[name] = await step()
        figures["worker_peak_mib"] = [peak_memory(worker.pid) for worker in running.workers]
        return figures


def show(figures: dict[str, Any]) -> None:
    base = (figures["floor"] + figures["floor_again"]) / 2
    title = f"Messages a second (engine's floor: {base:.0f} empty workflows/s)"
    table = table_of(title, "how", "messages/s", "× floor", "accepted/s", "accept → provider p50 / p95 / p99 ms")
    for name in ("single_calls_alone", "single_calls_in_a_burst", "send_many"):
        row = figures[name]
        spread = f"{row['p50_ms']} / {row['p95_ms']} / {row['p99_ms']}"
        table.add_row(
            name.replace("_", " "),
            str(row["per_second"]),
            f"{row['per_second'] / base:.1f}",
            str(row.get("accepted_per_second", "")),
            spread,
        )
    Console().print(table)
    show_memory(figures)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.throughput", description=__doc__)
    parser.add_argument("--messages", type=int, default=10_000, help="for send_many (default: %(default)s)")
    parser.add_argument(
        "--singles", type=int, default=2_000, help="for the burst of single calls (default: %(default)s)"
    )
    parser.add_argument("--workers", type=int, default=1, help="worker processes (default: %(default)s)")
    run(parser, measure, show, within=timedelta(minutes=15))


if __name__ == "__main__":
    main()
