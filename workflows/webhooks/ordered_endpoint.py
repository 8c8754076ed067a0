"""Deliveries of one ordering key to one endpoint, strictly one after another, the oldest first.

It asks the database which delivery is next, has it brought to its end, and asks again, until none is left. What stands
in the way of the others, where the endpoint's choice is to block, is waited for until somebody retries or discards it.
Signals carry no work: whoever adds a delivery commits it first and then says "look again", so nothing is missed.
Cancelling the workflow loses nothing: its deliveries stay open, and the sweeper starts it again.
"""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta
from typing import Final

from temporalio import workflow
from temporalio.exceptions import is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from activities.webhooks.activities import WebhookActivities
    from activities.webhooks.ordering import WebhookOrderActivities
    from hermod.contracts.notifications.delivery import Story
    from hermod.contracts.queues import WORKFLOWS, Lane
    from hermod.contracts.webhooks.deliveries import OrderedEndpointInput, WebhookOrder
    from hermod.contracts.webhooks.steps import HeadOfLine, LineResult
    from workflows.policies import DATABASE_CALL, DELIVER
from workflows.patches import LET_GO_WHATEVER_THE_END

DELIVERIES_A_RUN: Final = 200
LOOK_AGAIN: Final = timedelta(minutes=15)
"""A blocked line looks at the database so often, should a signal be lost."""


@workflow.defn(name="OrderedEndpoint")
class OrderedEndpoint:
    @workflow.init
    def __init__(self, line: OrderedEndpointInput) -> None:
        self._line = line
        self._woken = False
        self._current: str | None = None
        self._task: asyncio.Task[None] | None = None
        self._let_go: str | None = None
        self._story = Story(state="starting")

    @workflow.run
    async def run(self, line: OrderedEndpointInput) -> LineResult:
        result = await self._until_empty()
        if result is None:
            workflow.continue_as_new(line)
        return result

    @workflow.signal(name="look_again")
    def look_again(self) -> None:
        """Something has changed: a delivery was added, retried or discarded."""
        self._woken = True

    @workflow.signal(name="let_go")
    def let_go(self, delivery: str) -> None:
        """A delivery was withdrawn; if it is the one at hand, there is nothing to wait for."""
        self._woken = True
        if delivery == self._current and self._task is not None:
            self._let_go = delivery
            self._task.cancel()

    @workflow.query(name="story")
    def story(self) -> Story:
        """What was tried, what it waits for and until when, and what comes next."""
        return self._story

    async def _until_empty(self) -> LineResult | None:
        """None where there may be more for another run. A wake-up that came after the last look is looked into."""
        made, last = 0, None
        for _ in range(DELIVERIES_A_RUN):
            last = None if self._woken else last
            self._woken = False
            head = await self._head()
            if head.delivery is not None and head.delivery != last:
                await self._deliver(head.delivery)
                made, last = made + 1, head.delivery
            elif head.delivery is not None or head.blocked_by is not None:
                # One that is open again although it was brought to its end is not taken up without a pause.
                await self._wait(head.delivery or head.blocked_by)
                last = None
            elif not self._woken:
                self._story = Story(state="ended", counts={"made": made})
                return LineResult(made=made)
        return None

    async def _head(self) -> HeadOfLine:
        return await workflow.execute_activity_method(
            WebhookOrderActivities.next_in_order, self._line, task_queue=WORKFLOWS, **DATABASE_CALL
        )

    async def _deliver(self, delivery: str) -> None:
        self._current = delivery
        self._story = Story(state="delivering", waits_for=f"the end of {delivery}", next="the delivery behind it")
        self._task = asyncio.create_task(self._bring_to_its_end(delivery))
        try:
            await self._task
        except GeneratorExit:
            # The worker has dropped the run from its memory: there is nothing to be done any more.
            raise
        except BaseException as error:
            if self._let_go != delivery or self._ends_line(error):
                raise
        finally:
            self._current = self._task = None

    def _ends_line(self, error: BaseException) -> bool:
        """Once its delivery was let go, it does not matter how the activity ended, but where all is cancelled."""
        is_cancel = is_cancelled_exception(error)
        if is_cancel and workflow.cancellation_reason() is None:
            return False
        return is_cancel if workflow.patched(LET_GO_WHATEVER_THE_END) else not is_cancel

    async def _bring_to_its_end(self, delivery: str) -> None:
        order = WebhookOrder(tenant=self._line.tenant, deliveries=(delivery,))
        await workflow.execute_activity_method(
            WebhookActivities.deliver_webhooks, order, task_queue=Lane.WEBHOOKS, summary=delivery, **DELIVER
        )

    async def _wait(self, delivery: str | None) -> None:
        """Until something changes."""
        workflow.set_current_details(f"blocked by {delivery}: retry or discard it")
        self._story = Story(
            state="waiting",
            waits_for=f"blocked by {delivery}: retry or discard it",
            until=workflow.now() + LOOK_AGAIN,
            next="the line is looked at again",
        )
        with contextlib.suppress(asyncio.TimeoutError):
            await workflow.wait_condition(
                lambda: self._woken, timeout=LOOK_AGAIN, timeout_summary=f"blocked by {delivery}"
            )
        workflow.set_current_details("")
