"""Calls made for many things, only so many of them at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")


async def some_at_once(most: int, call: Callable[[Item], Awaitable[Answer]], items: Iterable[Item]) -> list[Answer]:
    """Call for each item, `most` at a time; the answers stand in the order of the items."""
    turns = asyncio.Semaphore(most)

    async def take(item: Item) -> Answer:
        async with turns:
            return await call(item)

    return await asyncio.gather(*map(take, items))
