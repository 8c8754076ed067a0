"""A running activity's link to the server: heartbeats while it works, the server's clock, and word of a shutdown.

The clock is the server's: the time at which it handed out this attempt, plus what has passed since. All workers then
agree on when a retry is due, whatever their own clocks say, and a test that skips time skips it for the ledger too.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from contextvars import ContextVar
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

from temporalio import activity

HEARTBEAT_SECONDS: Final = 2.0

Result = TypeVar("Result")


class ActivityHeartbeat:
    """Beats in the background while the activity runs. `details` travel with each beat, to the next try."""

    def __init__(self) -> None:
        self.details: Any = None
        self._from = activity.info().started_time
        self._begun = time.monotonic()
        self._ended = False
        self._superseded = False

    def now(self) -> datetime:
        return self._from + timedelta(seconds=time.monotonic() - self._begun)

    def stopping(self) -> bool:
        """Whether to come to an end after the requests that are under way: shutdown, or the activity is not ours any
        more (its workflow was cancelled, or the server has given it out again)."""
        return self._ended or activity.is_worker_shutdown()

    def superseded(self) -> bool:
        """Whether no try follows that gets what this one knows: the server has given the activity out again, or it was
        cancelled. Then only the ledger can take it."""
        return self._superseded

    async def finish(self, work: Coroutine[Any, Any, Result], *, drain: timedelta) -> Result:
        """Run the work. Whatever ends this try, its requests under way come to their end and are recorded, and none
        begins. Only a shutdown cannot wait: when its time to `drain` is over, the work is cancelled.

        The SDK cancels an activity once. Where that was for another reason, as that the server has given it out again,
        it says nothing when the time is over, so the time is kept here.

        Raises CancelledError where the activity was cancelled, after the work has ended.
        """
        task, drained = asyncio.ensure_future(work), asyncio.create_task(_drained(drain))
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            self._ended, self._superseded = True, not _is_followed()
            if not _must_end_now():
                await asyncio.wait([task, drained], return_when=asyncio.FIRST_COMPLETED)
            task.cancel()
            await asyncio.wait([task])
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error from None
            raise
        finally:
            drained.cancel()
        return task.result()

    def beat(self) -> None:
        if self.details is None:
            activity.heartbeat()
        else:
            activity.heartbeat(self.details)

    async def _beat_on(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            self.beat()


async def _drained(drain: timedelta) -> None:
    """Until the worker has been told to stop and its time for that is over."""
    await activity.wait_for_worker_shutdown()
    await asyncio.sleep(drain.total_seconds())


def _must_end_now() -> bool:
    """Whether it is cancelled because the time of a shutdown is over."""
    details = activity.cancellation_details()
    return details is not None and details.worker_shutdown


def _is_followed() -> bool:
    """Whether the server gives the next try what this one leaves in its heartbeat."""
    details = activity.cancellation_details()
    return details is None or (details.worker_shutdown and not details.cancel_requested)


_current: ContextVar[ActivityHeartbeat | None] = ContextVar("heartbeat", default=None)


@asynccontextmanager
async def heartbeating() -> AsyncIterator[ActivityHeartbeat]:
    """Of the activity that runs, as its interceptor has it. It beats where the server expects that."""
    own = ActivityHeartbeat()
    beats = asyncio.create_task(own._beat_on()) if activity.info().heartbeat_timeout else None
    token = _current.set(own)
    try:
        yield own
    finally:
        _current.reset(token)
        if beats is not None:
            beats.cancel()


def current_heartbeat() -> ActivityHeartbeat:
    """The running activity's."""
    return _current.get() or ActivityHeartbeat()
