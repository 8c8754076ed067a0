"""Calls made for many things, only so many of them at once."""

from __future__ import annotations

import asyncio

import pytest

from starter.concurrency.gather_limited import gather_limited


async def test_many_calls_are_made_few_run_at_once_and_answers_keep_their_order() -> None:
    running = most = 0

    async def call(number: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(10 - number):
            await asyncio.sleep(0)
        running -= 1
        return number * 2

    assert await gather_limited(3, call, range(10)) == [number * 2 for number in range(10)]
    assert most == 3


async def test_one_call_fails_all_others_come_to_their_end_before_it_is_raised() -> None:
    ended = []

    async def call(number: int) -> None:
        await asyncio.sleep(0)
        if number == 1:
            raise ValueError(number)
        for _ in range(number):
            await asyncio.sleep(0)
        ended.append(number)

    with pytest.raises(ValueError, match="1"):
        _ = await gather_limited(3, call, range(10))
    assert sorted(ended) == [0, *range(2, 10)]
