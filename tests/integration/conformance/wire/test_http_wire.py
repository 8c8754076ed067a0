"""The HTTP client against servers that misbehave on the wire: what is proven unsent, what is unknown, what is read."""

from __future__ import annotations

import asyncio
import gzip
import time
from asyncio import StreamReader as Reader
from asyncio import StreamWriter as Writer
from collections.abc import AsyncIterator, Awaitable, Callable

import httpx
import pytest

from hermod.outbound.addresses.guard import AddressGuard
from hermod.outbound.http import client as http
from hermod.outbound.http.client import HttpClient, HttpSettings, NotSent, Reply, Unknown
from hermod.ports.deadline import LATE
from tests.integration.conformance.scripted import answer, closed_port, read_request, reset, serving

BODY = b'{"id":"msg_1"}'


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    client = HttpClient(AddressGuard(allow_private=True), HttpSettings(max_reply_bytes=1000))
    yield client
    await client.aclose()


async def post(client: HttpClient, port: int, *, deadline: float = 5.0, fresh: bool = False) -> Reply:
    request = httpx.Request(
        "POST", f"http://127.0.0.1:{port}/v1", headers={"content-type": "application/json"}, content=BODY
    )
    return await client.exchange(request, deadline=deadline, fresh=fresh)


async def test_exchange_reads_status_headers_and_body(client: HttpClient) -> None:
    seen: list[bytes] = []

    async def handler(reader: Reader, writer: Writer) -> None:
        seen.append(await read_request(reader))
        writer.write(answer("202 Accepted", b'{"id":"1"}', "X-Message-Id: abc"))
        await reader.read()

    async with serving(handler) as port:
        reply = await post(client, port)
    assert (reply.status, reply.body, reply.headers["x-message-id"], reply.truncated) == (
        202,
        b'{"id":"1"}',
        "abc",
        False,
    )
    head, _, body = seen[0].partition(b"\r\n\r\n")
    assert body == BODY
    lines = head.lower().split(b"\r\n")
    assert lines[0] == b"post /v1 http/1.1"
    assert b"accept-encoding: identity" in lines
    assert b"user-agent: hermod" in lines


@pytest.mark.parametrize("ending", ["close", "reset"])
async def test_exchange_connection_ends_after_the_request_was_read_is_unknown(client: HttpClient, ending: str) -> None:
    async def handler(reader: Reader, writer: Writer) -> None:
        await read_request(reader)
        if ending == "reset":
            reset(writer)

    async with serving(handler) as port:
        with pytest.raises(Unknown) as caught:
            await post(client, port)
    assert caught.value.code in ("disconnected", "reset")


async def test_exchange_no_answer_in_time_is_unknown(client: HttpClient) -> None:
    async def handler(reader: Reader, writer: Writer) -> None:
        await reader.read()

    async with serving(handler) as port:
        started = time.perf_counter()
        with pytest.raises(Unknown) as caught:
            await post(client, port, deadline=0.3)
    assert caught.value.code == "timeout"
    assert time.perf_counter() - started < 60  # the other side would never have ended


