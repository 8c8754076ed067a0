"""A worker is told to stop while it has an activity that is not wanted any more: its time to drain ends that, too."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.common import RetryPolicy
from temporalio.worker import UnsandboxedWorkflowRunner, Worker
from temporalio.workflow import ActivityCancellationType

from activities.heartbeat import heartbeating

QUEUE: Final = "shutting-down"
DRAIN: Final = timedelta(seconds=0.5)
PATIENCE: Final = 60


class Lasting:
    """An activity whose work never ends by itself."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.interrupted = asyncio.Event()
        self.cut_off = asyncio.Event()

    @activity.defn(name="last")
    async def last(self) -> None:
        async with heartbeating() as heartbeat:
            await heartbeat.finish(self._work(heartbeat.stopping), drain=DRAIN)

    async def _work(self, stopping: Callable[[], bool]) -> None:
        self.begun.set()
        try:
            while True:
                await asyncio.sleep(0.05)
                if stopping():
                    self.interrupted.set()
        except asyncio.CancelledError:
            self.cut_off.set()
            raise


@workflow.defn(name="Lasts", sandboxed=False)
class Lasts:
    @workflow.run
    async def run(self) -> None:
        await workflow.execute_activity(
            "last",
            start_to_close_timeout=timedelta(minutes=5),
            heartbeat_timeout=timedelta(seconds=30),
            retry_policy=RetryPolicy(maximum_attempts=1),
            cancellation_type=ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        )


async def test_worker_stops_after_its_activity_was_cancelled_the_activity_is_cut_off(temporal: Client) -> None:
    lasting = Lasting()
    worker = Worker(
        temporal,
        task_queue=QUEUE,
        workflows=[Lasts],
        activities=[lasting.last],
        workflow_runner=UnsandboxedWorkflowRunner(),
        max_heartbeat_throttle_interval=timedelta(seconds=1),
        graceful_shutdown_timeout=DRAIN,
    )
    running = asyncio.create_task(worker.run())
    handle = await temporal.start_workflow("Lasts", id=QUEUE, task_queue=QUEUE)
    await asyncio.wait_for(lasting.begun.wait(), PATIENCE)
    await handle.cancel()
    await asyncio.wait_for(lasting.interrupted.wait(), PATIENCE)
    assert not lasting.cut_off.is_set()
    await asyncio.wait_for(worker.shutdown(), PATIENCE)
    assert lasting.cut_off.is_set()
    await asyncio.gather(running, return_exceptions=True)
