"""The HTTP/2 client against servers that misbehave: what is proven unsent, what is unknown, what is read."""

from __future__ import annotations

import asyncio
import time

import pytest
from h2.errors import ErrorCodes

from hermod.outbound.http.client import NotSent, Unknown
from tests.integration.conformance.scripted import reset
from tests.integration.conformance.scripted_http2 import BODY, Peer, facing, post
from tests.support.polling import eventually


async def test_exchange_says_the_request_and_reads_the_answer() -> None:
    seen: list[Peer] = []

    async def handler(peer: Peer) -> None:
        seen.append(peer)
        peer.answer(await peer.request(), 400, b'{"reason":"BadPath"}')
        await peer.idle()

    async with facing(handler) as client:
        reply = await post(client)
    assert (reply.status, reply.body, reply.truncated) == (400, b'{"reason":"BadPath"}', False)
    assert reply.headers["apns-id"] == "id-1"
    assert ":status" not in reply.headers
    assert seen[0].bodies[1] == BODY
    assert seen[0].headers[1] == {
        ":method": "POST",
        ":scheme": "http",
        ":authority": "push.example.com",
        ":path": "/3/device/ab?x=1",
        "apns-topic": "com.example",
        "content-length": str(len(BODY)),
        "accept-encoding": "identity",
        "user-agent": "Hermod",
    }


async def test_exchange_many_share_one_connection_and_are_answered_in_any_order() -> None:
    connections = 0

    async def handler(peer: Peer) -> None:
        nonlocal connections
        connections += 1
        numbers = [await peer.request() for _ in range(50)]
        for number in reversed(numbers):
            peer.answer(number, 200, peer.bodies[number])
        await peer.idle()

    async with facing(handler) as client:
        replies = await asyncio.gather(*(post(client, body=b"%d" % number) for number in range(50)))
    assert [reply.body for reply in replies] == [b"%d" % number for number in range(50)]
    assert connections == 1


async def test_exchange_keeps_to_the_streams_that_the_server_allows() -> None:
    most = 0

    async def handler(peer: Peer) -> None:
        nonlocal most
        while True:
            number = await peer.request()
            most = max(most, peer.h2.open_inbound_streams)
            peer.answer(number)

    async with facing(handler, max_concurrent_streams=2) as client:
        replies = await asyncio.gather(*(post(client) for _ in range(20)))
    assert {reply.status for reply in replies} == {200}
    assert most <= 2


async def test_exchange_keeps_to_the_window_that_the_server_gives() -> None:
    bodies: list[bytes] = []

    async def handler(peer: Peer) -> None:
        while True:
            number = await peer.request()
            bodies.append(peer.bodies[number])
            peer.answer(number)

    long = bytes(range(256)) * 500
    async with facing(handler, initial_window_size=100) as client:
        assert (await post(client, body=long)).status == 200
    assert bodies == [long]


async def test_exchange_answer_before_the_whole_body_was_taken_is_read() -> None:
    peers: list[Peer] = []

    async def handler(peer: Peer) -> None:
        peers.append(peer)
        while not peer.headers:
            await peer.read()
        peer.answer(1, 413)
        await peer.idle()

    async with facing(handler, initial_window_size=0) as client:
        assert (await post(client)).status == 413
        await eventually(lambda: peers[0].resets == [1])


async def test_exchange_goaway_that_names_the_request_still_waits_for_its_answer() -> None:
    connections = 0

    async def handler(peer: Peer) -> None:
        nonlocal connections
        connections += 1
        number = await peer.request()
        peer.go_away(number)
        peer.answer(number)
        await peer.idle()

    async with facing(handler) as client:
        assert (await post(client)).status == 200
        assert (await post(client)).status == 200
    assert connections == 2


async def test_exchange_above_the_last_stream_of_a_goaway_is_made_again_on_another_connection() -> None:
    connections = 0

    async def handler(peer: Peer) -> None:
        nonlocal connections
        connections += 1
        number = await peer.request()
        if connections == 1:
            peer.go_away(0)
        else:
            peer.answer(number)
        await peer.idle()

    async with facing(handler) as client:
        assert (await post(client)).status == 200
    assert connections == 2


