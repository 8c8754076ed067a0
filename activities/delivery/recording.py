"""Outcomes go to the ledger whatever happens: again while the database is away, and at last in the next try's hands."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from activities.delivery.carried import Unrecorded
from hermod.contracts.errors import Unavailable
from hermod.telemetry import UNRECORDED

RECORD_WAITS: Final = (0.2, 1.0, 3.0)
"""Seconds between the tries to record outcomes while the database is away."""
LAST_WORDS: Final = 3.0
"""Seconds that an interrupted dispatch takes to record what it knows."""


async def record_in_the_end(
    record: Callable[[], Awaitable[None]], results: Sequence[Any], stopping: Callable[[], bool]
) -> None:
    """Raises Unrecorded with the results, where the database stays away for longer than it is worth waiting."""
    for pause in (*RECORD_WAITS, None):
        try:
            await record()
            return
        except Unavailable:
            if pause is None or stopping():
                UNRECORDED.inc(len(results))
                raise Unrecorded(results) from None
            await asyncio.sleep(pause)


async def record_last_words(record: Awaitable[None], count: int) -> None:
    """Interrupted: record what is known, and quickly. What cannot be recorded will be found in flight."""
    try:
        async with asyncio.timeout(LAST_WORDS):
            await record
    except (Unavailable, TimeoutError):
        UNRECORDED.inc(count)
