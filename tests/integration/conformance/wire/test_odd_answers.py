"""Answers that make no sense after their status line: the status decides, for providers, webhooks and the backend.

A request that was answered must not be made again, and one that was not must never be called answered.
"""

from __future__ import annotations

import asyncio
import random
import time
from asyncio import StreamReader as Reader
from asyncio import StreamWriter as Writer
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import httpx
import pytest

from hermod.outbound.addresses.guard import AddressGuard
from hermod.outbound.backend import HttpBackend
from hermod.outbound.http.client import HttpClient, NotSent, Reply, Unknown
from hermod.ports.forms.submissions import BackendAway
from tests.integration.conformance.scripted import read_request, serving
from tests.integration.webhooks.posting import order, posting
from tests.unit.outbound.test_backend import RECORD

ODD: Final = {
    "a body of a 204": (204, b"HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\nnull"),
    "a chunked 204": (204, b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "longer than told": (200, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nnull"),
    "length twice": (201, b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}"),
    "a broken chunk": (200, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n"),
    "a header of 20 KB": (200, b"HTTP/1.1 200 OK\r\nX: " + b"y" * 20_000 + b"\r\nContent-Length: 2\r\n\r\n{}"),
    "200 headers": (200, b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"Content-Length: 2\r\n\r\n{}"),
    "no header": (202, b"HTTP/1.1 202 Accepted\r\nwhat is this\r\n\r\n"),
}


@asynccontextmanager
async def saying(*pieces: bytes, hangs: bool = False) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A server's port, and the requests that came. It says the same to each of them, and then closes, or hangs."""
    seen: list[bytes] = []

    async def handler(reader: Reader, writer: Writer) -> None:
        while True:
            seen.append(await read_request(reader))
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            if hangs:
                await reader.read()
            return

    async with serving(handler) as port:
        yield port, seen


@pytest.mark.parametrize(("status", "said"), ODD.values(), ids=ODD)
async def test_provider_that_answers_oddly_has_answered(status: int, said: bytes) -> None:
    client = HttpClient(AddressGuard(allow_private=True))
    async with saying(said) as (port, seen):
        reply = await client.exchange(httpx.Request("POST", f"http://127.0.0.1:{port}/", content=b"{}"), deadline=5)
        await client.aclose()
    assert (reply.status, len(seen)) == (status, 1)


@pytest.mark.parametrize(("status", "said"), ODD.values(), ids=ODD)
async def test_receiver_that_answers_oddly_has_answered(status: int, said: bytes) -> None:
    async with saying(said) as (port, seen), posting(AddressGuard(allow_private=True)) as poster:
        exchange = await poster.post(order(f"http://127.0.0.1:{port}/"))
    assert (exchange.outcome, exchange.status_code, len(seen)) == ("success", status, 1)


@pytest.mark.parametrize(("status", "said"), ODD.values(), ids=ODD)
async def test_backend_that_answers_oddly_has_answered(status: int, said: bytes) -> None:
    async with saying(said) as (port, seen):
        backend = HttpBackend(f"http://127.0.0.1:{port}", "token", deadline=5)
        assert await backend.save(RECORD) is None
        await backend.aclose()
    assert len(seen) == 1


async def test_backend_without_a_status_line_is_away() -> None:
    async with saying(b"220 mail.example.com ESMTP\r\n") as (port, _):
        backend = HttpBackend(f"http://127.0.0.1:{port}", "token", deadline=5)
        with pytest.raises(BackendAway):
            await backend.save(RECORD)
        await backend.aclose()


@pytest.mark.parametrize("seed", range(8))
async def test_answers_spoilt_at_random_end_within_their_deadline(seed: int) -> None:
    """In pieces, with bytes changed, left out and repeated; the server closes, or says nothing more."""
    chance = random.Random(seed)
    client = HttpClient(AddressGuard(allow_private=True))
    deadline = 0.3
    for _ in range(12):
        status, said = chance.choice(list(ODD.values()))
        spoilt = bytearray(said)
        for _ in range(chance.randrange(4)):
            at = chance.randrange(len(spoilt))
            spoilt[at : at + chance.randrange(3)] = chance.randbytes(chance.randrange(3))
        cut = chance.randrange(len(spoilt) + 1)
        async with saying(bytes(spoilt[:cut]), bytes(spoilt[cut:]), hangs=chance.random() < 0.5) as (port, seen):
            request = httpx.Request("POST", f"http://127.0.0.1:{port}/", content=b"{}")
            began = time.perf_counter()
            try:
                answer: Reply | NotSent | Unknown = await client.exchange(request, deadline=deadline)
            except (NotSent, Unknown) as error:
                answer = error
            took = time.perf_counter() - began
        assert took < 60 * deadline
        assert len(seen) == 1
        assert not isinstance(answer, NotSent)
        if spoilt == said and b"HTTP/1.1 204" not in said:
            assert isinstance(answer, Reply)
            assert answer.status == status
    await client.aclose()


async def test_connection_that_ended_while_it_was_idle_is_replaced_unseen() -> None:
    """Nothing has left on it: the request goes out on a new one, once."""
    requests = 0
    ended = asyncio.Event()

    async def handler(reader: Reader, writer: Writer) -> None:
        nonlocal requests
        await read_request(reader)
        requests += 1
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()
        ended.set()

    client = HttpClient(AddressGuard(allow_private=True))
    async with serving(handler) as port:
        for _ in range(3):
            ended.clear()
            request = httpx.Request("POST", f"http://127.0.0.1:{port}/", content=b"{}")
            assert (await client.exchange(request, deadline=5)).status == 200
            await asyncio.wait_for(ended.wait(), 5)
            await asyncio.sleep(0.05)
    await client.aclose()
    assert requests == 3


async def test_word_that_nobody_asked_for_ends_an_idle_connection() -> None:
    connections = 0

    async def handler(reader: Reader, writer: Writer) -> None:
        nonlocal connections
        connections += 1
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.write(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
        await reader.read()

    client = HttpClient(AddressGuard(allow_private=True))
    async with serving(handler) as port:
        for _ in range(2):
            request = httpx.Request("POST", f"http://127.0.0.1:{port}/", content=b"{}")
            assert (await client.exchange(request, deadline=5)).status == 200
            await asyncio.sleep(0.2)
    await client.aclose()
    assert connections == 2


async def test_answer_before_the_request_was_read_ends_what_is_left_of_it() -> None:
    """A body that nobody reads would keep the connection, and the memory, for as long as the other side likes."""
    ended = asyncio.Event()

    async def handler(reader: Reader, writer: Writer) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        read = 0
        try:
            while piece := await reader.read(1_000_000):
                read += len(piece)
                await asyncio.sleep(0.01)
        except OSError:
            pass
        assert read < 30_000_000
        ended.set()

    client = HttpClient(AddressGuard(allow_private=True))
    async with serving(handler) as port:
        request = httpx.Request("POST", f"http://127.0.0.1:{port}/", content=b"x" * 30_000_000)
        assert (await client.exchange(request, deadline=10)).status == 413
        await asyncio.wait_for(ended.wait(), 10)
    await client.aclose()
