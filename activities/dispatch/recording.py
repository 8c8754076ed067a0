"""Outcomes go to the ledger whatever happens: again while the database is away, and at last in the next try's hands."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final, TypeVar

from activities.notifications.heartbeat_details import OutcomesNotPersisted
from hermod.contracts.errors import Unavailable
from hermod.telemetry import UNRECORDED

RECORD_WAITS: Final = (0.2, 1.0, 3.0)
"""Seconds between the tries to record outcomes while the database is away."""
SUPERSEDED_FOR: Final = 120.0
"""Seconds for which a try that is followed by none goes on trying: it cannot hand its outcomes on."""
LAST_WORDS: Final = 3.0
"""Seconds that an interrupted dispatch takes to record what it knows."""

Returned = TypeVar("Returned")


async def record_with_retry(
    record: Callable[[], Awaitable[Returned]],
    results: Sequence[Any],
    *,
    stopping: Callable[[], bool],
    superseded: Callable[[], bool],
) -> Returned:
    """Raises OutcomesNotPersisted with the results, where the database stays away for too long."""
    begun, tries = time.monotonic(), 0
    while True:
        try:
            return await record()
        except Unavailable:
            if superseded():
                over = time.monotonic() - begun > SUPERSEDED_FOR
            else:
                over = tries >= len(RECORD_WAITS) or stopping()
            if over:
                UNRECORDED.inc(len(results))
                raise OutcomesNotPersisted(results) from None
        await asyncio.sleep(RECORD_WAITS[min(tries, len(RECORD_WAITS) - 1)])
        tries += 1


async def record_uninterrupted(
    record: Callable[[], Awaitable[Returned]],
    results: Sequence[Any],
    *,
    stopping: Callable[[], bool],
    superseded: Callable[[], bool],
) -> Returned:
    """`record_with_retry`, which a cancellation does not cut off: it waits for its end, `LAST_WORDS` at the most.

    Raises CancelledError where it was cancelled and the results are recorded, and OutcomesNotPersisted where they are
    not.
    """
    recording = asyncio.ensure_future(record_with_retry(record, results, stopping=stopping, superseded=superseded))
    try:
        return await asyncio.shield(recording)
    except asyncio.CancelledError:
        if await _has_ended_well(recording):
            raise
        raise OutcomesNotPersisted(results) from None


async def record_on_shutdown(record: Callable[[], Awaitable[object]], results: Sequence[Any]) -> None:
    """Interrupted: record what is known, and quickly. Raises OutcomesNotPersisted where that does not work any more."""
    if results and not await _has_ended_well(asyncio.ensure_future(record())):
        UNRECORDED.inc(len(results))
        raise OutcomesNotPersisted(results)


async def finish_despite_cancellation(
    grant: Coroutine[Any, Any, None], never_made: Callable[[], Sequence[Any]]
) -> None:
    """Commit the intents of a wave, which a cancellation does not cut off: it is passed on after its end.

    Raises what the grant raises, cancelled or not. Where it takes longer than `LAST_WORDS` after a cancellation, it is
    cut off: OutcomesNotPersisted with `never_made()`, the results of a wave that may be committed and is not made.
    """
    task = asyncio.ensure_future(grant)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task], timeout=LAST_WORDS)
        was_cut_off = task.cancel() or task.cancelled()
        if was_cut_off:
            raise OutcomesNotPersisted(never_made()) from None
        if (error := task.exception()) is not None:
            raise error from None
        raise


async def _has_ended_well(task: asyncio.Future[Any]) -> bool:
    await asyncio.wait([task], timeout=LAST_WORDS)
    if not task.done():
        task.cancel()
        return False
    return not task.cancelled() and task.exception() is None
