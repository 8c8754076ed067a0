"""How long the questions of the console take with ten million events and ten million changes of state.

    python -m benchmarks.analytics [--rows 10000000] [--runs 7] [--json]

ClickHouse makes the rows itself, so that only the questions are measured: a month of one tenant, whom every question is
about as a whole. They are asked as the API asks them, over HTTP, one after another; the CPU time is the server's.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import psutil
from rich.console import Console

from benchmarks._running import console, run, table_of
from devstack.servers.clickhouse import ClickHouseServer
from hermod.analytics.client import ClickHouse
from hermod.analytics.places import Server
from hermod.analytics.queries import AnalyticsQueries
from hermod.analytics.schema import Schema
from hermod.contracts.analytics.queries import FunnelAsked, Interval, TimeseriesAsked, TopAsked
from hermod.telemetry import configure_logging

TENANT: Final = "bench"
UNTIL: Final = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
SINCE: Final = UNTIL - timedelta(days=30)
CHUNK: Final = 1_000_000
TARGET_MS: Final = 200

_EVENTS: Final = f"""
    INSERT INTO events
    SELECT '{TENANT}',
           multiIf(p < 600, 'page.viewed', p < 740, 'page.clicked', p < 820, 'search.made', p < 880, 'cart.added',
                   p < 920, 'form.opened', p < 950, 'order.begun', p < 970, 'form.submitted', p < 985, 'order.paid',
                   'user.signed_in') AS type,
           fromUnixTimestamp64Milli(toInt64({int(SINCE.timestamp())}000 + h2 % (30 * 86400000)), 'UTC'),
           now64(3), '', concat('customer-', toString(h3 % 200000)), concat('s-', toString(h3 % 1000000)), 'api',
           concat('{{"plan":"', ['free', 'pro', 'team'][1 + h4 % 3], '","price":', toString(h5 % 500),
                  ',"path":"/p/', toString(h6 % 5000), '"}}')
      FROM (SELECT cityHash64(number, 1) % 1000 AS p, cityHash64(number, 2) AS h2, cityHash64(number, 3) AS h3,
                   cityHash64(number, 4) AS h4, cityHash64(number, 5) AS h5, cityHash64(number, 6) AS h6
              FROM numbers({{start:UInt64}}, {{count:UInt64}}))
"""
_STATES: Final = f"""
    INSERT INTO message_states
           (tenant, channel, state, sign, at, accepted_at, message_id, provider, account, template, category, campaign)
    SELECT '{TENANT}', ['email', 'email', 'email', 'sms', 'push'][1 + h1 % 5],
           multiIf(number % 4 = 0, 'accepted', number % 4 = 1, 'sent', number % 4 = 2,
                   multiIf(h2 % 100 < 95, 'delivered', h2 % 100 < 98, 'bounced', 'failed'),
                   multiIf(h2 % 100 < 55, 'delivered', h2 % 100 < 85, 'opened', 'clicked')),
           1, accepted + toIntervalMillisecond((number % 4) * 900), accepted,
           concat('msg_', leftPad(lower(hex(toUnixTimestamp64Milli(accepted))), 12, '0'), lower(hex(h3))),
           'ses', 'main', ['welcome/de@3', 'order/en@1', '', 'news/en@9'][1 + h1 % 4], 'marketing',
           concat('campaign-', toString(toDayOfMonth(accepted)))
      FROM (SELECT number, cityHash64(intDiv(number, 4), 1) AS h1, cityHash64(number, 2) AS h2,
                   cityHash64(intDiv(number, 4), 3) AS h3,
                   fromUnixTimestamp64Milli(
                     toInt64({int(SINCE.timestamp())}000 + cityHash64(intDiv(number, 4), 4) % (30 * 86400000)), 'UTC')
                     AS accepted
              FROM numbers({{start:UInt64}}, {{count:UInt64}}))
