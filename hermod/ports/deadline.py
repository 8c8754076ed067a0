"""The deadline of one exchange, fair to an answer that came while this process stood still.

A process may be stopped for seconds: its machine is paused, moved, or busy. When it goes on, deadlines are over and
answers lie unread in its sockets, and a timer that goes first turns what was answered into something that nobody knows,
and that is repeated. So a deadline that strikes late leaves the loop a moment for what has come.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

LATE: Final = 0.5
"""Seconds. A timer that strikes so much later than it should says that the process stood still."""
MOMENT: Final = 1.0
"""Seconds in which what has come by then is read."""


@asynccontextmanager
async def deadline_of(seconds: float, *, overtime: float = 0.0) -> AsyncIterator[None]:
    """Raises TimeoutError inside the context when the time is over.

    `overtime`: for what has a deadline of these seconds itself, and is cut off only where it does not keep to it. They
    begin when that deadline strikes, so that it has its moment first, however late it is.
    """
    loop = asyncio.get_running_loop()
    due = loop.time() + seconds

    def strike() -> None:
        now = loop.time()
        limit.reschedule(now + overtime + (MOMENT if now - due > LATE else 0.0))

    async with asyncio.timeout(None) as limit:
        timer = loop.call_at(due, strike)
        try:
            yield
        finally:
            timer.cancel()
