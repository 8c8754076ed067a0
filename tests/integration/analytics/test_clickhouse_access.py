"""The dev stack's ClickHouse is for the one who started it, and has no way out of its own tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from devstack.servers.clickhouse import ClickHouseServer


async def ask(url: str, **request: Any) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False, timeout=20) as client:
        return await client.request(request.pop("method", "POST"), url, **request)


def password_of(server: ClickHouseServer) -> str:
    return urlsplit(server.url).password or ""


@pytest.mark.parametrize(
    ("params", "headers"),
    [
        ({}, {}),
        ({"user": "default"}, {}),
        ({"user": "hermod", "password": "guess"}, {}),
        ({}, {"X-ClickHouse-User": "hermod"}),
        ({}, {"Authorization": "Basic aGVybW9kOg=="}),
        ({}, {"Authorization": "Basic %"}),
        ({}, {"Authorization": "Bearer x"}),
    ],
)
async def test_stranger_on_this_machine_learns_nothing(
    clickhouse: ClickHouseServer, params: dict[str, str], headers: dict[str, str]
) -> None:
    for method in ("GET", "POST"):
        answer = await ask(clickhouse.plain_url, method=method, params={"query": "SELECT 1", **params}, headers=headers)
        assert (answer.status_code, answer.headers["x-clickhouse-exception-code"]) == (403, "516")
    fault = await ask(f"{clickhouse.plain_url}/_faults", json={"name": "busy"}, headers=headers)
    assert fault.status_code == 403
    assert (await ask(f"{clickhouse.plain_url}/ping", method="GET")).text == "Ok.\n"


async def test_owner_signs_in_by_each_of_clickhouses_ways(clickhouse: ClickHouseServer) -> None:
    password = password_of(clickhouse)
    ways: list[dict[str, Any]] = [
        {"auth": ("hermod", password)},
        {"headers": {"X-ClickHouse-User": "hermod", "X-ClickHouse-Key": password}},
        {"params": {"user": "hermod", "password": password}},
    ]
    for way in ways:
        assert (await ask(clickhouse.plain_url, content="SELECT 1", **way)).text == "1\n"


async def test_password_is_not_on_the_command_line(clickhouse: ClickHouseServer) -> None:
    command = Path(f"/proc/{clickhouse.child.pid}/cmdline")
    if not command.exists():
        pytest.skip("no /proc here")
    assert password_of(clickhouse).encode() not in command.read_bytes()


@pytest.mark.parametrize("path", ["/", "/ping", "/_faults"])
async def test_page_of_another_name_is_not_answered(clickhouse: ClickHouseServer, path: str) -> None:
    answer = await ask(f"{clickhouse.url}{path}", content="SELECT 1", headers={"Host": "attacker.example:8123"})
    assert (answer.status_code, "1\n" in answer.text) == (421, False)


_WAYS_OUT = (
    "SELECT * FROM file('{secret}', LineAsString)",
    "SELECT * FROM `file`('{secret}', LineAsString)",
    "SELECT * FROM '{secret}'",
    "SELECT * FROM loop(file('{secret}', LineAsString))",
    "SELECT 1; SELECT * FROM file('{secret}', LineAsString)",
    "DESCRIBE TABLE file('{secret}', CSV)",
    "SELECT * FROM filesystem('{folder}')",
    "SELECT * FROM url('http://127.0.0.1:1/', LineAsString)",
    "SELECT * FROM s3('http://127.0.0.1:1/a.csv')",
    "SELECT * FROM remote('127.0.0.1:1', system.one)",
    "SELECT * FROM python('secret')",
    "SELECT * FROM Python /* */ (secret)",
    "SELECT * FROM jdbc('a', 'b')",
    "INSERT INTO FUNCTION file('{folder}/made', 'CSV', 'a String') SELECT 'x'",
    "SELECT 1 INTO OUTFILE '{folder}/made'",
    "SELECT 1 INTO/**/outfile '{folder}/made'",
    "INSERT INTO ways_out.mine FROM INFILE '{secret}' FORMAT LineAsString",
    "CREATE TABLE ways_out.f (line String) ENGINE = File(LineAsString, '{secret}')",
    "CREATE TABLE ways_out.u (line String) ENGINE = URL('http://127.0.0.1:1/', LineAsString)",
    "CREATE DATABASE other ENGINE = Filesystem('{folder}')",
    "ATTACH TABLE ways_out.a FROM '{folder}' (a String) ENGINE = MergeTree ORDER BY a",
    "CREATE TABLE ways_out.d (a String) ENGINE = MergeTree ORDER BY a "
    "SETTINGS disk = disk(type=web, endpoint='http://127.0.0.1:1/')",
    "BACKUP TABLE ways_out.mine TO File('{folder}/made')",
    "SYSTEM SHUTDOWN",
    "GRANT FILE ON *.* TO default",
    "CREATE USER another",
)


@pytest.mark.parametrize("statement", _WAYS_OUT)
async def test_statement_cannot_leave_its_tables(clickhouse: ClickHouseServer, home: Path, statement: str) -> None:
    folder = home / "of-the-user"
    folder.mkdir()
    secret = folder / "secret"
    secret.write_text("the-secret\n")
    await ask(clickhouse.url, content="CREATE DATABASE IF NOT EXISTS ways_out")
    mine = "CREATE TABLE IF NOT EXISTS ways_out.mine (a String) ENGINE = MergeTree ORDER BY a"
    assert (await ask(clickhouse.url, content=mine)).status_code == 200
    answer = await ask(clickhouse.url, content=statement.format(secret=secret, folder=folder))
    assert answer.status_code >= 400
    assert "the-secret" not in answer.text
    assert [file.name for file in folder.iterdir()] == ["secret"]
    assert (await ask(clickhouse.url, content="SELECT count() FROM ways_out.mine")).text == "0\n"


async def test_words_of_the_data_are_data(clickhouse: ClickHouseServer) -> None:
    await ask(clickhouse.url, content="CREATE DATABASE IF NOT EXISTS words")
    table = "CREATE TABLE IF NOT EXISTS words.t (a String) ENGINE = MergeTree ORDER BY a"
    assert (await ask(clickhouse.url, content=table)).status_code == 200
    said = """it's attached: python(1) "python"(1) INTO OUTFILE disk (2) \\ infile \\" '"""
    answer = await ask(
        clickhouse.url,
        params={"query": "INSERT INTO words.t FORMAT JSONEachRow"},
        content=json.dumps({"a": said}) + "\n",
    )
    assert answer.status_code == 200, answer.text
    asked = await ask(clickhouse.url, content="SELECT count() FROM words.t WHERE a LIKE '%INTO OUTFILE disk (2)%'")
    assert asked.text == "1\n"
