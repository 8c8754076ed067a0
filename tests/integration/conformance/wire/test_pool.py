"""The pool: how many connections there are, who gets the next one, and that none is lost."""

from __future__ import annotations

import asyncio
from asyncio import StreamReader as Reader
from asyncio import StreamWriter as Writer
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from hermod.outbound.addresses.guard import AddressGuard
from hermod.outbound.http.connecting import ConnectFailed, Origin
from hermod.outbound.http.http1_connection import Answer, request_head
from hermod.outbound.http.pool import ConnectionPool
from hermod.outbound.http.timing import SENDING, WAITING, Timing
from tests.integration.conformance.scripted import answer, closed_port, read_request, serving
from tests.support.polling import eventually


@dataclass
class Server:
    """Answers when it may. `open` is how many connections it has."""

    port: int = 0
    open: int = 0
    peak: int = 0
    connections: int = 0
    targets: list[str] = field(default_factory=list)
    may: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def origin(self) -> Origin:
        return Origin("127.0.0.1", self.port, tls=False)


@asynccontextmanager
async def server(*, waits: bool = False) -> AsyncIterator[Server]:
    it = Server()
    if not waits:
        it.may.set()

    async def handler(reader: Reader, writer: Writer) -> None:
        it.connections += 1
        it.open += 1
        it.peak = max(it.peak, it.open)
        try:
            while True:
                it.targets.append((await read_request(reader)).split(b" ", 2)[1].decode())
                await it.may.wait()
                writer.write(answer("200 OK"))
        finally:
            it.open -= 1

    async with serving(handler) as it.port:
        yield it


@asynccontextmanager
async def pooled(limit: int = 1, keepalive: float = 4.0) -> AsyncIterator[ConnectionPool]:
    pool = ConnectionPool(AddressGuard(allow_private=True), limit=limit, keepalive=keepalive)
    yield pool
    pool.close()


async def get(
    pool: ConnectionPool, origin: Origin, target: str = "/", *, fresh: bool = False, within: float | None = None
) -> Timing:
    timing = Timing()
    got = Answer(100, timing)
    head = request_head("GET", target.encode(), [(b"Host", b"localhost")])
    await pool.exchange(origin, head, b"", got, timing, fresh=fresh, connect_within=within)
    assert got.status == 200
    return timing


async def test_who_waits_is_served_in_the_order_of_arrival() -> None:
    async with server(waits=True) as it, pooled() as pool:
        tasks = []
        for number in range(6):
            tasks.append(asyncio.create_task(get(pool, it.origin, f"/{number}")))
            await asyncio.sleep(0)
        await eventually(lambda: len(it.targets) == 1)
        it.may.set()
        await asyncio.gather(*tasks)
    assert it.targets == [f"/{number}" for number in range(6)]
    assert (it.connections, it.peak) == (1, 1)


async def test_limit_is_one_origin_s_alone() -> None:
    async with server(waits=True) as one, server() as other, pooled(2) as pool:
        stuck = [asyncio.create_task(get(pool, one.origin)) for _ in range(5)]
        await eventually(lambda: len(one.targets) == 2)
        await asyncio.gather(*(get(pool, other.origin) for _ in range(5)))
        assert one.peak == 2
        assert other.peak == 2
        one.may.set()
        await asyncio.gather(*stuck)


async def test_no_connection_in_time_is_told_before_anything_has_left() -> None:
    async with server(waits=True) as it, pooled() as pool:
        first = asyncio.create_task(get(pool, it.origin))
        await eventually(lambda: len(it.targets) == 1)
        timing = Timing()
        with pytest.raises(TimeoutError):
            await pool.exchange(it.origin, b"", b"", Answer(1, timing), timing, connect_within=0.05)
        assert (timing.stage, timing.nothing_left) == (WAITING, True)
        it.may.set()
        await first
        assert (await get(pool, it.origin)).stage > SENDING


@pytest.mark.parametrize("when", ["waiting", "under way"])
async def test_who_is_cancelled_takes_no_place_with_him(when: str) -> None:
    async with server(waits=True) as it, pooled() as pool:
        first = asyncio.create_task(get(pool, it.origin))
        await eventually(lambda: len(it.targets) == 1)
        second = asyncio.create_task(get(pool, it.origin))
        third = asyncio.create_task(get(pool, it.origin))
        await asyncio.sleep(0.01)
        (second if when == "waiting" else first).cancel()
        await asyncio.sleep(0.01)
        it.may.set()
        await asyncio.gather(third, *([first] if when == "waiting" else [second]))
        await get(pool, it.origin)
        assert it.peak <= 2  # one that was cut off may be there a moment longer


async def test_turn_that_comes_with_the_cancellation_is_handed_on() -> None:
    async with server(waits=True) as it, pooled() as pool:
        first = asyncio.create_task(get(pool, it.origin))
        await eventually(lambda: len(it.targets) == 1)
        second, third = (asyncio.create_task(get(pool, it.origin)) for _ in range(2))
        await asyncio.sleep(0.01)
        first.add_done_callback(lambda _: second.cancel())
        it.may.set()
        await asyncio.wait_for(third, 5)
        await asyncio.gather(first, second, return_exceptions=True)
        await asyncio.wait_for(get(pool, it.origin), 5)


async def test_host_that_cannot_be_reached_leaves_no_place_taken() -> None:
    origin = Origin("127.0.0.1", closed_port(), tls=False)
    async with pooled() as pool:
        for _ in range(3):
            with pytest.raises(ConnectFailed):
                await get(pool, origin, within=5)
        failures = await asyncio.gather(*(get(pool, origin, within=5) for _ in range(5)), return_exceptions=True)
    assert [type(failure) for failure in failures] == [ConnectFailed] * 5


async def test_fresh_one_makes_room_for_itself_and_is_not_kept() -> None:
    async with server() as it, pooled() as pool:
        await get(pool, it.origin)
        await get(pool, it.origin, fresh=True)
        await eventually(lambda: it.open == 0)
        await get(pool, it.origin)
    assert it.connections == 3


async def test_what_is_idle_for_long_is_closed_without_being_asked() -> None:
    async with server() as it, pooled(5, keepalive=0.1) as pool:
        await asyncio.gather(*(get(pool, it.origin) for _ in range(5)))
        assert it.open >= 1
        await eventually(lambda: it.open == 0)
        await get(pool, it.origin)


async def test_closed_pool_keeps_nothing() -> None:
    async with server(waits=True) as it, pooled() as pool:
        under_way = asyncio.create_task(get(pool, it.origin))
        await eventually(lambda: len(it.targets) == 1)
        pool.close()
        it.may.set()
        await under_way
        await eventually(lambda: it.open == 0)
