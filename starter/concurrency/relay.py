"""Starts of workflows that a caller does not wait for: so many at once, all of them before closing, and no more than
the engine keeps up with. What is not started here is found by the sweeper.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

FREE_STARTS: Final = 4
"""As long as fewer starts are under way, nobody waits for company."""
MOST_STARTS: Final = 500
"""With so many starts under way the engine is far behind; the rest is left to the sweeper."""
STARTS_AT_ONCE: Final = 16
LINGER: Final = 0.02
"""Seconds that a call waits for company at the most."""


class Relay:
    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._turns = asyncio.Semaphore(STARTS_AT_ONCE)

    @property
    def is_busy(self) -> bool:
        """Whether so many starts are under way that the engine does not keep up with more of them."""
        return len(self._tasks) >= FREE_STARTS

    def linger(self) -> float:
        """Seconds that are worth waiting for company: none, as long as few starts are under way."""
        return LINGER if self.is_busy else 0.0

    def start(self, begin: Callable[[], Awaitable[object]]) -> None:
        """Have something started; with too many starts under way, nothing is done, and the sweeper will do it."""
        if len(self._tasks) < MOST_STARTS:
            task = asyncio.create_task(self._start(begin))
            self._tasks.add(task)
            task.add_done_callback(self._done)

    async def drain(self, flush: Callable[[], bool] = lambda: False) -> bool:
        """Wait until nothing is left; whether there was any. `flush` begins what still waits, and says the same."""
        had_any = False
        while flush() or self._tasks:
            had_any = True
            await asyncio.gather(*self._tasks, return_exceptions=True)
        return had_any

    async def _start(self, begin: Callable[[], Awaitable[object]]) -> None:
        async with self._turns:
            await begin()

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            asyncio.get_running_loop().call_exception_handler(
                {"message": "a start in the background failed; the sweeper will repeat it", "exception": error}
            )