async def test_exchange_garbage_for_an_answer_is_unknown(client: HttpClient) -> None:
    async def handler(reader: Reader, writer: Writer) -> None:
        await read_request(reader)
        writer.write(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")
        await reader.read()

    async with serving(handler) as port:
        with pytest.raises(Unknown):
            await post(client, port)


async def test_exchange_header_without_end_keeps_its_status(client: HttpClient) -> None:
    async def handler(reader: Reader, writer: Writer) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 202 Accepted\r\nX-Long: ")
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()

    async with serving(handler) as port:
        reply = await post(client, port)
    assert (reply.status, reply.body, reply.truncated) == (202, b"", True)


async def test_exchange_refused_connection_is_not_sent(client: HttpClient) -> None:
    with pytest.raises(NotSent) as caught:
        await post(client, closed_port())
    assert caught.value.code == "connect"


async def test_exchange_name_that_does_not_resolve_is_not_sent(client: HttpClient) -> None:
    with pytest.raises(NotSent) as caught:
        await client.exchange(httpx.Request("POST", "http://nobody.invalid/", content=BODY), deadline=10)
    assert caught.value.code in ("dns", "connect_timeout")


async def test_exchange_https_to_a_server_without_tls_is_not_sent(client: HttpClient) -> None:
    async def handler(reader: Reader, writer: Writer) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with serving(handler) as port:
        with pytest.raises(NotSent) as caught:
            await client.exchange(httpx.Request("POST", f"https://127.0.0.1:{port}/", content=BODY), deadline=5)
    assert caught.value.code == "tls"


async def test_exchange_tls_handshake_that_never_ends_is_not_sent(client: HttpClient) -> None:
    async def handler(reader: Reader, writer: Writer) -> None:
        await reader.read()

    async with serving(handler) as port:
        with pytest.raises(NotSent) as caught:
            await client.exchange(httpx.Request("POST", f"https://127.0.0.1:{port}/", content=BODY), deadline=0.5)
    assert caught.value.code == "connect_timeout"


async def test_exchange_without_a_free_connection_is_not_sent() -> None:
    arrived = asyncio.Event()

    async def handler(reader: Reader, writer: Writer) -> None:
        await read_request(reader)
        arrived.set()
        await reader.read()

    client = HttpClient(AddressGuard(allow_private=True), HttpSettings(connections=1))
    async with serving(handler) as port:
        first = asyncio.create_task(post(client, port, deadline=3))
        await asyncio.wait_for(arrived.wait(), 5)
        with pytest.raises(NotSent) as caught:
            await post(client, port, deadline=0.5)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
    assert caught.value.code == "connect_timeout"
    await client.aclose()


async def test_exchange_body_longer_than_the_cap_is_cut(client: HttpClient) -> None:
    async def handler(reader: Reader, writer: Writer) -> None:
        await read_request(reader)
        writer.write(answer("200 OK", b"x" * 5000))
        await reader.read()

    async with serving(handler) as port:
        reply = await post(client, port)
    assert (reply.status, len(reply.body), reply.truncated) == (200, 1000, True)


async def test_exchange_body_that_breaks_off_keeps_its_status(client: HttpClient) -> None:
    async def handler(reader: Reader, writer: Writer) -> None:
        await read_request(reader)
        writer.write(b'HTTP/1.1 202 Accepted\r\nContent-Length: 100\r\n\r\n{"id"')
        await writer.drain()

    async with serving(handler) as port:
        reply = await post(client, port)
    assert (reply.status, reply.body, reply.truncated) == (202, b'{"id"', True)


async def test_exchange_body_that_drips_ends_at_the_deadline_with_its_status(client: HttpClient) -> None:
    async def handler(reader: Reader, writer: Writer) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"1\r\nx\r\n")
            await writer.drain()
            await asyncio.sleep(0.05)

    async with serving(handler) as port:
        started = time.perf_counter()
        reply = await post(client, port, deadline=0.4)
    assert (reply.status, reply.truncated) == (202, True)
    assert time.perf_counter() - started < 60  # the other side would never have ended


async def test_exchange_decompression_bomb_is_cut(client: HttpClient) -> None:
    async def handler(reader: Reader, writer: Writer) -> None:
        await read_request(reader)
        writer.write(answer("200 OK", gzip.compress(b"\0" * 700_000), "Content-Encoding: gzip"))
        await reader.read()

    async with serving(handler) as port:
        reply = await post(client, port)
    assert (reply.status, len(reply.body), reply.truncated) == (200, 1000, True)


async def test_exchange_redirect_is_an_answer_and_not_followed(client: HttpClient) -> None:
    requests = 0

    async def handler(reader: Reader, writer: Writer) -> None:
        nonlocal requests
        while True:
            await read_request(reader)
            requests += 1
            writer.write(answer("307 Temporary Redirect", b"", "Location: /elsewhere"))

    async with serving(handler) as port:
        reply = await post(client, port)
    assert (reply.status, requests) == (307, 1)


