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


class deadline_of:  # noqa: N801 - a function to its callers, like `asyncio.timeout`, which costs more
    """Raises TimeoutError inside the context when the seconds are over.

    `overtime`: for what has a deadline of these seconds itself, and is cut off only where it does not keep to it. They
    begin when that deadline strikes, so that it has its moment first, however late it is.
    """

    __slots__ = ("_cancelling", "_due", "_is_over", "_loop", "_overtime", "_seconds", "_task", "_timer")

    def __init__(self, seconds: float, *, overtime: float = 0.0) -> None:
        self._seconds = seconds
        self._overtime = overtime
        self._is_over = False

    async def __aenter__(self) -> deadline_of:
        self._loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine runs in one
        self._task = task
        self._cancelling = task.cancelling()
        self.restart()
        self._timer = self._loop.call_later(self._seconds, self._strike)
        return self

    def restart(self) -> None:
        """Begin the seconds anew, for the next of several exchanges one after another."""
        self._due = self._loop.time() + self._seconds

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        # As in `asyncio.timeout`: a task that somebody else has cancelled as well is cancelled.
        if self._is_over and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def _strike(self) -> None:
        now = self._loop.time()
        if self._due > now:
            self._timer = self._loop.call_later(self._due - now, self._strike)
            return
        grace = self._overtime + (MOMENT if now - self._due > LATE else 0.0)
        if grace:
            self._timer = self._loop.call_later(grace, self._cut_off, self._due)
        else:
            self._cut_off(self._due)

    def _cut_off(self, due: float) -> None:
        if self._due != due:  # the exchange has ended in its overtime, and the next one runs
            self._strike()
            return
        self._is_over = True
        self._task.cancel()
