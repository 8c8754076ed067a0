"""How the HTTP/2 client gets its connections, keeps them, and lets them go."""

from __future__ import annotations

import asyncio
import ssl
from asyncio import StreamReader as Reader
from asyncio import StreamWriter as Writer
from pathlib import Path

import httpx
import pytest

from hermod.outbound.addresses.guard import AddressGuard
from hermod.outbound.http import http2
from hermod.outbound.http.client import NotSent
from hermod.outbound.http.http2 import Http2Client
from tests.integration.conformance.scripted import closed_port, read_request, server_context, serving
from tests.integration.conformance.scripted_http2 import Peer, client_of, facing, post, serving_http2


async def test_exchange_server_that_speaks_http_1_is_not_sent() -> None:
    async def handler(reader: Reader, writer: Writer) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
        await writer.drain()

    async with serving(handler) as port, client_of(f"http://127.0.0.1:{port}") as client:
        with pytest.raises(NotSent) as caught:
            await post(client)
    assert caught.value.code == "refused"


async def test_exchange_server_that_never_greets_is_not_sent() -> None:
    async def handler(reader: Reader, writer: Writer) -> None:
        await reader.read()

    async with serving(handler) as port, client_of(f"http://127.0.0.1:{port}") as client:
        with pytest.raises(NotSent) as caught:
            await post(client, deadline=0.3)
    assert caught.value.code == "connect_timeout"


async def test_exchange_refused_connection_is_not_sent() -> None:
    async with client_of(f"http://127.0.0.1:{closed_port()}") as client:
        with pytest.raises(NotSent) as caught:
            await post(client)
    assert caught.value.code == "connect"


async def test_exchange_name_that_does_not_resolve_is_not_sent() -> None:
    async with client_of("http://nobody.invalid") as client:
        with pytest.raises(NotSent) as caught:
            await post(client)
    assert caught.value.code in ("dns", "connect_timeout")


async def test_exchange_name_that_resolves_to_this_machine_is_told_like_one_that_does_not_resolve() -> None:
    client = Http2Client(httpx.URL("https://localhost:1"), AddressGuard())
    with pytest.raises(NotSent) as caught:
        await post(client)
    assert (caught.value.code, str(caught.value)) == (
        "dns",
        "the name localhost does not resolve to a public address",
    )
    await client.aclose()


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "2130706433"])
async def test_exchange_address_of_this_machine_is_refused(host: str) -> None:
    client = Http2Client(httpx.URL(f"https://{host}:1"), AddressGuard())
    with pytest.raises(NotSent) as caught:
        await post(client)
    assert caught.value.code == "address_refused"
    await client.aclose()


def _contexts(certificate: Path, *protocols: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The server's, offering these protocols, and one of a client that trusts it."""
    server = server_context(certificate)
    if protocols:
        server.set_alpn_protocols(list(protocols))
    client = ssl.create_default_context(cafile=str(certificate))
    client.set_alpn_protocols(["h2"])
    return server, client


async def test_exchange_over_tls_checks_the_name_and_is_answered(certificate: Path) -> None:
    async def handler(peer: Peer) -> None:
        peer.answer(await peer.request())
        await peer.idle()

    named: list[str] = []
    server, trusting = _contexts(certificate, "h2")
    server.sni_callback = lambda _, name, __: named.append(name)
    async with (
        serving_http2(handler, context=server) as port,
        client_of(f"https://localhost:{port}", context=trusting) as client,
        client_of(f"https://127.0.0.1:{port}", context=trusting) as by_number,
        client_of(f"https://localhost:{port}") as stranger,
    ):
        assert (await post(client)).status == 200
        for other in (by_number, stranger):
            with pytest.raises(NotSent) as caught:
                await post(other)
            assert caught.value.code == "tls"
    assert named[0] == "localhost"


async def test_exchange_over_tls_without_http2_is_not_sent(certificate: Path) -> None:
    server, trusting = _contexts(certificate)

    async def handler(reader: Reader, writer: Writer) -> None:
        await read_request(reader)

    async with (
        serving(handler, server) as port,
        client_of(f"https://localhost:{port}", context=trusting) as client,
    ):
        with pytest.raises(NotSent) as caught:
            await post(client)
    assert caught.value.code == "http2"


async def test_exchange_handshake_that_never_ends_is_not_sent() -> None:
    async def handler(reader: Reader, writer: Writer) -> None:
        await reader.read()

    async with serving(handler) as port, client_of(f"https://127.0.0.1:{port}") as client:
        with pytest.raises(NotSent) as caught:
            await post(client, deadline=0.5)
    assert caught.value.code == "connect_timeout"


async def test_exchange_fresh_takes_a_connection_that_was_heard_just_now_or_a_new_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connections = 0

    async def handler(peer: Peer) -> None:
        nonlocal connections
        connections += 1
        while True:
            peer.answer(await peer.request())

    async with facing(handler) as client:
        await post(client)
        await post(client, fresh=True)
        assert connections == 1
        monkeypatch.setattr(http2, "PROVEN", 0.0)
        await post(client, fresh=True)
        assert connections == 2
        await post(client)
        assert connections == 2


async def test_connection_that_is_not_used_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http2, "KEEPALIVE", 0.05)
    closed = asyncio.Event()

    async def handler(peer: Peer) -> None:
        try:
            while True:
                peer.answer(await peer.request())
        finally:
            closed.set()

    async with facing(handler) as client:
        await post(client)
        await asyncio.wait_for(closed.wait(), 5)
        assert (await post(client)).status == 200


async def test_renew_lets_the_exchange_under_way_end_on_the_old_connection() -> None:
    arrived, go = asyncio.Event(), asyncio.Event()
    connections = 0

    async def handler(peer: Peer) -> None:
        nonlocal connections
        connections += 1
        number = await peer.request()
        if connections == 1:
            arrived.set()
            await go.wait()
        peer.answer(number)
        await peer.idle()

    async with facing(handler) as client:
        first = asyncio.create_task(post(client))
        await asyncio.wait_for(arrived.wait(), 5)
        client.renew()
        assert (await post(client)).status == 200
        go.set()
        assert (await first).status == 200
    assert connections == 2


async def test_client_close_waits_for_the_exchange_under_way_and_takes_no_other() -> None:
    arrived, go = asyncio.Event(), asyncio.Event()

    async def handler(peer: Peer) -> None:
        number = await peer.request()
        arrived.set()
        await go.wait()
        peer.answer(number)
        await peer.idle()

    async with facing(handler) as client:
        exchange = asyncio.create_task(post(client))
        await asyncio.wait_for(arrived.wait(), 5)
        closing = asyncio.create_task(client.aclose())
        await asyncio.sleep(0)
        with pytest.raises(NotSent):
            await post(client)
        go.set()
        assert (await exchange).status == 200
        await asyncio.wait_for(closing, 5)