async def test_exchange_cookies_are_not_kept(client: HttpClient) -> None:
    seen: list[bytes] = []

    async def handler(reader: Reader, writer: Writer) -> None:
        while True:
            seen.append(await read_request(reader))
            writer.write(answer("200 OK", b"", "Set-Cookie: a=1; Path=/"))

    async with serving(handler) as port:
        await post(client, port)
        await post(client, port)
    assert len(seen) == 2
    assert b"cookie" not in seen[1].lower()


async def test_exchange_keeps_the_connection_and_a_fresh_one_is_its_own(client: HttpClient) -> None:
    connections = 0
    seen: list[bytes] = []

    async def handler(reader: Reader, writer: Writer) -> None:
        nonlocal connections
        connections += 1
        while True:
            seen.append(await read_request(reader))
            writer.write(answer("200 OK"))

    async with serving(handler) as port:
        await post(client, port)
        await post(client, port)
        assert connections == 1
        await post(client, port, fresh=True)
        await post(client, port, fresh=True)
        assert connections == 3
    assert b"connection: close" in seen[2].lower()


async def test_exchange_connection_of_a_broken_answer_is_not_used_again(client: HttpClient) -> None:
    connections = 0

    async def handler(reader: Reader, writer: Writer) -> None:
        nonlocal connections
        connections += 1
        while True:
            await read_request(reader)
            writer.write(answer("200 OK", b"x" * 2_000_000))

    async with serving(handler) as port:
        await post(client, port)
        await post(client, port)
    assert connections == 2


async def test_exchange_proxy_of_the_environment_is_not_used(
    client: HttpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{closed_port()}")
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{closed_port()}")

    async def handler(reader: Reader, writer: Writer) -> None:
        await read_request(reader)
        writer.write(answer("200 OK"))
        await reader.read()

    async with serving(handler) as port:
        assert (await post(client, port)).status == 200


async def closed_during_an_exchange(before_the_answer: Callable[[], Awaitable[None]]) -> int:
    """The status of an exchange whose client is closed before its answer comes."""
    arrived, go = asyncio.Event(), asyncio.Event()

    async def handler(reader: Reader, writer: Writer) -> None:
        await read_request(reader)
        arrived.set()
        await go.wait()
        await before_the_answer()
        writer.write(answer("202 Accepted"))
        await reader.read()

    client = HttpClient(AddressGuard(allow_private=True))
    async with serving(handler) as port:
        exchange = asyncio.create_task(post(client, port))
        await asyncio.wait_for(arrived.wait(), 5)
        closing = asyncio.create_task(client.aclose())
        await asyncio.sleep(0)
        go.set()
        reply = await exchange
        await asyncio.wait_for(closing, 5)
    return reply.status


async def test_client_close_waits_for_the_exchange_under_way() -> None:
    async def nothing() -> None:
        return

    assert await closed_during_an_exchange(nothing) == 202


async def test_client_close_reads_what_came_while_the_process_stood_still(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "DRAIN_SECONDS", LATE / 4)

    async def stand_still() -> None:
        time.sleep(3 * LATE)  # noqa: ASYNC251 - the whole process, and not only the server
        await asyncio.sleep(0.01)  # what has come is read in more than one turn of the loop

    assert await closed_during_an_exchange(stand_still) == 202


async def test_exchange_name_that_resolves_to_this_machine_is_refused() -> None:
    client = HttpClient(AddressGuard())
    with pytest.raises(NotSent) as caught:
        await client.exchange(httpx.Request("POST", "http://localhost:1/", content=BODY), deadline=5)
    assert (caught.value.code, str(caught.value)) == (
        "dns",
        "the name localhost does not resolve to a public address",
    )
    await client.aclose()
