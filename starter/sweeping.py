"""One pass of the sweeper: what has no workflow gets one, and what lost its workflow is found.

It implements `hermod.ports.sweeper.Sweeper` for the housekeeping activity.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from datetime import timedelta
from itertools import groupby
from typing import Final

from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from hermod.contracts.delivery import BATCH_SIZE, SweepReport
from hermod.contracts.errors import Unavailable
from hermod.ports.clock import Clock
from hermod.storage.stranded import Stranded, StrandedMessage
from starter.dispatching import Dispatcher, Unit

UNSTARTED_AFTER: Final = timedelta(seconds=5)
"""A message that was accepted or staged this long ago and is still pending has been forgotten by its starter."""
STILL_AFTER: Final = timedelta(minutes=10)
"""An open, due message that nobody touched for so long may have lost its workflow."""
AT_MOST: Final = 5_000
LOOK_AT_MOST: Final = 500
STARTS_AT_ONCE: Final = 10

_WITHOUT_A_WORD: Final = frozenset(
    {
        WorkflowExecutionStatus.TERMINATED,
        WorkflowExecutionStatus.CANCELED,
        WorkflowExecutionStatus.TIMED_OUT,
        WorkflowExecutionStatus.FAILED,
    }
)


class LedgerSweeper:
    def __init__(self, stranded: Stranded, dispatcher: Dispatcher, client: Client, clock: Clock) -> None:
        self._stranded = stranded
        self._dispatcher = dispatcher
        self._client = client
        self._clock = clock

    async def sweep(self) -> SweepReport:
        now = self._clock.now()
        unstarted = await self._stranded.unstarted(now, older_than=UNSTARTED_AFTER, limit=AT_MOST)
        started = await self._start(unstarted)
        restarted = buried = 0
        for messages in _by_workflow(await self._stranded.still(now, older_than=STILL_AFTER, limit=LOOK_AT_MOST)):
            fate, run = await self._fate(messages[0].workflow_id)
            tenant, ids = messages[0].tenant, [message.id for message in messages]
            if fate in _WITHOUT_A_WORD and fate is not None:
                reason = f"its workflow was closed as {fate.name.lower()} without finishing it"
                await self._stranded.bury(tenant, ids, run, reason, now)
                buried += len(ids)
            elif fate is WorkflowExecutionStatus.RUNNING:
                await self._stranded.touch(tenant, ids, now)
            else:
                restarted += await self._start(messages)
        return SweepReport(started=started, restarted=restarted, buried=buried)

    async def _start(self, messages: Sequence[StrandedMessage]) -> int:
        """How many messages have a workflow now."""
        turns = asyncio.Semaphore(STARTS_AT_ONCE)

        async def start(unit: Unit) -> int:
            async with turns:
                return len(unit.messages) if await self._dispatcher.start(unit) else 0

        return sum(await asyncio.gather(*(start(unit) for unit in _units(messages))))

    async def _fate(self, workflow_id: str) -> tuple[WorkflowExecutionStatus | None, str]:
        """The status of the workflow and its run, or None where Temporal knows no such workflow."""
        try:
            description = await self._client.get_workflow_handle(workflow_id).describe()
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return None, ""
            raise Unavailable("Temporal does not answer") from error
        return description.status, description.run_id


def _by_workflow(messages: Iterable[StrandedMessage]) -> list[list[StrandedMessage]]:
    def key(message: StrandedMessage) -> tuple[str, str]:
        return message.tenant, message.workflow_id

    return [list(group) for _, group in groupby(sorted(messages, key=key), key=key)]


def _units(messages: Iterable[StrandedMessage]) -> list[Unit]:
    return [
        Unit(
            workflow_id=group[0].workflow_id,
            tenant=group[0].tenant,
            channel=group[0].channel,
            messages=tuple(message.id for message in group[:BATCH_SIZE]),
            priority=group[0].priority,
            due_at=group[0].send_at,
            request_id=group[0].request_id,
        )
        for group in _by_workflow(messages)
    ]
