"""Words to running workflows that may get lost: the database has it already, and the workflow will look there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from datetime import timedelta
from typing import Any, Final

from temporalio.client import Client, WorkflowUpdateStage
from temporalio.service import RPCError

from hermod.contracts.errors import Unavailable
from starter.dispatching import START_TIMEOUT

CANCEL_TIMEOUT: Final = timedelta(seconds=2)
_LOST: Final = (RPCError, RuntimeError, TimeoutError)
"""RuntimeError, too, where the client cannot connect."""


async def tell_cancelled(client: Client, workflow_id: str) -> None:
    """End the wait of a delivery that was withdrawn."""
    handle = client.get_workflow_handle(workflow_id)
    try:
        async with asyncio.timeout(CANCEL_TIMEOUT.total_seconds()):
            await handle.start_update("cancel", wait_for_stage=WorkflowUpdateStage.ACCEPTED)
    except _LOST:
        return


async def followed_up(start: Awaitable[bool]) -> bool:
    """What has to follow a move that is committed; False where a server is away, and the sweeper will do it.

    The caller has the answer to the move itself in any case.
    """
    try:
        return await start
    except Unavailable:
        return False


async def nudge(client: Client, workflow_id: str, signal: str, *args: Any) -> None:
    """Signal a workflow where it runs; none is started."""
    handle = client.get_workflow_handle(workflow_id)
    try:
        async with asyncio.timeout(START_TIMEOUT.total_seconds()):
            await handle.signal(signal, args=args)
    except _LOST:
        return
