"""Calls to Temporal that may go without an answer: how long they are waited for, and what they raise then."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final

from temporalio.exceptions import TemporalError
from temporalio.service import RPCError

TEMPORAL_ERRORS: Final = (TemporalError, RuntimeError, TimeoutError)
"""What a call raises that Temporal refuses or does not answer. TemporalError is the base of RPCError, and of what the
client makes of an RPCError for starts and updates; RuntimeError is for a client that cannot connect."""


@asynccontextmanager
async def answered_within(limit: timedelta) -> AsyncIterator[None]:
    """A time limit for calls to Temporal. Raises one of TEMPORAL_ERRORS.

    The client answers the cancellation of an update with an error of its own, be it our limit or somebody who cancels
    the caller; the latter stays a cancellation.
    """
    try:
        async with asyncio.timeout(limit.total_seconds()):
            yield
    except TemporalError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise asyncio.CancelledError from None
        raise


def error_name(error: Exception) -> str:
    """For logs: the status of a refusal, else the type of the error."""
    return error.status.name if isinstance(error, RPCError) else type(error).__name__
