"""Words to running workflows that may get lost: the database has it already, and the workflow will look there."""

from __future__ import annotations

from collections.abc import Awaitable
from datetime import timedelta
from typing import Any, Final

from temporalio.client import Client, WorkflowUpdateStage

from hermod.contracts.errors import Unavailable
from starter.temporal.calls import TEMPORAL_ERRORS, answered_within

TELL_TIMEOUT: Final = timedelta(seconds=2)
"""Callers of the API wait for it."""


async def request_cancel(client: Client, workflow_id: str) -> None:
    """End the wait of a delivery that was withdrawn."""
    handle = client.get_workflow_handle(workflow_id)
    try:
        async with answered_within(TELL_TIMEOUT):
            await handle.start_update("cancel", wait_for_stage=WorkflowUpdateStage.ACCEPTED)
    except TEMPORAL_ERRORS:
        return


async def followed_up(start: Awaitable[bool]) -> bool:
    """What has to follow a move that is committed; False where a server is away, and the sweeper will do it.

    The caller has the answer to the move itself in any case.
    """
    try:
        return await start
    except Unavailable:
        return False


async def signal_if_running(client: Client, workflow_id: str, signal: str, *args: Any) -> None:
    """Signal a workflow where it runs; none is started."""
    handle = client.get_workflow_handle(workflow_id)
    try:
        async with answered_within(TELL_TIMEOUT):
            await handle.signal(signal, args=args)
    except TEMPORAL_ERRORS:
        return
