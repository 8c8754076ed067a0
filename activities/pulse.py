"""A running activity's link to the server: heartbeats while it works, the server's clock, and word of a shutdown.

The clock is the server's: the time at which it handed out this attempt, plus what has passed since. All workers then
agree on when a retry is due, whatever their own clocks say, and a test that skips time skips it for the ledger too.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

from temporalio import activity

BEAT_SECONDS: Final = 2.0

Result = TypeVar("Result")


class Pulse:
    """Beats in the background while the activity runs. `details` travel with each beat, to the next try."""

    def __init__(self) -> None:
        self.details: Any = None
        self._from = activity.info().started_time
        self._begun = time.monotonic()
        self._withdrawn = False

    def now(self) -> datetime:
        return self._from + timedelta(seconds=time.monotonic() - self._begun)

    def stopping(self) -> bool:
        """Whether to come to an end after the requests that are under way: shutdown, or the workflow was cancelled."""
        return self._withdrawn or activity.is_worker_shutdown()

    async def finish(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Run the work. A cancelled workflow lets its requests under way come to their end; a shutdown cannot wait.

        Raises CancelledError where the activity was cancelled, after the work has ended.
        """
        task = asyncio.ensure_future(work)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            details = activity.cancellation_details()
            self._withdrawn = details is not None and details.cancel_requested
            if not self._withdrawn:
                task.cancel()
            await asyncio.wait([task])
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error from None
            raise

    def beat(self) -> None:
        if self.details is None:
            activity.heartbeat()
        else:
            activity.heartbeat(self.details)

    async def _beat_on(self) -> None:
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            self.beat()


@asynccontextmanager
async def pulse() -> AsyncIterator[Pulse]:
    own = Pulse()
    beating = asyncio.create_task(own._beat_on())
    try:
        yield own
    finally:
        beating.cancel()
