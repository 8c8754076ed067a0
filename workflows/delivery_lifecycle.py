"""What all delivery workflows share, of messages and of webhooks: wait for the due time, deliver, be cancelled, end
honestly.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, CancelledError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from activities.errors import DEAD_LETTER, RECORDS_MISSING, RESTORE
    from hermod.contracts.notifications.delivery import (
        DeliveryReport,
        DeliveryResult,
        Story,
        WaitDetails,
        attempt_fields,
    )
    from workflows.policies import DELIVER, DELIVER_UNTIL_LATER
    from workflows.search_attributes import STATUS
from workflows.delivery_activities import DeliveryActivities, waiting_of
from workflows.patches import CANCELLED_WHATEVER_THE_END, owned_before_it_leaves, reset_goes_on_at_once

FAILED = "failed"
HANDED_OFF = "handed_off"
"""The status of a workflow whose records all go on in others."""
MISSING = "missing"
"""The status of a workflow whose records the database does not have."""

Handoff = Callable[[DeliveryReport], Iterator[Awaitable[None]]]
"""Starts the workflows of what left a batch, one after another."""


class DeliveryLifecycle:
    """The life of one delivery. The ledger has the last word on every message; this only carries its answers."""

    def __init__(self, trade: DeliveryActivities, due_at: datetime | None) -> None:
        self._trade = trade
        self._due_at = due_at
        self._task: asyncio.Task[DeliveryReport] | None = None
        self._withdrawn = False
        self._result: DeliveryResult | None = None
        self._waits = 0
        self._waiting: WaitDetails | None = None
        """What the last dispatch said of its wait, if it did."""
        self._retry_now = False
        self._story = Story(state="starting", next="it waits until it is due, and is delivered")

    def story(self) -> Story:
        """What was tried, what it waits for and until when, and what comes next."""
        return self._story

    def retry_now(self) -> None:
        """End a wait for the next attempt. While the activity runs or waits by itself, there is none to end."""
        self._retry_now = True

    async def run(self, handoff: Handoff | None = None) -> DeliveryReport:
        """Deliver until every message has an end, or is withdrawn. A cancelled workflow is withdrawn first.

        Once cancelling was asked for, it does not matter how the activity ended: one whose worker was lost meanwhile
        ends by its heartbeat's time-out, and is not run again.
        """
        report = await self._deliver_or_withdraw(handoff)
        if handoff is not None and _leaves(report) and not owned_before_it_leaves():
            for start in handoff(report):
                await start
        return report

    async def _deliver_or_withdraw(self, handoff: Handoff | None) -> DeliveryReport:
        try:
            self._task = asyncio.create_task(self._deliver(handoff))
            if self._withdrawn:
                self._task.cancel()
            return await self._task
        except GeneratorExit:
            # The worker has dropped the run from its memory: there is nothing to be done any more.
            raise
        except BaseException as error:
            if not (is_cancelled_exception(error) or self._is_cancelled_whatever_the_end()):
                raise
            self._tell("cancelling", next="what is not on its way is cancelled")
            report = await self._trade.withdraw()
            if self._withdrawn:
                return report
            if is_cancelled_exception(error):
                raise
            raise CancelledError("cancelled in Temporal") from error

    def _is_cancelled_whatever_the_end(self) -> bool:
        return self._is_cancelled() and workflow.patched(CANCELLED_WHATEVER_THE_END)

    def _is_cancelled(self) -> bool:
        return self._withdrawn or workflow.cancellation_reason() is not None

    async def withdraw(self) -> DeliveryResult:
        """Stop now; requests that are under way come to their end. Answers how the messages ended."""
        self._withdrawn = True
        if self._task is not None:
            self._task.cancel()
        await workflow.wait_condition(lambda: self._result is not None)
        assert self._result is not None  # noqa: S101 - the condition above
        return self._result

    async def end(self, report: DeliveryReport) -> DeliveryResult:
        """The workflow's result; raises where a message was given up, so that Temporal too lists it as failed."""
        elsewhere = len(report.leaving) + sum(len(part.deliveries) for part in report.apart) + report.handed_off
        # What is cancelled says nothing of its requests: those before its last long wait are known.
        tried = attempt_fields(report) if report.attempts or report.outcomes else attempt_fields(self._waiting)
        self._result = DeliveryResult(counts=report.counts, handed_off=elsewhere, reason=report.reason, **tried)
        self._story = Story(state="ended", counts=report.counts, handed_off=elsewhere, **tried)
        status = MISSING if report.missing else _status(report)
        if status != self._trade.good:
            workflow.upsert_search_attributes([STATUS.value_set(status)])
        await workflow.wait_condition(workflow.all_handlers_finished)
        failed, total = report.counts.get(FAILED, 0), self._trade.count
        if report.missing:
            missing = f"{report.missing} of {total} are not in the database: it has lost them, or they were dropped"
            raise ApplicationError(f"{missing}; {RESTORE}", type=RECORDS_MISSING, non_retryable=True)
        if failed:
            reason = f": {report.reason}" if report.reason else ""
            text = f"{failed} of {total} given up{reason}"
            raise ApplicationError(text, self._result, type=DEAD_LETTER, non_retryable=True)
        return self._result

    async def _deliver(self, handoff: Handoff | None) -> DeliveryReport:
        if self._due_at is not None and (wait := self._due_at - workflow.now()) > timedelta(0):
            self._tell("scheduled", waits_for="its due time", until=self._due_at, next="it is delivered")
            await workflow.sleep(wait, summary="until it is due")
        while True:
            report = await self._dispatch()
            if report is None:
                continue
            # A dead letter reported by another run is one that an operator has reset: this run tries again.
            if not report.counts.get(FAILED) or report.run == workflow.info().run_id:
                break
        if handoff is not None and _leaves(report) and owned_before_it_leaves():
            await self._hand_off(handoff(report))
        return report

    async def _dispatch(self) -> DeliveryReport | None:
        """None where the next attempt was more than a minute away: it is due by now."""
        # A run with many waits behind it leaves those to come to its activity, which adds nothing to the history.
        is_long = workflow.info().is_continue_as_new_suggested()
        self._tell("delivering", next="attempts that are due are made; a pending activity says what it waits for")
        try:
            return await self._trade.deliver(DELIVER if is_long else DELIVER_UNTIL_LATER)
        except ActivityError as error:
            waiting = waiting_of(error)
            if waiting is None or self._is_cancelled():
                raise
            self._waiting = waiting
        await self._until_next_attempt(waiting)
        return None

    async def _until_next_attempt(self, waiting: WaitDetails) -> None:
        self._waits += 1
        if waiting.run != workflow.info().run_id and reset_goes_on_at_once(self._waits):
            return
        cause, until = waiting.cause(), waiting.next_attempt_at
        self._tell(
            "waiting", waits_for=cause, until=until, next="the attempt is made; the signal retry_now makes it now"
        )
        self._retry_now = False
        if (wait := until - workflow.now()) > timedelta(0):
            with contextlib.suppress(asyncio.TimeoutError):
                await workflow.wait_condition(lambda: self._retry_now, timeout=wait, timeout_summary=cause)

    def _tell(self, state: str, **told: Any) -> None:
        self._story = Story(state=state, **attempt_fields(self._waiting), **told)

    async def _hand_off(self, starts: Iterator[Awaitable[None]]) -> None:
        """Until it is cancelled: what was under way by then, the activity or a start, may have come to its end as if
        nothing had been asked."""
        self._tell("handing_off", next="what waits too long goes on in workflows of its own")
        while not self._is_cancelled():
            start = next(starts, None)
            if start is None:
                return
            await start
        raise CancelledError("withdrawn")


def _leaves(report: DeliveryReport) -> bool:
    return bool(report.leaving or report.apart)


def _status(report: DeliveryReport) -> str:
    """Of all; one that left for a workflow of its own only counts where nothing else is left to say."""
    ended = [status for status, count in report.counts.items() if count]
    if report.handed_off or (not ended and _leaves(report)):
        ended.append(HANDED_OFF)
    return ended[0] if len(ended) == 1 else "mixed"
