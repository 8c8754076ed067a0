"""The time limit of calls to Temporal, where the client makes an error of its own of a cancellation."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from temporalio.client import WorkflowUpdateRPCTimeoutOrCancelledError

from starter.temporal.calls import TEMPORAL_ERRORS, answered_within


async def no_answer(under_way: asyncio.Event, limit: timedelta) -> None:
    """As the client waits for an update."""
    async with answered_within(limit):
        under_way.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError as error:
            raise WorkflowUpdateRPCTimeoutOrCancelledError from error


async def test_limit_of_a_call_is_over_is_one_of_temporals_errors() -> None:
    with pytest.raises(TEMPORAL_ERRORS):
        await no_answer(asyncio.Event(), timedelta(milliseconds=1))


async def test_caller_of_a_call_is_cancelled_stays_cancelled() -> None:
    under_way = asyncio.Event()
    call = asyncio.create_task(no_answer(under_way, timedelta(minutes=1)))
    await under_way.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert call.cancelled()
