"""A deadline is kept, and an answer that came while the process stood still is read all the same."""

from __future__ import annotations

import asyncio
import time
from threading import Timer

import pytest

from hermod.ports.deadline import LATE, deadline_of


async def test_time_is_over_raises() -> None:
    with pytest.raises(TimeoutError):
        async with deadline_of(0.01):
            await asyncio.Event().wait()


async def test_answer_comes_in_time_nothing_strikes_later() -> None:
    async with deadline_of(0.01):
        await asyncio.sleep(0)
    await asyncio.sleep(0.03)


async def test_answer_came_while_the_process_stood_still_is_read() -> None:
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[str] = loop.create_future()
    loop.call_soon(time.sleep, 3 * LATE)
    Timer(LATE, lambda: loop.call_soon_threadsafe(answer.set_result, "answer")).start()
    async with deadline_of(LATE / 4):
        assert await answer == "answer"


async def test_process_stood_still_and_no_answer_came_raises() -> None:
    asyncio.get_running_loop().call_soon(time.sleep, 3 * LATE)
    with pytest.raises(TimeoutError):
        async with deadline_of(LATE / 4):
            await asyncio.Event().wait()


async def test_cut_off_after_overtime_raises() -> None:
    with pytest.raises(TimeoutError):
        async with deadline_of(0.01, overtime=0.01):
            await asyncio.Event().wait()


async def test_process_stood_still_for_longer_than_the_overtime_the_deadline_within_goes_first() -> None:
    asyncio.get_running_loop().call_soon(time.sleep, 3 * LATE)
    async with deadline_of(LATE / 4, overtime=LATE / 4):
        with pytest.raises(TimeoutError):
            async with deadline_of(LATE / 4):
                await asyncio.Event().wait()


async def test_timer_of_an_exchange_that_has_ended_strikes_the_next_one_has_its_whole_time() -> None:
    async with deadline_of(30) as limit:
        limit.restart()
        limit._strike()
        await asyncio.sleep(0)


async def test_exchange_ends_in_its_overtime_the_next_one_is_not_cut_off_with_it() -> None:
    async with deadline_of(30, overtime=30) as limit:
        struck_at = limit._due
        await asyncio.sleep(0.001)
        limit.restart()
        limit._cut_off(struck_at)
        await asyncio.sleep(0)


async def test_second_of_several_exchanges_takes_too_long_raises() -> None:
    done = []

    async def two() -> None:
        async with deadline_of(0.02) as limit:
            done.append("the first")
            limit.restart()
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        await two()
    assert done == ["the first"]


async def test_task_is_cancelled_while_its_time_runs_it_is_cancelled() -> None:
    async def wait() -> None:
        async with deadline_of(30):
            await asyncio.Event().wait()

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_task_is_cancelled_as_its_time_is_over_it_is_cancelled() -> None:
    async def wait() -> None:
        async with deadline_of(0.01):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                task.cancel()
                raise

    task = asyncio.create_task(wait())
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_something_else_goes_wrong_as_the_time_is_over_that_is_raised() -> None:
    async def wait() -> None:
        async with deadline_of(0.01):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                raise KeyError("x") from None

    with pytest.raises(KeyError):
        await wait()
