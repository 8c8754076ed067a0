"""Sends deliveries of an endpoint again, at a set rate, and can be paused, resumed and cancelled.

The table of replays is the record: which page is next, how far it has come, whether it runs. Every page is one
activity, which begins its deliveries anew as workflows of their own and moves the cursor; the waits in between make
the rate. A signal only says what somebody wants; the next page takes it in.
"""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta
from typing import Final

from temporalio import workflow
from temporalio.exceptions import is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from activities.webhooks.replays import WebhookReplayActivities
    from hermod.contracts.queues import WORKFLOWS
    from hermod.contracts.webhooks.deliveries import ReplayDeliveriesInput, ReplayStatus
    from hermod.contracts.webhooks.steps import ReplayResult, ReplayStep, ReplayStepInput
    from workflows.policies import REPLAY_PAGE

PAGES_A_RUN: Final = 200
LOOK_AGAIN: Final = timedelta(hours=1)
"""A paused replay looks at the table so often, should a signal be lost."""
_UNDER_WAY: Final = (ReplayStatus.RUNNING, ReplayStatus.PAUSED)


@workflow.defn(name="ReplayDeliveries")
class ReplayDeliveries:
    @workflow.init
    def __init__(self, replay: ReplayDeliveriesInput) -> None:
        self._replay = replay
        self._wanted: ReplayStatus | None = None
        self._step: ReplayStep | None = None

    @workflow.run
    async def run(self, replay: ReplayDeliveriesInput) -> ReplayResult:
        try:
            result = await self._pages()
        except BaseException as error:
            if is_cancelled_exception(error):
                self._wanted = ReplayStatus.CANCELLED
                await self._page()
            raise
        if result is None:
            workflow.continue_as_new(replay)
        return result

    @workflow.signal(name="pause")
    def pause(self) -> None:
        self._wanted = ReplayStatus.PAUSED

    @workflow.signal(name="resume")
    def resume(self) -> None:
        self._wanted = ReplayStatus.RUNNING

    @workflow.signal(name="cancel")
    def cancel(self) -> None:
        self._wanted = ReplayStatus.CANCELLED

    @workflow.query(name="progress")
    def progress(self) -> ReplayStep | None:
        """Where it stands; None before the first page."""
        return self._step

    async def _pages(self) -> ReplayResult | None:
        """The replay's end, or None where there are pages left for another run."""
        for _ in range(PAGES_A_RUN):
            step = await self._page()
            if step.status not in _UNDER_WAY:
                return ReplayResult(status=step.status, begun=step.begun)
            await self._until_next(step)
        # What was asked of this run in the meantime goes into the table, for the next one does not know it.
        while self._wanted is not None:
            await self._page()
        return None

    async def _page(self) -> ReplayStep:
        wanted, self._wanted = self._wanted, None
        begun_at = workflow.now()
        order = ReplayStepInput(tenant=self._replay.tenant, replay=self._replay.replay, wanted=wanted)
        step = await workflow.execute_activity_method(
            WebhookReplayActivities.replay_page, order, task_queue=WORKFLOWS, **REPLAY_PAGE
        )
        took = (workflow.now() - begun_at).total_seconds()
        self._step = step.model_copy(update={"seconds": max(step.seconds - took, 0.0)})
        workflow.set_current_details(f"{step.status.value}: {step.begun} of {step.matching} begun again")
        return self._step

    async def _until_next(self, step: ReplayStep) -> None:
        paused = step.status is ReplayStatus.PAUSED
        wait = LOOK_AGAIN if paused else timedelta(seconds=step.seconds)
        if wait <= timedelta(0):
            return
        summary = "paused" if paused else "until the next page"
        with contextlib.suppress(asyncio.TimeoutError):
            await workflow.wait_condition(lambda: self._wanted is not None, timeout=wait, timeout_summary=summary)
