"""Our client on ClickHouse over HTTP: rows once for each token, and whose fault it is when something goes wrong."""

from __future__ import annotations

import asyncio
import time

import pytest

from devstack.servers.clickhouse import ClickHouseServer
from devstack.servers.ports import LOOPBACK, free_port
from hermod.analytics.client import ClickHouse, Timeouts
from hermod.analytics.faults import Missing
from hermod.analytics.places import Server
from hermod.analytics.sink import ClickHouseSink
from hermod.contracts.errors import Unavailable
from hermod.ports.analytics import Refused
from hermod.telemetry import INSERTED_ROWS, INSERTS
from tests.support.analytics.clickhouse import event_line, fail, opened


async def count(client: ClickHouse) -> int:
    rows = await client.rows("SELECT count() AS n FROM events")
    return int(rows[0]["n"])


async def test_insert_comes_again_with_its_token_adds_nothing(sink: ClickHouseSink, empty: ClickHouse) -> None:
    months = [f"2026-{month:02}-21 10:00:00.123" for month in range(1, 12)]
    lines = b"".join(event_line(number, occurred_at=months[number % 11]) for number in range(20_000))
    for token in ("first", "first", "second"):
        await sink.insert("events", lines, token=token)
    assert await count(empty) == 40_000


async def test_same_insert_comes_at_once_from_several_adds_its_rows_once(
    sink: ClickHouseSink, empty: ClickHouse
) -> None:
    await asyncio.gather(*(sink.insert("events", event_line() * 100, token="same") for _ in range(4)))
    assert await count(empty) == 100


async def test_rows_come_back_with_their_types(sink: ClickHouseSink, empty: ClickHouse) -> None:
    properties = {"plan": "pro", "n": 2**63, "deep": {"list": [1, "x"]}, "a.b": 1, "a": {"b": 2}}
    await sink.insert("events", event_line(occurred_at="2026-11-21 10:00:00.123", properties=properties), token="t")
    (row,) = await empty.rows("SELECT * FROM events WHERE tenant = {tenant:String}", {"tenant": "shop"})
    assert row["occurred_at"].isoformat() == "2026-11-21T10:00:00.123000+00:00"
    assert row["properties"] == {"plan": "pro", "n": 2**63, "deep": {"list": [1, "x"]}, "a": {"b": 1}}


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        (event_line(occurred_at="yesterday"), "CANNOT_PARSE_DATETIME (41)"),
        (event_line(properties=[1]), "INCORRECT_DATA (117)"),
        (event_line().replace(b":1}", b":1e400}"), "INCORRECT_DATA (117)"),
        (b"secret", "CANNOT_PARSE_INPUT"),
    ],
)
async def test_rows_cannot_be_read_are_refused_and_none_is_added(
    sink: ClickHouseSink, empty: ClickHouse, lines: bytes, code: str
) -> None:
    before = INSERTS.labels("events", "refused")._value.get()
    with pytest.raises(Refused) as raised:
        await sink.insert("events", event_line() * 10 + lines, token="t")
    assert code in str(raised.value)
    assert "secret" not in str(raised.value)
    assert (raised.value.__cause__, raised.value.__suppress_context__) == (None, True)
    assert await count(empty) == 0
    assert INSERTS.labels("events", "refused")._value.get() == before + 1


@pytest.mark.parametrize(
    "fault",
    [
        {"name": "gateway"},
        {"name": "busy"},
        {"name": "reset", "times": 2},
        {"name": "truncated"},
        {"name": "code", "code": 252},
        {"name": "code", "code": 516},
        {"name": "code", "code": 16},
    ],
    ids=lambda fault: f"{fault['name']}-{fault.get('code', '')}",
)
async def test_insert_meets_trouble_that_is_not_the_rows_is_unavailable_and_may_come_again(
    clickhouse: ClickHouseServer, sink: ClickHouseSink, empty: ClickHouse, fault: dict[str, object]
) -> None:
    await fail(clickhouse, database=empty.database, **fault)  # type: ignore[arg-type]
    rows = INSERTED_ROWS.labels("events")._value.get()
    with pytest.raises(Unavailable):
        await sink.insert("events", event_line() * 10, token="t")
    await sink.insert("events", event_line() * 10, token="t")
    assert await count(empty) == 10
    assert INSERTED_ROWS.labels("events")._value.get() == rows + 10


async def test_insert_is_cut_off_after_it_ran_is_made_again_and_adds_nothing(
    clickhouse: ClickHouseServer, sink: ClickHouseSink, empty: ClickHouse
) -> None:
    await fail(clickhouse, "run_then_reset", database=empty.database)
    await sink.insert("events", event_line() * 10, token="t")
    assert await count(empty) == 10


@pytest.mark.parametrize("fault", [{"name": "truncated"}, {"name": "gateway"}, {"name": "code", "code": 159}])
async def test_query_meets_trouble_is_unavailable(
    clickhouse: ClickHouseServer, sink: ClickHouseSink, empty: ClickHouse, fault: dict[str, object]
) -> None:
    await fail(clickhouse, database=empty.database, on="other", **fault)  # type: ignore[arg-type]
    with pytest.raises(Unavailable):
        await empty.rows("SELECT number, toString(number) AS text FROM numbers(1000)")


async def test_server_is_slow_the_caller_gets_an_answer_in_time(
    clickhouse: ClickHouseServer, sink: ClickHouseSink, empty: ClickHouse
) -> None:
    await fail(clickhouse, "slow", database=empty.database, delay=60)
    async with opened(Server(clickhouse.url), empty.database, Timeouts(write=0.5, answer=1)) as hasty:
        begun = time.monotonic()
        with pytest.raises(Unavailable, match="did not answer within"):
            await hasty.insert("events", event_line(), {"async_insert": 0})
        assert time.monotonic() - begun < 60  # before the server has answered


async def test_server_hangs_ping_and_query_answer_in_time() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    listener = await asyncio.start_server(silent, LOOPBACK, 0)
    url = f"http://{LOOPBACK}:{listener.sockets[0].getsockname()[1]}"
    async with listener, opened(Server(url), "any", Timeouts(answer=1, read=1.0, ping=0.3)) as client:
        for question in (client.ping, lambda: client.rows("SELECT 1")):
            with pytest.raises(Unavailable):
                await asyncio.wait_for(question(), 3)


async def test_server_is_away_says_where_it_was_looked_for() -> None:
    url = f"http://{LOOPBACK}:{free_port()}"
    async with opened(Server(url, "ada", "secret"), "any") as client:
        for call in (client.ping(), client.rows("SELECT 1"), client.insert("events", event_line(), {})):
            with pytest.raises(Unavailable, match=f"ClickHouse at {url} does not answer") as raised:
                await call
            assert "secret" not in str(raised.value)


async def test_tables_are_missing_they_are_made_by_the_next_insert(sink: ClickHouseSink, empty: ClickHouse) -> None:
    await empty.outside("DROP DATABASE {name:Identifier}", {"name": empty.database})
    with pytest.raises(Missing):
        await sink.insert("events", event_line(), token="t")
    await sink.insert("events", event_line(), token="t")
    assert await count(empty) == 1


async def test_client_is_closed_asks_nothing_any_more(clickhouse: ClickHouseServer) -> None:
    async with opened(Server(clickhouse.url), "any") as client:
        assert (await client.ping()).startswith("ClickHouse 2")
    with pytest.raises(Unavailable, match="closed"):
        await client.ping()
