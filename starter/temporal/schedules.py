"""The housekeeping schedules, as one list. Applying it is safe at every start of every worker."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleState,
    ScheduleUpdate,
    ScheduleUpdateInput,
)
from temporalio.common import SearchAttributePair, TypedSearchAttributes
from temporalio.service import RPCError, RPCStatusCode

from hermod.contracts import ids
from hermod.contracts.errors import NotFound
from hermod.contracts.priorities import HIGHEST_PRIORITY
from hermod.contracts.queues import WORKFLOWS
from starter.temporal.priorities import temporal_priority
from workflows.search_attributes import CHANNEL

FAIRNESS_KEY: Final = "housekeeping"
"""In the place of a tenant, and of a channel. Housekeeping goes first: it is little, and nothing else finds what
was left behind."""


@dataclass(frozen=True, slots=True)
class Housekeeping:
    name: str
    workflow: str
    every: timedelta
    purpose: str


SCHEDULES: Final = (
    Housekeeping(
        "sweep-stranded",
        "SweepStranded",
        timedelta(seconds=15),
        "starts staged and forgotten messages, finds messages whose workflow is gone",
    ),
    Housekeeping(
        "receipts",
        "ReconcileReceipts",
        timedelta(minutes=1),
        "matches providers' reports that came before the outcome of their message",
    ),
    Housekeeping(
        "receipt-polls",
        "PollReceipts",
        timedelta(minutes=5),
        "asks the providers that call nobody what became of messages",
    ),
    Housekeeping(
        "devices", "RemoveDeadDevices", timedelta(hours=1), "removes devices whose push token is wrong beyond doubt"
    ),
    Housekeeping(
        "webhook-notices",
        "SendWebhookNotices",
        timedelta(minutes=2),
        "tells other endpoints and the owner about webhook endpoints that were disabled",
    ),
    Housekeeping(
        "retention", "DropContents", timedelta(hours=1), "drops the contents of messages that ended long enough ago"
    ),
    Housekeeping(
        "promises",
        "AuditPromises",
        timedelta(minutes=15),
        "looks for records that break a promise (hermod doctor --deep)",
    ),
    Housekeeping("records", "DropRecords", timedelta(hours=1), "drops the records of what ended long ago"),
)


@dataclass(frozen=True, slots=True)
class ScheduleView:
    name: str
    purpose: str
    paused: bool
    note: str
    runs: int
    last_run: datetime | None
    next_run: datetime | None


async def apply(client: Client) -> None:
    """Create what is missing and bring the rest up to date. A paused schedule stays paused."""
    for housekeeping in SCHEDULES:
        schedule = _schedule(housekeeping)
        try:
            await client.create_schedule(ids.schedule(housekeeping.name), schedule)
        except ScheduleAlreadyRunningError:
            handle = client.get_schedule_handle(ids.schedule(housekeeping.name))
            await handle.update(_bring_up_to_date(schedule))


async def listed(client: Client) -> AsyncIterator[ScheduleView]:
    for housekeeping in SCHEDULES:
        description = await client.get_schedule_handle(ids.schedule(housekeeping.name)).describe()
        recent, coming = description.info.recent_actions, description.info.next_action_times
        yield ScheduleView(
            name=housekeeping.name,
            purpose=housekeeping.purpose,
            paused=description.schedule.state.paused,
            note=description.schedule.state.note or "",
            runs=description.info.num_actions,
            last_run=recent[-1].started_at if recent else None,
            next_run=coming[0] if coming else None,
        )


async def change(client: Client, name: str, action: str, note: str = "") -> None:
    """`action`: `run`, `pause` or `resume`. Raises NotFound."""
    handle = client.get_schedule_handle(ids.schedule(name))
    try:
        if action == "run":
            await handle.trigger()
        elif action == "pause":
            await handle.pause(note=note or "paused by hand")
        else:
            await handle.unpause(note=note or "resumed by hand")
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            raise NotFound(f"there is no schedule {name}") from None
        raise


def _schedule(housekeeping: Housekeeping) -> Schedule:
    return Schedule(
        action=ScheduleActionStartWorkflow(
            housekeeping.workflow,
            id=f"{ids.schedule(housekeeping.name)}/run",
            task_queue=WORKFLOWS,
            static_summary=housekeeping.purpose,
            typed_search_attributes=TypedSearchAttributes([SearchAttributePair(CHANNEL, FAIRNESS_KEY)]),
            priority=temporal_priority(HIGHEST_PRIORITY, FAIRNESS_KEY),
        ),
        spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=housekeeping.every)]),
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=timedelta(minutes=1)),
        state=ScheduleState(note=housekeeping.purpose),
    )


def _bring_up_to_date(schedule: Schedule) -> Callable[[ScheduleUpdateInput], ScheduleUpdate]:
    def update(current: ScheduleUpdateInput) -> ScheduleUpdate:
        schedule.state = current.description.schedule.state
        return ScheduleUpdate(schedule=schedule)

    return update
