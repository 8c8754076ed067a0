"""The tables in ClickHouse, and how they come to be: numbered steps, each applied once for all processes.

events          what applications tell of, and what Hermod adds (submissions, payments); `properties` as they came
message_states  every change of a message's state, webhook deliveries (channel `webhook`) among them; a row with `sign`
                -1 takes back the one of a message that left that state again (a dead letter that was retried)
schema_state    which step the schema is at, and after how many days rows go (HERMOD_EVENT_DAYS)

Rows arrive as JSON lines with these names; times are UTC, like '2026-11-21 10:00:00.123'. ClickHouse's JSON type takes
numbers from -2^63 to 2^64-1, no escaped half of a surrogate pair, no NaN; what it does not take is refused.
A table remembers the tokens of its last 100,000 parts, which is how long after it a repeated insert adds nothing.

A change of the schema is a new step at the end of `STEPS`. It must be fit to run twice, since the process that runs it
may die before it has written that down, and rows of the version before must still fit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final

from hermod.analytics.client import ClickHouse
from hermod.analytics.faults import Missing
from hermod.contracts.errors import Unavailable
from hermod.telemetry import get_logger

TABLES: Final = ("events", "message_states")
"""Those that rows are inserted into, with the column that their age is counted from."""
_TIMES: Final = {"events": "occurred_at", "message_states": "at"}

_FOUND: Final = "SELECT step, argMax(value, at) AS value FROM schema_state GROUP BY step"
_STATE: Final = """
    CREATE TABLE IF NOT EXISTS schema_state (step String, value UInt32, at DateTime64(6, 'UTC') DEFAULT now64(6))
    ENGINE = ReplacingMergeTree(at) ORDER BY step
"""

STEPS: Final[Sequence[Sequence[str]]] = (
    (
        """
        CREATE TABLE IF NOT EXISTS events (
            tenant LowCardinality(String),
            type LowCardinality(String),
            occurred_at DateTime64(3, 'UTC'),
            received_at DateTime64(3, 'UTC'),
            event_id String,
            contact String,
            session String,
            source LowCardinality(String),
            properties JSON(max_dynamic_paths = 256),
            PROJECTION by_minute (
                SELECT tenant, type, toStartOfMinute(occurred_at), count()
                GROUP BY tenant, type, toStartOfMinute(occurred_at)
            )
        )
        ENGINE = MergeTree PARTITION BY toYYYYMM(occurred_at) ORDER BY (tenant, type, occurred_at)
        SETTINGS non_replicated_deduplication_window = 100000
        """,
        """
        CREATE TABLE IF NOT EXISTS message_states (
            tenant LowCardinality(String),
            channel LowCardinality(String),
            state LowCardinality(String),
            sign Int8 DEFAULT 1,
            at DateTime64(3, 'UTC'),
            accepted_at DateTime64(3, 'UTC'),
            message_id String,
            provider LowCardinality(String),
            account LowCardinality(String),
            template LowCardinality(String),
            category LowCardinality(String),
            campaign String DEFAULT '',
            PROJECTION by_hour (
                SELECT tenant, channel, state, template, campaign, toStartOfHour(accepted_at), sum(sign)
                GROUP BY tenant, channel, state, template, campaign, toStartOfHour(accepted_at)
            )
        )
        ENGINE = MergeTree PARTITION BY toYYYYMM(at) ORDER BY (tenant, state, channel, accepted_at)
        SETTINGS non_replicated_deduplication_window = 100000
        """,
    ),
)

_log = get_logger(__name__)


class Schema:
    """Brings the database to the newest step, and its retention to the setting. `alone` keeps other processes out."""

    def __init__(
        self, clickhouse: ClickHouse, event_days: int, alone: Callable[[], AbstractAsyncContextManager[None]]
    ) -> None:
        self._clickhouse = clickhouse
        self._event_days = event_days
        self._alone = alone
        self._turn = asyncio.Lock()
        self._ready = False

    async def prepare(self) -> None:
        """Costs nothing once it has succeeded. Raises Unavailable."""
        async with self._turn:
            if self._ready:
                return
            if not self._is_newest(await self._found()):
                async with self._alone():
                    await self._upgrade()
            self._ready = True

    async def prepare_in_the_end(self, every: float = 2.0) -> None:
        """`prepare` again and again until ClickHouse and the database are there; `every` is in seconds."""
        told = False
        while True:
            try:
                return await self.prepare()
            except Unavailable as error:
                if not told:
                    _log.warning("waiting_for_clickhouse", error=str(error))
                told = True
            await asyncio.sleep(every)

    def forget(self) -> None:
        """The tables are gone after all: look again before the next insert."""
        self._ready = False

    def _is_newest(self, found: dict[str, int]) -> bool:
        """A database of a newer version is as good: its tables have all our columns."""
        return found.get("version", 0) >= len(STEPS) and found.get("event_days") == self._event_days

    async def _found(self) -> dict[str, int]:
        try:
            rows = await self._clickhouse.rows(
                "SELECT step, argMax(value, at) AS value FROM schema_state GROUP BY step"
            )
        except Missing:
            return {}
        return {row["step"]: row["value"] for row in rows}

    async def _upgrade(self) -> None:
        name = self._clickhouse.database
        known = await self._clickhouse.outside(
            "SELECT count() FROM system.databases WHERE name = {name:String}", {"name": name}
        )
        if not known:  # asked first: a user who may not create databases can be given one
            await self._clickhouse.outside("CREATE DATABASE IF NOT EXISTS {name:Identifier}", {"name": name})
        await self._clickhouse.command(_STATE)
        found = await self._found()
        if self._is_newest(found):
            return
        for number, statements in enumerate(STEPS[found.get("version", 0) :], start=found.get("version", 0) + 1):
            for statement in statements:
                await self._clickhouse.command(statement)
            await self._write("version", number)
        if found.get("event_days") != self._event_days:
            for table in TABLES:
                # Fits older parts too: ClickHouse works out in the background what of them goes.
                await self._clickhouse.command(
                    f"ALTER TABLE {table} MODIFY TTL toDateTime({_TIMES[table]}) + toIntervalDay({self._event_days})"
                )
            await self._write("event_days", self._event_days)
        _log.info("clickhouse_prepared", database=name, version=len(STEPS), event_days=self._event_days)

    async def _write(self, step: str, value: int) -> None:
        await self._clickhouse.command(
            "INSERT INTO schema_state (step, value) SETTINGS async_insert = 0 VALUES ({step:String}, {value:UInt32})",
            {"step": step, "value": value},
        )
