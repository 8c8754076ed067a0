"""Turning stored messages into running workflows: one each when they come alone, else one per five hundred."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Generic, TypeVar

from temporalio.client import Client
from temporalio.common import (
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.exceptions import WorkflowAlreadyStartedError

from hermod.contracts.errors import Unavailable
from hermod.contracts.ids import parse_workflow_id
from hermod.contracts.notifications.content import Channel
from hermod.contracts.notifications.delivery import SendBatchInput, SendNotificationInput
from hermod.contracts.priorities import DEFAULT_PRIORITY
from hermod.contracts.queues import WORKFLOWS
from hermod.contracts.values.model import Model
from hermod.ports.clock import Clock
from hermod.storage.notifications.messages import Messages
from hermod.storage.tenants.limits import TenantLimits
from hermod.telemetry import STARTS, get_logger
from starter.temporal.calls import TEMPORAL_ERRORS, answered_within, error_name
from starter.temporal.priorities import temporal_priority
from workflows.search_attributes import CHANNEL, REQUEST_ID, TENANT
from workflows.summaries import details, summary

IF_NONE_RUNS: Final = WorkflowIDConflictPolicy.FAIL
USE_RUNNING: Final = WorkflowIDConflictPolicy.USE_EXISTING
START_TIMEOUT: Final = timedelta(seconds=5)
Unit = TypeVar("Unit")
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowBatch:
    """The messages of one workflow: of one tenant, channel, priority and due time."""

    workflow_id: str
    tenant: str
    channel: Channel
    messages: tuple[str, ...]
    priority: int
    due_at: datetime | None
    request_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """A workflow to be started: of which type, with what, and how it is found and shared out."""

    name: str
    order: Model
    workflow_id: str
    tenant: str
    channel: str
    request_id: str | None
    summary: str
    """What it is about: `500 × email`."""
    priority: int = DEFAULT_PRIORITY
    """1 to 10, 10 is the most urgent."""
    signal: str | None = None
    """Is told to the workflow, whether it ran before or not."""


class Starts:
    """Starts of workflows. Temporal may be away: then the sweeper does it."""

    def __init__(self, client: Client, limits: TenantLimits) -> None:
        self._client = client
        self._limits = limits

    async def begin(self, start: Start, *, conflict: WorkflowIDConflictPolicy = USE_RUNNING) -> bool:
        """Whether the workflow runs now.

        One that has ended is followed by a new run. One that runs already is left to it; with `IF_NONE_RUNS` it raises
        WorkflowAlreadyStartedError, for whoever must know what that run was begun with.
        """
        try:
            async with answered_within(START_TIMEOUT):
                await self._begin(start, conflict)
        except WorkflowAlreadyStartedError:
            raise
        except TEMPORAL_ERRORS as error:
            STARTS.labels(start.name, "failed").inc()
            names = {"workflow_id": start.workflow_id, "tenant": start.tenant}
            _log.warning("workflow_not_started", error=error_name(error), **names)
            return False
        STARTS.labels(start.name, "started").inc()
        return True

    async def begin_again(self, start: Start, is_pending: Callable[[], Awaitable[bool]]) -> bool:
        """`begin` for a record that had ended and was reopened, `is_pending` until it is started.

        A run that is still there while the record is pending has nothing left to do but close, and makes way. Where it
        is not, somebody else has started it, the sweeper for one, and that run is left alone.
        """
        try:
            return await self.begin(start, conflict=IF_NONE_RUNS)
        except WorkflowAlreadyStartedError:
            if not await is_pending():
                return True
            return await self.begin(start, conflict=WorkflowIDConflictPolicy.TERMINATE_EXISTING)

    async def _begin(self, start: Start, conflict: WorkflowIDConflictPolicy) -> None:
        attributes = [SearchAttributePair(TENANT, start.tenant), SearchAttributePair(CHANNEL, start.channel)]
        if start.request_id is not None:
            attributes.append(SearchAttributePair(REQUEST_ID, start.request_id))
        await self._client.start_workflow(
            start.name,
            start.order,
            id=start.workflow_id,
            task_queue=WORKFLOWS,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            id_conflict_policy=conflict,
            start_signal=start.signal,
            priority=temporal_priority(start.priority, start.tenant, await self._weight(start.tenant)),
            search_attributes=TypedSearchAttributes(attributes),
            memo={"request_id": start.request_id} if start.request_id is not None else None,
            static_summary=summary(start.summary, start.tenant, start.priority),
            static_details=details(start.workflow_id, start.summary, start.tenant, start.priority),
        )

    async def _weight(self, tenant: str) -> float:
        """The tenant's share of a busy lane. The database may be away after it has taken the messages."""
        try:
            return (await self._limits.rules(tenant)).weight
        except Unavailable:
            return 1.0