async def test_exchange_refused_stream_is_made_again() -> None:
    requests = 0

    async def handler(peer: Peer) -> None:
        nonlocal requests
        while True:
            number = await peer.request()
            requests += 1
            if requests == 1:
                peer.reset(number, ErrorCodes.REFUSED_STREAM)
            else:
                peer.answer(number)

    async with facing(handler) as client:
        assert (await post(client)).status == 200
    assert requests == 2


async def test_exchange_refused_every_time_is_not_sent() -> None:
    async def handler(peer: Peer) -> None:
        await peer.request()
        peer.go_away(0)
        await peer.idle()

    async with facing(handler) as client:
        with pytest.raises(NotSent) as caught:
            await post(client)
    assert caught.value.code == "refused"


@pytest.mark.parametrize("code", [ErrorCodes.INTERNAL_ERROR, ErrorCodes.CANCEL, ErrorCodes.NO_ERROR])
async def test_exchange_reset_stream_is_unknown(code: ErrorCodes) -> None:
    async def handler(peer: Peer) -> None:
        peer.reset(await peer.request(), code)
        await peer.idle()

    async with facing(handler) as client:
        with pytest.raises(Unknown) as caught:
            await post(client)
    assert caught.value.code == "reset"


@pytest.mark.parametrize("ending", ["close", "reset", "goaway"])
async def test_exchange_connection_ends_after_the_request_was_read_is_unknown(ending: str) -> None:
    async def handler(peer: Peer) -> None:
        number = await peer.request()
        if ending == "reset":
            reset(peer.writer)
        elif ending == "goaway":
            peer.go_away(number, ErrorCodes.INTERNAL_ERROR)

    async with facing(handler) as client:
        with pytest.raises(Unknown) as caught:
            await post(client)
    assert caught.value.code in ("disconnected", "reset")


async def test_exchange_no_answer_in_time_is_unknown_and_the_next_takes_another_connection() -> None:
    peers: list[Peer] = []

    async def handler(peer: Peer) -> None:
        peers.append(peer)
        number = await peer.request()
        if len(peers) == 2:
            peer.answer(number)
        await peer.idle()

    async with facing(handler) as client:
        started = time.perf_counter()
        with pytest.raises(Unknown) as caught:
            await post(client, deadline=0.3)
        assert caught.value.code == "timeout"
        assert time.perf_counter() - started < 60  # the other side would never have ended
        assert (await post(client)).status == 200
    assert peers[0].resets == [1]


async def test_exchange_cancelled_tells_the_server_and_leaves_the_connection_usable() -> None:
    peers: list[Peer] = []
    arrived = asyncio.Event()

    async def handler(peer: Peer) -> None:
        peers.append(peer)
        await peer.request()
        arrived.set()
        peer.answer(await peer.request())
        await peer.idle()

    async with facing(handler) as client:
        task = asyncio.create_task(post(client))
        await asyncio.wait_for(arrived.wait(), 5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await post(client)).status == 200
    assert [peer.resets for peer in peers] == [[1]]


async def test_exchange_nonsense_after_the_request_is_unknown() -> None:
    async def handler(peer: Peer) -> None:
        await peer.request()
        peer.writer.write(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")
        await peer.idle()

    async with facing(handler) as client:
        with pytest.raises(Unknown) as caught:
            await post(client)
    assert caught.value.code == "protocol"


async def test_exchange_body_longer_than_the_cap_is_cut() -> None:
    async def handler(peer: Peer) -> None:
        while True:
            peer.answer(await peer.request(), 200, b"x" * 5000)

    async with facing(handler) as client:
        for _ in range(2):
            reply = await post(client)
            assert (reply.status, len(reply.body), reply.truncated) == (200, 1000, True)


@pytest.mark.parametrize("ending", ["close", "drip"])
async def test_exchange_body_that_breaks_off_keeps_its_status(ending: str) -> None:
    async def handler(peer: Peer) -> None:
        peer.answer(await peer.request(), 200, b'{"id"', end=False)
        if ending == "drip":
            await peer.idle()

    async with facing(handler) as client:
        reply = await post(client, deadline=0.5)
    assert (reply.status, reply.body, reply.truncated) == (200, b'{"id"', True)
