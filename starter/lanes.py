"""Who works on which lane, and how much waits there, as Temporal sees it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest, DescribeTaskQueueResponse
from temporalio.client import Client

from hermod.contracts.queues import WORKFLOWS, Lane

START_A_WORKER: Final = "start one: `python worker.py`, or `make run` for everything"


@dataclass(frozen=True, slots=True)
class Crew:
    """The workers of one queue, by name, and the tasks that wait for one of them."""

    workers: frozenset[str]
    tasks: int


@dataclass(frozen=True, slots=True)
class Crews:
    workflows: Crew
    lanes: Mapping[Lane, Crew]

    @property
    def unserved(self) -> Sequence[Lane]:
        return [lane for lane, crew in self.lanes.items() if not crew.workers]


async def look_at_workers(client: Client) -> Crews:
    """Temporal remembers a worker for five minutes after it asked last, so one that crashed is missed only then.

    Raises one of `starter.temporal_calls.TEMPORAL_ERRORS`.
    """
    workflows, *lanes = await asyncio.gather(
        _describe(client, WORKFLOWS, TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW),
        *(_describe(client, lane, TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY) for lane in Lane),
    )
    return Crews(_crew(workflows), {lane: _crew(answer) for lane, answer in zip(Lane, lanes, strict=True)})


def worker_for(lanes: Sequence[Lane]) -> str:
    """What to do where nobody works on these lanes."""
    return f"start one: `python worker.py --lanes {','.join(lanes)}`"


async def _describe(client: Client, queue: str, kind: TaskQueueType.ValueType) -> DescribeTaskQueueResponse:
    request = DescribeTaskQueueRequest(
        namespace=client.namespace, task_queue=TaskQueue(name=queue), task_queue_type=kind, report_stats=True
    )
    return await client.workflow_service.describe_task_queue(request)


def _crew(answer: DescribeTaskQueueResponse) -> Crew:
    return Crew(frozenset(poller.identity for poller in answer.pollers), answer.stats.approximate_backlog_count)
