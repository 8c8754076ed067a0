"""Turning stored messages into running workflows: one each when they come alone, else one per five hundred."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from temporalio.client import Client
from temporalio.common import (
    Priority,
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.service import RPCError

from hermod.contracts.content import Channel
from hermod.contracts.delivery import SendBatchInput, SendNotificationInput
from hermod.contracts.errors import Unavailable
from hermod.contracts.ids import parse_workflow_id
from hermod.contracts.queues import WORKFLOWS
from hermod.ports.clock import Clock
from hermod.storage.limits import TenantLimits
from hermod.storage.messages import Messages
from hermod.telemetry import STARTS, get_logger
from workflows.search_attributes import CHANNEL, REQUEST_ID, TENANT

START_TIMEOUT: Final = timedelta(seconds=5)
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """The messages of one workflow: of one tenant, channel, priority and due time."""

    workflow_id: str
    tenant: str
    channel: Channel
    messages: tuple[str, ...]
    priority: int
    due_at: datetime | None
    request_id: str | None


class Dispatcher:
    def __init__(self, client: Client, messages: Messages, limits: TenantLimits, clock: Clock) -> None:
        self._client = client
        self._messages = messages
        self._limits = limits
        self._clock = clock

    async def start(self, unit: Unit, *, anew: bool = False) -> bool:
        """Start the unit's workflow and mark its messages; False where Temporal is away, and the sweeper will do it.

        A workflow of that id that runs already is left to it; one that has ended is followed by a new run. `anew` is
        for a message that has ended: a run that is still there has nothing left to do but close, and makes way.
        """
        name = "SendNotification" if _is_single(unit) else "SendBatch"
        try:
            async with asyncio.timeout(START_TIMEOUT.total_seconds()):
                await self._start(name, unit, anew=anew)
        except (RPCError, RuntimeError, TimeoutError) as error:
            # The client raises RuntimeError, too, where it cannot connect.
            STARTS.labels(name, "failed").inc()
            _log.warning("workflow_not_started", workflow_id=unit.workflow_id, tenant=unit.tenant, error=_kind(error))
            return False
        STARTS.labels(name, "started").inc()
        await self._messages.mark_started(unit.tenant, unit.messages, self._clock.now())
        return True

    async def _start(self, name: str, unit: Unit, *, anew: bool) -> None:
        running = WorkflowIDConflictPolicy.TERMINATE_EXISTING if anew else WorkflowIDConflictPolicy.USE_EXISTING
        attributes = [SearchAttributePair(TENANT, unit.tenant), SearchAttributePair(CHANNEL, unit.channel.value)]
        if unit.request_id is not None:
            attributes.append(SearchAttributePair(REQUEST_ID, unit.request_id))
        await self._client.start_workflow(
            name,
            _input(unit) if name == "SendNotification" else _batch_input(unit),
            id=unit.workflow_id,
            task_queue=WORKFLOWS,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            id_conflict_policy=running,
            priority=Priority(
                priority_key=11 - unit.priority,
                fairness_key=unit.tenant,
                fairness_weight=await self._weight(unit.tenant),
            ),
            search_attributes=TypedSearchAttributes(attributes),
            memo={"request_id": unit.request_id} if unit.request_id is not None else None,
            static_summary=_summary(unit),
        )

    async def _weight(self, tenant: str) -> float:
        """The tenant's share of a busy lane. The database may be away after it has taken the messages."""
        try:
            return (await self._limits.rules(tenant)).weight
        except Unavailable:
            return 1.0


def _input(unit: Unit) -> SendNotificationInput:
    return SendNotificationInput(tenant=unit.tenant, message=unit.messages[0], channel=unit.channel, due_at=unit.due_at)


def _batch_input(unit: Unit) -> SendBatchInput:
    reference = parse_workflow_id(unit.workflow_id)
    return SendBatchInput(
        tenant=unit.tenant,
        batch=reference.record if reference else unit.workflow_id,
        channel=unit.channel,
        messages=unit.messages,
        due_at=unit.due_at,
    )


def _is_single(unit: Unit) -> bool:
    reference = parse_workflow_id(unit.workflow_id)
    return reference is not None and reference.kind == "message"


def _summary(unit: Unit) -> str:
    what = unit.channel.value if len(unit.messages) == 1 else f"{len(unit.messages)} × {unit.channel.value}"
    return f"{what} for {unit.tenant}"


def _kind(error: Exception) -> str:
    return error.status.name if isinstance(error, RPCError) else type(error).__name__
