"""Connections whose requests do not come: half heads, endless heads, nonsense, and very many of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import orjson
import pytest

from devstack.servers.ports import LOOPBACK, free_port
from tests.integration.api.conftest import Api
from tests.support.polling import eventually
from tests.support.product import settings_for
from web.http import heads
from web.http.server import serve

HEAD = b"GET /metrics HTTP/1.1\r\nHost: hermod.test\r\n"


@pytest.fixture
async def port(api: Api) -> AsyncIterator[int]:
    """The API behind its real server."""
    port, stop = free_port(), asyncio.Event()
    settings = settings_for("postgresql://nobody@127.0.0.1:1/x", f"{LOOPBACK}:1").model_copy(
        update={"host": LOOPBACK, "port": port}
    )
    serving = asyncio.create_task(serve(api.app, settings, stop))

    async def listens() -> bool:
        try:
            _, writer = await asyncio.open_connection(LOOPBACK, port)
        except OSError:
            return False
        writer.close()
        return True

    await eventually(listens)
    yield port
    stop.set()
    await serving


async def answer_to(port: int, sent: bytes) -> tuple[int, dict[bytes, bytes], bytes]:
    """Status, headers and body, where the server then closes the connection."""
    reader, writer = await asyncio.open_connection(LOOPBACK, port)
    try:
        writer.write(sent)
        told = await asyncio.wait_for(reader.read(), 20)
    finally:
        writer.close()
    head, _, body = told.partition(b"\r\n\r\n")
    status, *headers = head.split(b"\r\n")
    return int(status.split()[1]), dict(one.split(b": ", 1) for one in headers), body


async def assert_refused(port: int, sent: bytes, status: int, kind: str) -> None:
    got, headers, body = await answer_to(port, sent)
    assert (got, headers[b"content-type"], headers[b"connection"]) == (status, b"application/problem+json", b"close")
    problem = orjson.loads(body)
    assert (problem["status"], problem["type"]) == (status, f"urn:hermod:problem:{kind}")
    assert problem["request_id"].encode() == headers[b"x-request-id"]
    assert problem["title"]
    assert problem["detail"]


@pytest.mark.parametrize(
    "sent", [b"GET /metr", HEAD, HEAD + b"X-A: b", b"\r\n\r\n", b"POST /v1/messages HTTP/1.1\r\nContent-Length: 5\r\n"]
)
async def test_head_stays_half_the_connection_is_ended(port: int, sent: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heads, "PATIENCE", 0.2)
    await assert_refused(port, sent, 408, "request-timeout")


async def test_head_drips_the_connection_is_ended_all_the_same(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heads, "PATIENCE", 0.3)
    reader, writer = await asyncio.open_connection(LOOPBACK, port)
    writer.write(HEAD)

    async def dripping() -> None:
        while True:
            writer.write(b"X-A: b\r\n")
            await asyncio.sleep(0.02)

    drips = asyncio.create_task(dripping())
    assert (await asyncio.wait_for(reader.read(), 20)).startswith(b"HTTP/1.1 408 ")
    drips.cancel()
    writer.close()


async def test_nothing_comes_at_all_the_connection_is_closed_without_a_word(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heads, "PATIENCE", 0.2)
    reader, writer = await asyncio.open_connection(LOOPBACK, port)
    assert await asyncio.wait_for(reader.read(), 20) == b""
    writer.close()


async def test_second_head_of_a_connection_stays_half_it_is_ended(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = await asyncio.open_connection(LOOPBACK, port)
    writer.write(b"GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n")
    assert b" 404 " in await reader.readline()
    monkeypatch.setattr(heads, "PATIENCE", 0.2)
    writer.write(HEAD)
    assert b"HTTP/1.1 408 " in await asyncio.wait_for(reader.read(), 20)
    writer.close()


@pytest.mark.parametrize(
    "sent",
    [
        HEAD + b"X-Long: " + b"a" * 70_000,
        HEAD + b"X-Long: " + b"a" * 70_000 + b"\r\n\r\n",
        HEAD + b"".join(b"X-%d: b\r\n" % number for number in range(200)) + b"\r\n",
        b"GET /" + b"a" * 70_000,
        b"GET /?" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        b"X" * 70_000,
    ],
    ids=["endless-header", "long-header", "many-headers", "endless-path", "long-query", "no-method"],
)
async def test_head_is_too_large_it_is_refused(port: int, sent: bytes) -> None:
    status, headers, _ = await answer_to(port, sent)
    assert status in ((400,) if sent.startswith(b"X") else (431,))
    assert headers[b"content-type"] == b"application/problem+json"


@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n",
        b"GET /a b HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST /v1/messages HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
)
async def test_request_is_no_http_the_answer_is_a_problem(port: int, sent: bytes) -> None:
    await assert_refused(port, sent, 400, "bad-request")


async def test_head_of_a_usual_size_is_answered(port: int) -> None:
    status, _, _ = await answer_to(port, HEAD + b"X-Long: " + b"a" * 30_000 + b"\r\nConnection: close\r\n\r\n")
    assert status == 200


async def test_many_stay_half_the_oldest_make_room_and_others_are_answered(
    port: int, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heads, "MOST_STRANGERS", 20)
    monkeypatch.setattr(heads, "AT_LEAST", 0.0)
    key = api.client.headers["authorization"].encode()
    known, knows = await asyncio.open_connection(LOOPBACK, port)
    knows.write(b"GET /v1/messages HTTP/1.1\r\nHost: a\r\nAuthorization: " + key + b"\r\n\r\n")
    assert b" 200 " in await known.readline()
    halves = [await asyncio.open_connection(LOOPBACK, port) for _ in range(100)]
    for _, writer in halves:
        writer.write(HEAD)
    ended = [reader for reader, _ in halves[:70]]
    for reader in ended:
        assert (await asyncio.wait_for(reader.read(), 20)).partition(b"HTTP/1.1 408 ")[0] == b""
    assert not halves[-1][0].at_eof()
    status, _, _ = await answer_to(port, HEAD + b"Connection: close\r\n\r\n")
    assert status == 200
    knows.write(b"GET /v1/messages HTTP/1.1\r\nHost: a\r\nAuthorization: " + key + b"\r\nConnection: close\r\n\r\n")
    assert (await asyncio.wait_for(known.read(), 20)).count(b"HTTP/1.1 200 ") == 1
    for _, writer in [*halves, (known, knows)]:
        writer.close()
