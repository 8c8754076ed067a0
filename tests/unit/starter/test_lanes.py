"""Who counts as working on a lane, by what Temporal remembers of those who asked it for work."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from temporalio.api.taskqueue.v1 import PollerInfo, TaskQueueStats
from temporalio.api.workflowservice.v1 import DescribeTaskQueueResponse

from hermod.contracts.queues import Lane
from starter.temporal.lanes import ASKS_WITHIN, Crews, crews_of, worker_for

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
LONG_AGO = NOW - 2 * ASKS_WITHIN


def queue(tasks: int = 0, **asked: datetime) -> DescribeTaskQueueResponse:
    answer = DescribeTaskQueueResponse(stats=TaskQueueStats(approximate_backlog_count=tasks))
    for name, at in asked.items():
        poller = PollerInfo(identity=name)
        poller.last_access_time.FromDatetime(at)
        answer.pollers.append(poller)
    return answer


def crews(workflows: DescribeTaskQueueResponse, **lanes: DescribeTaskQueueResponse) -> Crews:
    return crews_of(workflows, {lane: lanes.get(lane.value, queue()) for lane in Lane})


def test_every_lane_without_a_worker_is_unserved() -> None:
    found = crews(queue(one=NOW), email=queue(one=NOW), sms=queue(one=NOW))
    assert found.unserved == [lane for lane in Lane if lane not in (Lane.EMAIL, Lane.SMS)]
    assert found.missed({}) == []


def test_worker_that_was_replaced_by_one_for_fewer_lanes_is_not_counted_for_the_others() -> None:
    """The server remembers the one that was stopped for minutes."""
    found = crews(
        queue(old=LONG_AGO, new=NOW),
        email=queue(old=LONG_AGO, new=NOW - timedelta(seconds=60)),
        webhooks=queue(3, old=LONG_AGO),
        submissions=queue(old=LONG_AGO),
    )
    assert found.workflows.workers == found.lanes[Lane.EMAIL].workers == {"new"}
    assert {Lane.WEBHOOKS, Lane.SUBMISSIONS} <= set(found.unserved)
    assert found.missed({"submissions": 1, "email": 7, "sms": 0}) == [Lane.WEBHOOKS, Lane.SUBMISSIONS]


def test_worker_is_idle_for_the_minute_of_its_request_and_counts() -> None:
    found = crews(queue(one=NOW), push=queue(one=NOW - timedelta(seconds=61)))
    assert Lane.PUSH not in found.unserved


def test_nobody_has_ever_asked_every_lane_with_work_is_missed() -> None:
    found = crews(queue(), email=queue(1), events=queue())
    assert found.workflows.workers == frozenset()
    assert found.missed({"events": 2}) == [Lane.EMAIL, Lane.EVENTS]
    assert worker_for(found.missed({})) == "start one: `python worker.py --lanes email`"
