"""A submission from its acceptance to its end: saved, paid where its form asks for that, and told.

The record decides what is next, and one activity brings it as far as it can come. Where it has to wait for a payment,
this waits until the payment expires, or somebody says that something has changed; signals carry nothing. What comes
after the end, such as a refund, starts it again, and it tells what is new. A submission that the backend refused fails
the workflow as a dead letter, and a reset makes it try again.
"""

from __future__ import annotations

import asyncio
import contextlib
from datetime import datetime, timedelta
from typing import Final

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from activities.errors import DEAD_LETTER
    from activities.forms.submissions import SubmissionActivities
    from hermod.contracts.forms.forms import ProcessSubmissionInput, SubmissionResult, SubmissionStatus, SubmissionStep
    from hermod.contracts.notifications.delivery import Story
    from hermod.contracts.queues import Lane
    from workflows.policies import DELIVER
    from workflows.search_attributes import STATUS
from workflows.patches import ONLY_A_RESET_TRIES_AGAIN

ROUNDS_A_RUN: Final = 100
SHORTEST_WAIT: Final = timedelta(seconds=1)


@workflow.defn(name="ProcessSubmission")
class ProcessSubmission:
    @workflow.init
    def __init__(self, order: ProcessSubmissionInput) -> None:
        self._order = order
        self._woken = False
        self._story = Story(state="starting")

    @workflow.run
    async def run(self, order: ProcessSubmissionInput) -> SubmissionResult:
        step = await self._until_nothing_is_left()
        if step is None:
            workflow.continue_as_new(order)
        if step.status is not SubmissionStatus.COMPLETED:
            workflow.upsert_search_attributes([STATUS.value_set(step.status.value)])
        if step.status is SubmissionStatus.FAILED:
            raise ApplicationError(f"given up: {step.reason}", type=DEAD_LETTER, non_retryable=True)
        return SubmissionResult(status=step.status)

    @workflow.signal(name="look_again")
    def look_again(self) -> None:
        """Something has changed: its payment, or what somebody decided about it."""
        self._woken = True

    @workflow.query(name="story")
    def story(self) -> Story:
        """What was tried, what it waits for and until when, and what comes next."""
        return self._story

    async def _until_nothing_is_left(self) -> SubmissionStep | None:
        """None where another run goes on. A change that came after the last look is looked at."""
        for _ in range(ROUNDS_A_RUN):
            self._woken = False
            step = await self._process()
            if self._tries_again(step):
                continue
            self._tell(step)
            if step.wait_until is not None:
                await self._wait(step.wait_until)
            elif not self._woken:
                return step
        return None

    def _tell(self, step: SubmissionStep) -> None:
        waits = step.wait_until is not None
        self._story = Story(
            state=step.status.value,
            waits_for="its payment" if waits else step.reason,
            until=step.wait_until,
            next="paid, or expired" if waits else None,
        )

    def _tries_again(self, step: SubmissionStep) -> bool:
        """Whether it was given up by an older run, of which this one was made to try again."""
        if step.status is not SubmissionStatus.FAILED or step.run == workflow.info().run_id:
            return False
        return self._is_reset() or not workflow.patched(ONLY_A_RESET_TRIES_AGAIN)

    async def _process(self) -> SubmissionStep:
        self._story = Story(state="processing", next="it is saved, then announced; a pending activity says what waits")
        order = self._order.model_copy(update={"is_reset": self._is_reset()})
        return await workflow.execute_activity_method(
            SubmissionActivities.process_submission,
            order,
            task_queue=Lane.SUBMISSIONS,
            summary=f"save and announce {order.submission}",
            **DELIVER,
        )

    def _is_reset(self) -> bool:
        """Whether an operator made this run of an older one, whose id the first event keeps."""
        info = workflow.info()
        return info.run_id != info.original_execution_run_id

    async def _wait(self, until: datetime) -> None:
        """For its payment."""
        workflow.set_current_details(f"waits for its payment until {until:%Y-%m-%d %H:%M} UTC")
        wait = max(until - workflow.now(), SHORTEST_WAIT)
        with contextlib.suppress(asyncio.TimeoutError):
            await workflow.wait_condition(
                lambda: self._woken, timeout=wait, timeout_summary="until the payment expires"
            )
        workflow.set_current_details("")
