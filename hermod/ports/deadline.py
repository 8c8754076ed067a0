"""The deadline of one exchange, fair to an answer that came while this process stood still.

A process may be stopped for seconds: its machine is paused, moved, or busy. When it goes on, deadlines are over and
answers lie unread in its sockets, and a timer that goes first turns what was answered into something that nobody knows,
and that is repeated. So a deadline that strikes late leaves the loop a moment for what has come.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Final

LATE: Final = 0.5
"""Seconds. A timer that strikes so much later than it should says that the process stood still."""
MOMENT: Final = 1.0
"""Seconds in which what has come by then is read."""


class deadline_of:  # noqa: N801 - a function to its callers, like `asyncio.timeout`; a generator costs five times as much
    """Raises TimeoutError inside the context when the seconds are over.

    `overtime`: for what has a deadline of these seconds itself, and is cut off only where it does not keep to it. They
    begin when that deadline strikes, so that it has its moment first, however late it is.
    """

    __slots__ = ("_due", "_limit", "_overtime", "_seconds", "_timer")

    def __init__(self, seconds: float, *, overtime: float = 0.0) -> None:
        self._seconds = seconds
        self._overtime = overtime

    async def __aenter__(self) -> None:
        loop = asyncio.get_running_loop()
        self._due = loop.time() + self._seconds
        self._limit = asyncio.Timeout(None)
        await self._limit.__aenter__()
        self._timer = loop.call_at(self._due, self._strike)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        await self._limit.__aexit__(kind, error, trace)

    def _strike(self) -> None:
        now = asyncio.get_running_loop().time()
        self._limit.reschedule(now + self._overtime + (MOMENT if now - self._due > LATE else 0.0))
