"""The tables in ClickHouse: made once by many, brought up step by step, and kept as long as the setting says."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from devstack.servers.clickhouse import ClickHouseServer
from devstack.servers.ports import free_port
from hermod.analytics import schema as schemas
from hermod.analytics.client import ClickHouse
from hermod.analytics.schema import STEPS, TABLES
from hermod.bootstrap import Analytics, open_analytics
from hermod.contracts.errors import Unavailable
from hermod.settings import Settings
from hermod.storage.database.engine import Database
from tests.support.analytics.clickhouse import event_line, schema_of
from tests.support.polling import eventually
from tests.support.product import NOWHERE, settings_for


def settings(database_url: str, clickhouse: str, name: str, **more: object) -> Settings:
    return settings_for(database_url, "nowhere:1", (clickhouse, name)).model_copy(update=more)


async def steps(client: ClickHouse) -> list[tuple[str, int]]:
    rows = await client.rows("SELECT step, value FROM schema_state ORDER BY step, at")
    return [(row["step"], row["value"]) for row in rows]


async def ttl(client: ClickHouse, table: str) -> str:
    (row,) = await client.rows(
        "SELECT extract(create_table_query, 'TTL (.*) SETTINGS') AS ttl FROM system.tables"
        " WHERE database = currentDatabase() AND name = {table:String}",
        {"table": table},
    )
    return str(row["ttl"])


async def test_several_processes_prepare_at_once_each_step_is_applied_once(
    clickhouse: ClickHouseServer, database_url: str
) -> None:
    async with AsyncExitStack() as stack:
        several: list[Analytics] = []
        for _ in range(4):
            database = Database(database_url, pool_size=2)
            stack.push_async_callback(database.close)
            wanted = settings(database_url, clickhouse.url, "schema_by_many")
            several.append(await stack.enter_async_context(open_analytics(wanted, database)))
        await asyncio.gather(*(one.prepare() for one in several))
        await asyncio.gather(*(one.prepare() for one in several))
        client = several[0].clickhouse
        assert await steps(client) == [("event_days", 400), ("version", len(STEPS))]
        rows = await client.rows("SELECT name FROM system.tables WHERE database = currentDatabase()")
        assert {row["name"] for row in rows} == {*TABLES, "schema_state"}


async def test_database_is_away_nothing_is_prepared(clickhouse: ClickHouseServer) -> None:
    nobody = "postgresql://nobody:nothing@127.0.0.1:1/nowhere"
    database = Database(nobody)
    try:
        async with open_analytics(settings(nobody, clickhouse.url, "schema_never"), database) as analytics:
            with pytest.raises(Unavailable, match="the database does not answer"):
                await analytics.prepare()
            assert (
                await analytics.clickhouse.outside("SELECT count() FROM system.databases WHERE name = 'schema_never'")
                == 0
            )
    finally:
        await database.close()


async def test_clickhouse_is_away_prepare_may_come_again(clickhouse: ClickHouseServer, database_url: str) -> None:
    database = Database(database_url)
    try:
        async with open_analytics(settings(database_url, NOWHERE, "any"), database) as analytics:
            for _ in range(2):
                with pytest.raises(Unavailable):
                    await analytics.prepare()
    finally:
        await database.close()


async def test_clickhouse_comes_later_than_the_worker_the_tables_are_made_then(home: Path, database_url: str) -> None:
    server = ClickHouseServer(folder=home / "clickhouse", log=home / "clickhouse.log", port=free_port())
    database = Database(database_url)
    try:
        async with (
            open_analytics(settings(database_url, server.url, "later"), database) as analytics,
            analytics.preparing(),
        ):
            with pytest.raises(Unavailable):
                await analytics.ping()
            await server.start()

            async def there() -> bool:
                try:
                    return await steps(analytics.clickhouse) == [("event_days", 400), ("version", len(STEPS))]
                except Unavailable:
                    return False

            await eventually(there)
    finally:
        await server.stop()
        await database.close()


async def test_retention_is_changed_the_tables_follow(empty: ClickHouse) -> None:
    await schema_of(empty, 400).prepare()
    assert await ttl(empty, "events") == "toDateTime(occurred_at) + toIntervalDay(400)"
    await schema_of(empty, 30).prepare()
    assert await ttl(empty, "events") == "toDateTime(occurred_at) + toIntervalDay(30)"
    assert await ttl(empty, "message_states") == "toDateTime(at) + toIntervalDay(30)"
    await empty.insert("events", event_line() + event_line(occurred_at="2025-01-01 00:00:00.000"), {"async_insert": 0})
    await empty.command("OPTIMIZE TABLE events FINAL")
    assert await empty.rows("SELECT count() AS n FROM events") == [{"n": 1}]


async def test_new_step_is_applied_to_tables_that_are_there_and_rows_stay(
    empty: ClickHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    await schema_of(empty).prepare()
    await empty.insert("events", event_line(), {"async_insert": 0})
    more = (*STEPS, ("ALTER TABLE events ADD COLUMN IF NOT EXISTS country LowCardinality(String)",))
    monkeypatch.setattr(schemas, "STEPS", more)
    newer = schema_of(empty)
    await newer.prepare()
    assert await empty.rows("SELECT country, contact FROM events") == [{"country": "", "contact": "ada"}]
    assert ("version", len(more)) in await steps(empty)
    monkeypatch.setattr(schemas, "STEPS", STEPS)
    await schema_of(empty).prepare()
    assert ("version", len(more)) in await steps(empty)


async def test_step_died_half_way_is_run_again(empty: ClickHouse) -> None:
    await empty.outside("CREATE DATABASE {name:Identifier}", {"name": empty.database})
    await empty.command(STEPS[0][0])
    await schema_of(empty).prepare()
    assert await steps(empty) == [("event_days", 400), ("version", len(STEPS))]
