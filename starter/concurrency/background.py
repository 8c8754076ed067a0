"""Work that a caller does not wait for: starts of workflows, so many at once, and all of them before closing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

FREE_STARTS: Final = 4
"""As long as fewer starts are under way, nobody waits for company."""
MOST_STARTS: Final = 500
"""With so many starts under way the engine is far behind; the rest is left to the sweeper."""
STARTS_AT_ONCE: Final = 16
LINGER: Final = 0.02
"""Seconds that a call waits for company at the most."""


class Background:
    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._starts = 0
        self._turns = asyncio.Semaphore(STARTS_AT_ONCE)

    def linger(self) -> float:
        """Seconds that are worth waiting for company: none, as long as few starts are under way."""
        return LINGER if self._starts >= FREE_STARTS else 0.0

    def start(self, begin: Callable[[], Awaitable[object]]) -> None:
        """Have something started; with too many starts under way, nothing is done, and the sweeper will do it."""
        if self._starts < MOST_STARTS:
            self._starts += 1
            self.spawn(self._start(begin))

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    async def drain(self, flush: Callable[[], bool] = lambda: False) -> None:
        """Wait until nothing is left; `flush` begins what still waits, and says whether there was any."""
        while flush() or self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _start(self, begin: Callable[[], Awaitable[object]]) -> None:
        try:
            async with self._turns:
                await begin()
        finally:
            self._starts -= 1

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            asyncio.get_running_loop().call_exception_handler(
                {"message": "a start in the background failed; the sweeper will repeat it", "exception": error}
            )
