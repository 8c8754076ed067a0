"""The dev stack's ClickHouse: what its clients rely on, and that it survives its end."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import clickhouse_connect
import httpx
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from devstack.servers.clickhouse import ClickHouseServer
from devstack.servers.process import ChildFailed
from hermod.analytics.places import Server
from tests.support.analytics.clickhouse import clear_faults, event_line, fail, opened, schema_of


@pytest.fixture
async def official(clickhouse: ClickHouseServer) -> Client:
    """ClickHouse's own client, as anybody sets it up: with a session and compression."""
    return await asyncio.to_thread(clickhouse_connect.get_client, dsn=clickhouse.url)


async def ask(url: str, **request: Any) -> httpx.Response:
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=20) as client:
        return await client.request(request.pop("method", "POST"), "/", **request)


async def test_client_inserts_and_reads_gets_back_what_it_wrote(official: Client) -> None:
    rows = [[1, "tab\tnul\x00Ω", datetime(2026, 11, 21, tzinfo=UTC)], [2, "", datetime(1999, 1, 1, tzinfo=UTC)]]

    def work() -> Any:
        official.command("CREATE TABLE front (n UInt32, text String, at DateTime('UTC')) ENGINE = MergeTree ORDER BY n")
        official.insert("front", rows, column_names=["n", "text", "at"])
        found = official.query("SELECT * FROM front WHERE n < {most:UInt32} ORDER BY n", {"most": 3}, tz_mode="aware")
        empty = official.query("SELECT * FROM front LIMIT 0")
        return (
            found.result_rows,
            empty.column_names,
            official.command("SELECT n FROM front WHERE n > 2"),
            official.ping(),
        )

    found, columns, nothing, ping = await asyncio.to_thread(work)
    assert found == [tuple(row) for row in rows]
    assert (columns, nothing, ping) == (("n", "text", "at"), "", True)


async def test_client_with_a_long_parameter_sends_a_form(official: Client) -> None:
    answer = await asyncio.to_thread(official.query, "SELECT length({text:String}) AS n", {"text": "x" * 100_000})
    assert answer.result_rows == [(100_000,)]


@pytest.mark.parametrize(
    ("statement", "status", "code"),
    [
        ("SELECT bogus", 404, 47),
        ("SELECT * FROM nowhere", 404, 60),
        ("SELECT * FROM nowhere.nothing", 404, 81),
        ("SELECT 1 FROM", 400, 62),
        ("SELECT sleep(2) SETTINGS max_execution_time = 1", 408, 159),
        ("SELECT throwIf(1)", 500, 395),
    ],
)
async def test_statement_is_wrong_answers_with_clickhouses_code(
    clickhouse: ClickHouseServer, statement: str, status: int, code: int
) -> None:
    answer = await ask(clickhouse.url, content=statement)
    assert (answer.status_code, answer.headers["x-clickhouse-exception-code"]) == (status, str(code))
    assert answer.text.startswith(f"Code: {code}. DB::Exception: ")


async def test_settings_of_one_request_are_not_those_of_the_next(clickhouse: ClickHouseServer) -> None:
    question = "SELECT value FROM system.settings WHERE name = 'max_threads'"
    before = await ask(clickhouse.url, content=question)
    assert (await ask(clickhouse.url, content=question, params={"max_threads": "3"})).text == "3\n"
    assert (await ask(clickhouse.url, content=question)).text == before.text
    unknown = await ask(clickhouse.url, content=question, params={"no_such_setting": "1"})
    assert unknown.headers["x-clickhouse-exception-code"] == "115"
    assert (await ask(clickhouse.url, content=question, params={"max_threads'": "1"})).status_code == 404


async def test_get_may_not_change_anything(clickhouse: ClickHouseServer) -> None:
    assert (await ask(clickhouse.url, method="GET", params={"query": "SELECT 1"})).text == "1\n"
    answer = await ask(clickhouse.url, method="GET", params={"query": "CREATE DATABASE never"})
    assert answer.headers["x-clickhouse-exception-code"] == "164"
    assert (await ask(clickhouse.url, method="GET")).text == "Ok.\n"


async def test_what_is_not_there_is_refused(clickhouse: ClickHouseServer) -> None:
    native = await ask(clickhouse.url, content="SELECT 1", params={"compress": "1"})
    external = await ask(clickhouse.url, data={"query": "SELECT 1"}, files={"rows": b"1"})
    assert [one.headers["x-clickhouse-exception-code"] for one in (native, external)] == ["48", "48"]


async def test_faults_meet_the_statements_they_are_for(clickhouse: ClickHouseServer) -> None:
    await fail(clickhouse, "gateway", on="other", database="system", times=2)
    await fail(clickhouse, "code", on="other", database="system", code=241)
    mine = {"database": "system"}
    assert (await ask(clickhouse.url, content="SELECT 1")).text == "1\n"
    answers = [await ask(clickhouse.url, content="SELECT 1", params=mine) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [502, 502, 500, 200]
    assert answers[2].headers["x-clickhouse-exception-code"] == "241"
    await fail(clickhouse, "busy", on="any", database="system")
    await clear_faults(clickhouse)
    assert (await ask(clickhouse.url, content="SELECT 1", params=mine)).status_code == 200


async def test_front_is_killed_what_it_answered_is_there_at_the_next_start(home: Path) -> None:
    server = ClickHouseServer(folder=home / "clickhouse", log=home / "clickhouse.log")
    await server.start()
    try:
        first = server.url
        async with opened(Server(server.url), "kept") as client:
            await schema_of(client).prepare()
            await client.insert("events", event_line() * 1000, {"async_insert": 0})
            server.child.kill()
            await server.child.until_exit()
            await server.start()
            assert server.url == first
            assert await client.rows("SELECT count() AS n FROM events") == [{"n": 1000}]
        slow = asyncio.create_task(ask(server.url, content="SELECT sleep(3)"))
        await asyncio.sleep(0.2)  # the statement is under way
        await server.stop()
        with pytest.raises(httpx.HTTPError):  # it was not waited for
            await slow
    finally:
        await server.stop()


async def test_second_front_on_the_same_folder_says_who_has_it(home: Path) -> None:
    first = ClickHouseServer(folder=home / "clickhouse", log=home / "first.log")
    second = ClickHouseServer(folder=home / "clickhouse", log=home / "second.log")
    await first.start()
    try:
        with pytest.raises(ChildFailed, match=f"belongs to another process \\({first.child.pid}\\)"):
            await second.start()
    finally:
        await first.stop()


async def test_error_of_the_official_client_has_the_code(official: Client) -> None:
    with pytest.raises(DatabaseError) as raised:
        await asyncio.to_thread(official.query, "SELECT bogus")
    assert (raised.value.code, raised.value.name) == (47, "UNKNOWN_IDENTIFIER")