"""

Question = Callable[[AnalyticsQueries], Awaitable[Any]]


def series(interval: Interval, days: float = 30, **asked: Any) -> Question:
    wanted = TimeseriesAsked(interval=interval, **asked)
    return lambda queries: queries.timeseries(TENANT, wanted, UNTIL - timedelta(days=days), UNTIL)


def top(by: str, **asked: Any) -> Question:
    return lambda queries: queries.top(TENANT, TopAsked(by=by, **asked), SINCE, UNTIL)


def messages(**asked: Any) -> Question:
    return lambda queries: queries.messages(TENANT, FunnelAsked(**asked), SINCE, UNTIL)


def steps(*types: str, **asked: Any) -> Question:
    return lambda queries: queries.steps(TENANT, types, FunnelAsked(**asked), SINCE, UNTIL)


QUESTIONS: Final[dict[str, Question]] = {
    "timeseries, all types, by hour": series(Interval.HOUR),
    "timeseries, order.*, by hour": series(Interval.HOUR, type="order.*"),
    "timeseries, one day, by minute": series(Interval.MINUTE, days=1),
    "timeseries, order.paid where plan is pro": series(Interval.DAY, type="order.paid", property=["plan=pro"]),
    "timeseries, all types where plan is pro": series(Interval.DAY, property=["plan=pro"]),
    "top types": top("type"),
    "top plans of order.paid": top("property:plan", type="order.paid"),
    "top plans of all events": top("property:plan"),
    "top contacts of order.*": top("contact", type="order.*"),
    "top contacts of all events": top("contact"),
    "message funnel by channel": messages(),
    "message funnel of one campaign": messages(campaign="campaign-7"),
    "message funnel of one template": messages(template="welcome"),
    "cart, begun, paid by contact": steps("cart.added", "order.begun", "order.paid"),
    "cart, begun, paid by session, in an hour": steps(
        "cart.added", "order.begun", "order.paid", by="session", within=3600
    ),
    "page, cart, paid by contact": steps("page.viewed", "cart.added", "order.paid"),
}


@asynccontextmanager
async def _alone() -> AsyncIterator[None]:
    yield


async def filled(clickhouse: ClickHouse, schema: Schema, rows: int) -> dict[str, float]:
    """Make the rows; the seconds that each table took."""
    await schema.prepare()
    took = {}
    for table, statement in (("events", _EVENTS), ("message_states", _STATES)):
        begun = time.perf_counter()
        for start in range(0, rows, CHUNK):
            console.print(f"making {table}: {start:,} of {rows:,}")
            await clickhouse.command(statement, {"start": start, "count": min(CHUNK, rows - start)})
        took[table] = round(time.perf_counter() - begun, 1)
        (found,) = await clickhouse.rows(f"SELECT count() AS rows FROM {table}")
        if found["rows"] != rows:
            raise RuntimeError(f"{found['rows']:,} of {rows:,} rows are in {table}")
    return took


async def timed(question: Question, queries: AnalyticsQueries, server: psutil.Process, runs: int) -> dict[str, float]:
    """Once to warm up, then `runs` times."""
    await question(queries)
    wall: list[float] = []
    before = server.cpu_times()
    for _ in range(runs):
        begun = time.perf_counter()
        await question(queries)
        wall.append((time.perf_counter() - begun) * 1000)
    after = server.cpu_times()
    cpu = (after.user + after.system - before.user - before.system) * 1000 / runs
    return {"best_ms": round(min(wall)), "p50_ms": round(statistics.median(wall)), "cpu_ms": round(cpu)}


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="hermod-bench-") as folder:
        server = ClickHouseServer(folder=Path(folder) / "data", log=Path(folder) / "log")
        await server.start()
        clickhouse = ClickHouse(Server(server.url), "bench")
        try:
            schema = Schema(clickhouse, 400, _alone)
            made = await filled(clickhouse, schema, options.rows)
            queries = AnalyticsQueries(clickhouse, schema)
            process = psutil.Process(server.child.pid)
            figures: dict[str, Any] = {"rows_of_each_table": options.rows, "made_in_seconds": made, "questions": {}}
            for name, question in QUESTIONS.items():
                figures["questions"][name] = await timed(question, queries, process, options.runs)
                console.print(name, figures["questions"][name])
            return figures
        finally:
            await clickhouse.aclose()
            await server.stop()


def show(figures: dict[str, Any]) -> None:
    title = f"Questions about {figures['rows_of_each_table']:,} rows of each table, in milliseconds"
    table = table_of(title, "question", "best", "median", "server's CPU")
    for name, row in figures["questions"].items():
        style = "" if row["p50_ms"] <= TARGET_MS else "yellow"
        table.add_row(name, str(row["best_ms"]), str(row["p50_ms"]), str(row["cpu_ms"]), style=style)
    Console().print(table)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.analytics", description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000, help="of each table (default: %(default)s)")
    parser.add_argument("--runs", type=int, default=7, help="of each question (default: %(default)s)")
    configure_logging("ERROR", "console")
    run(parser, measure, show, within=timedelta(minutes=20))


if __name__ == "__main__":
    main()
