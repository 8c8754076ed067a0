"""Work that many wait for is done once, fails for all, and outlives who gives up."""

from __future__ import annotations

import asyncio

import pytest

from hermod.outbound.http.single_flight import SingleFlight


class Work:
    def __init__(self) -> None:
        self.begun = 0
        self.go = asyncio.Event()
        self.failure: Exception | None = None

    async def __call__(self) -> int:
        self.begun += 1
        await self.go.wait()
        if self.failure is not None:
            raise self.failure
        return self.begun


async def test_work_is_shared_while_it_is_under_way_and_begun_anew_afterwards() -> None:
    work, flight = Work(), SingleFlight[int]()
    waiting = [asyncio.create_task(flight.run(work)) for _ in range(5)]
    await asyncio.sleep(0)
    work.go.set()
    assert await asyncio.gather(*waiting) == [1] * 5
    assert await flight.run(work) == 2


async def test_work_that_fails_fails_for_all_and_is_tried_again_by_the_next() -> None:
    work, flight = Work(), SingleFlight[int]()
    work.failure = ValueError("no")
    work.go.set()
    outcomes = await asyncio.gather(*(flight.run(work) for _ in range(3)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [ValueError] * 3
    work.failure = None
    assert await flight.run(work) == 2


async def test_work_goes_on_when_who_began_it_gives_up() -> None:
    work, flight = Work(), SingleFlight[int]()
    first, second = (asyncio.create_task(flight.run(work)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    work.go.set()
    assert await second == 1
    assert first.cancelled()


async def test_work_is_cancelled_for_all() -> None:
    work, flight = Work(), SingleFlight[int]()
    flight.cancel()
    waiting = asyncio.create_task(flight.run(work))
    await asyncio.sleep(0)
    flight.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
