"""Calls made for many things, only so many of them at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar, cast

Item = TypeVar("Item")
Answer = TypeVar("Answer")


async def gather_limited(most: int, call: Callable[[Item], Awaitable[Answer]], items: Iterable[Item]) -> list[Answer]:
    """Call for each item, `most` at a time; the answers stand in the order of the items.

    The first error is raised when all calls have come to their end.
    """
    turns = asyncio.Semaphore(most)

    async def take(item: Item) -> Answer:
        async with turns:
            return await call(item)

    answers = await asyncio.gather(*map(take, items), return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
    return cast("list[Answer]", answers)
