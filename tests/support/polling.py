"""Waiting for something to become true, with a deadline instead of a sleep."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

_Answer = TypeVar("_Answer")


@overload
async def eventually(
    probe: Callable[[], Awaitable[_Answer | None]], *, within: float = 30.0, every: float = 0.02
) -> _Answer: ...


@overload
async def eventually(probe: Callable[[], _Answer | None], *, within: float = 30.0, every: float = 0.02) -> _Answer: ...


async def eventually(probe: Callable[[], Any], *, within: float = 30.0, every: float = 0.02) -> Any:
    """Ask `probe` again and again; gives its first true answer.

    An AssertionError counts as "not yet". When `within` seconds have passed, the last one is raised, or one that
    shows the last answer. So what must hold the whole time is not asserted by a probe, which would only ask again: the
    probe counts where it does not, and the test asserts afterwards that the count is nought.
    """
    deadline = time.monotonic() + within
    while True:
        try:
            answer = probe()
            if inspect.isawaitable(answer):
                answer = await answer
            if answer:
                return answer
            missed = AssertionError(f"not true within {within} s; the last answer was {answer!r}")
        except AssertionError as not_yet:
            missed = not_yet
        if time.monotonic() >= deadline:
            raise missed
        await asyncio.sleep(every)
