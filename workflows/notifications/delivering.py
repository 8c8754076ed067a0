"""What SendNotification and SendBatch share: wait for the due time, deliver, be cancelled, end honestly."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.exceptions import ApplicationError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from activities.failures import DEAD_LETTER
    from activities.notifications import NotificationActivities
    from hermod.contracts.delivery import CloseOrder, DeliveryOrder, DeliveryReport, DeliveryResult
    from hermod.contracts.messages import Status
    from hermod.contracts.queues import WORKFLOWS, Lane
    from workflows.policies import BOOKKEEPING, DELIVER
    from workflows.search_attributes import STATUS


class Delivering:
    """The life of one delivery. The ledger has the last word on every message; this only carries its answers."""

    def __init__(self, order: DeliveryOrder, due_at: datetime | None) -> None:
        self._order = order
        self._due_at = due_at
        self._task: asyncio.Task[DeliveryReport] | None = None
        self._withdrawn = False
        self._result: DeliveryResult | None = None

    async def run(self) -> DeliveryReport:
        """Deliver until every message has an end, or is withdrawn. A cancelled workflow is withdrawn first."""
        try:
            self._task = asyncio.create_task(self._deliver())
            if self._withdrawn:
                self._task.cancel()
            return await self._task
        except BaseException as error:
            if not is_cancelled_exception(error):
                raise
            report = await self._withdraw()
            if not self._withdrawn:
                raise
            return report

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
        self._result = DeliveryResult(counts=report.counts)
        status = _status(report.counts)
        if status != Status.SENT:
            workflow.upsert_search_attributes([STATUS.value_set(status)])
        await workflow.wait_condition(workflow.all_handlers_finished)
        failed = report.counts.get(Status.FAILED, 0)
        if failed:
            total = len(self._order.messages)
            reason = f": {report.reason}" if report.reason and total == 1 else ""
            raise ApplicationError(f"{failed} of {total} given up{reason}", type=DEAD_LETTER, non_retryable=True)
        return self._result

    async def _deliver(self) -> DeliveryReport:
        if self._due_at is not None and (wait := self._due_at - workflow.now()) > timedelta(0):
            await workflow.sleep(wait, summary="until it is due")
        while True:
            report = await workflow.execute_activity_method(
                NotificationActivities.deliver,
                self._order,
                task_queue=Lane(self._order.channel.value),
                summary=f"{len(self._order.messages)} by {self._order.channel.value}",
                **DELIVER,
            )
            # A dead letter reported by another run is one that an operator has reset: this run tries again.
            if not report.counts.get(Status.FAILED) or report.run == workflow.info().run_id:
                return report

    async def _withdraw(self) -> DeliveryReport:
        reason = "asked for in Temporal"
        order = CloseOrder(tenant=self._order.tenant, messages=self._order.messages, reason=reason)
        return await workflow.execute_activity_method(
            NotificationActivities.withdraw, order, task_queue=WORKFLOWS, **BOOKKEEPING
        )


def _status(counts: Mapping[Status, int]) -> str:
    ended = [status for status, count in counts.items() if count]
    return ended[0].value if len(ended) == 1 else "mixed"
