"""Who works on which lane, and how much waits there, as Temporal sees it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import PollerInfo, TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest, DescribeTaskQueueResponse
from temporalio.client import Client

from hermod.contracts.queues import WORKFLOWS, Lane

ASKS_WITHIN: Final = timedelta(seconds=75)
"""A worker with room asks for work once a minute at the least. Temporal remembers it for five after it asked last, so
that one which was stopped would count for as long."""
START_A_WORKER: Final = "start one: `python worker.py`, or `make run` for everything"


@dataclass(frozen=True, slots=True)
class Crew:
    """The workers that ask for the work of one queue, by name, and the tasks that wait for one of them."""

    workers: frozenset[str]
    tasks: int


@dataclass(frozen=True, slots=True)
class Crews:
    workflows: Crew
    lanes: Mapping[Lane, Crew]

    @property
    def unserved(self) -> Sequence[Lane]:
        """Where nobody asks for work."""
        return [lane for lane, crew in self.lanes.items() if not crew.workers]

    def missed(self, records: Mapping[str, int]) -> Sequence[Lane]:
        """Where work waits, as tasks or as `records` by lane, and nobody asks for it."""
        return [lane for lane in self.unserved if self.lanes[lane].tasks or records.get(lane)]


async def look_at_workers(client: Client) -> Crews:
    """Ask every queue for its workers.

    Whoever asked long before the last one did is gone, or has had no room since then. The clock is the server's, so
    where all have gone together they are missed only after the five minutes that it remembers them.
    Raises one of `starter.temporal.calls.TEMPORAL_ERRORS`.
    """
    workflows, *lanes = await asyncio.gather(
        _describe(client, WORKFLOWS, TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW),
        *(_describe(client, lane, TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY) for lane in Lane),
    )
    return crews_of(workflows, dict(zip(Lane, lanes, strict=True)))


def crews_of(workflows: DescribeTaskQueueResponse, lanes: Mapping[Lane, DescribeTaskQueueResponse]) -> Crews:
    """What the server's answers say."""
    asked = [_asked(poller) for answer in (workflows, *lanes.values()) for poller in answer.pollers]
    since = max(asked) - ASKS_WITHIN if asked else datetime.max.replace(tzinfo=UTC)
    return Crews(_crew(workflows, since), {lane: _crew(answer, since) for lane, answer in lanes.items()})


def worker_for(lanes: Sequence[Lane]) -> str:
    """What to do where nobody works on these lanes."""
    return f"start one: `python worker.py --lanes {','.join(lanes)}`"


async def _describe(client: Client, queue: str, kind: TaskQueueType.ValueType) -> DescribeTaskQueueResponse:
    request = DescribeTaskQueueRequest(
        namespace=client.namespace, task_queue=TaskQueue(name=queue), task_queue_type=kind, report_stats=True
    )
    return await client.workflow_service.describe_task_queue(request)


def _crew(answer: DescribeTaskQueueResponse, since: datetime) -> Crew:
    workers = frozenset(poller.identity for poller in answer.pollers if _asked(poller) >= since)
    return Crew(workers, answer.stats.approximate_backlog_count)


def _asked(poller: PollerInfo) -> datetime:
    return poller.last_access_time.ToDatetime(UTC)
