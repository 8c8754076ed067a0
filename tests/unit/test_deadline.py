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
