"""The ClickHouse front as tests drive it: clients of a database of their own, and faults for its statements."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import httpx
import orjson

from devstack.servers.clickhouse import ClickHouseServer
from hermod.analytics.client import ClickHouse, Timeouts
from hermod.analytics.places import Folder, Server
from hermod.analytics.schema import Schema


async def fail(server: ClickHouseServer, name: str, **more: Any) -> None:
    """Let the next statement meet a fault; `more` is what devstack.clickhouse.faults.Fault has."""
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.post(f"{server.url}/_faults", json={"name": name, **more})
    assert answer.status_code == 204, answer.text


async def clear_faults(server: ClickHouseServer) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        await client.delete(f"{server.url}/_faults")


@asynccontextmanager
async def opened(place: Server | Folder, database: str, patience: Timeouts | None = None) -> AsyncIterator[ClickHouse]:
    clickhouse = ClickHouse(place, database, patience)
    try:
        yield clickhouse
    finally:
        await clickhouse.aclose()


@asynccontextmanager
async def _nobody_else() -> AsyncIterator[None]:
    yield


def schema_of(clickhouse: ClickHouse, event_days: int = 400) -> Schema:
    """For a database that no other process looks at."""
    return Schema(clickhouse, event_days, _nobody_else)


def event_line(number: int = 1, **columns: Any) -> bytes:
    """A row of `events`, as the outbox words it."""
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    row = {
        "tenant": "shop",
        "type": "page.viewed",
        "occurred_at": now,
        "received_at": now,
        "event_id": "",
        "contact": "ada",
        "session": "",
        "source": "api",
        "properties": {"number": number},
    }
    return orjson.dumps(row | columns) + b"\n"