class RecordStarter(ABC, Generic[Unit]):
    """Starts the workflows of stored records. A unit: the records that one workflow has in its input."""

    def __init__(self, starts: Starts, clock: Clock) -> None:
        self._starts = starts
        self._clock = clock

    async def start(self, unit: Unit, *, conflict: WorkflowIDConflictPolicy = USE_RUNNING) -> bool:
        """Start the unit's workflow and mark its records; False where Temporal is away, and the sweeper will do it.

        A run that is there already is the sweeper's: it takes all records of a workflow, so it has the unit's. The
        sweeper itself starts with `IF_NONE_RUNS`, which raises WorkflowAlreadyStartedError.
        """
        return await self._marked(unit, await self._starts.begin(self._start(unit), conflict=conflict))

    async def restart(self, unit: Unit) -> bool:
        """`start` for records that had ended and were reopened."""
        return await self._marked(
            unit, await self._starts.begin_again(self._start(unit), lambda: self._is_pending(unit))
        )

    @abstractmethod
    async def mark_started(self, unit: Unit) -> None:
        """The unit's workflow runs, and knows its records."""

    @abstractmethod
    async def _is_pending(self, unit: Unit) -> bool:
        """Whether any of its records is not marked as started."""

    @abstractmethod
    def _start(self, unit: Unit) -> Start:
        """The workflow, and what it is given."""

    async def _marked(self, unit: Unit, runs: bool) -> bool:
        if runs:
            await self.mark_started(unit)
        return runs


class WorkflowStarter(RecordStarter[WorkflowBatch]):
    """The workflows of messages."""

    def __init__(self, client: Client, messages: Messages, limits: TenantLimits, clock: Clock) -> None:
        super().__init__(Starts(client, limits), clock)
        self._messages = messages

    async def begin_again(self, unit: WorkflowBatch) -> bool:
        """`start` for messages that had ended and were reopened."""
        return await self.restart(unit)

    async def mark_started(self, unit: WorkflowBatch) -> None:
        await self._messages.mark_started(unit.tenant, unit.workflow_id, unit.messages, self._clock.now())

    async def _is_pending(self, unit: WorkflowBatch) -> bool:
        return await self._messages.any_pending(unit.tenant, unit.messages)

    def _start(self, unit: WorkflowBatch) -> Start:
        return _start(unit)


def _start(unit: WorkflowBatch) -> Start:
    single = _is_single(unit)
    return Start(
        name="SendNotification" if single else "SendBatch",
        order=_input(unit) if single else _batch_input(unit),
        workflow_id=unit.workflow_id,
        tenant=unit.tenant,
        channel=unit.channel.value,
        request_id=unit.request_id,
        summary=_summary(unit),
        priority=unit.priority,
    )


def _input(unit: WorkflowBatch) -> SendNotificationInput:
    return SendNotificationInput(tenant=unit.tenant, message=unit.messages[0], channel=unit.channel, due_at=unit.due_at)


def _batch_input(unit: WorkflowBatch) -> SendBatchInput:
    reference = parse_workflow_id(unit.workflow_id)
    return SendBatchInput(
        tenant=unit.tenant,
        batch=reference.record if reference else unit.workflow_id,
        channel=unit.channel,
        messages=unit.messages,
        due_at=unit.due_at,
    )


def _is_single(unit: WorkflowBatch) -> bool:
    reference = parse_workflow_id(unit.workflow_id)
    return reference is not None and reference.kind == "message"


def _summary(unit: WorkflowBatch) -> str:
    return unit.channel.value if len(unit.messages) == 1 else f"{len(unit.messages)} × {unit.channel.value}"
