"""The one waiter of an endpoint in trouble: what cannot be delivered now waits here, and is delivered when it can.

It has no list. It asks the database what can go, has that delivered, sleeps until more can go, and ends when nothing
waits any more. Signals carry no work: whoever hands a delivery over commits that first and then says "look again", so
nothing is missed. Cancelling the workflow loses nothing: the deliveries stay open, and the sweeper starts it again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from datetime import timedelta
from typing import Any

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.webhooks.activities import WebhookActivities
    from activities.webhooks.waiting import WebhookWaitingActivities
    from hermod.contracts.notifications.delivery import DeliveryReport, DeliveryResult, Story
    from hermod.contracts.queues import WORKFLOWS, Lane
    from hermod.contracts.webhooks.deliveries import DrainEndpointInput, WebhookOrder
    from hermod.contracts.webhooks.steps import NextForEndpoint
    from workflows.policies import DATABASE_CALL, DELIVER
from workflows.webhooks.webhook_activities import summary


@workflow.defn(name="DrainEndpoint")
class DrainEndpoint:
    @workflow.init
    def __init__(self, waiting: DrainEndpointInput) -> None:
        self._waiting = waiting
        self._woken = False
        self._ended: Counter[str] = Counter()
        self._story = Story(state="starting")

    @workflow.run
    async def run(self, waiting: DrainEndpointInput) -> DeliveryResult:
        """How the deliveries ended that this run has brought to their end."""
        result = await self._until_empty()
        if result is None:
            workflow.continue_as_new(waiting)
        return result

    @workflow.signal(name="look_again")
    def look_again(self) -> None:
        """Something has changed: a delivery waits that is due before the others, or the endpoint is another."""
        self._woken = True

    @workflow.query(name="story")
    def story(self) -> Story:
        """What was tried, what it waits for and until when, and what comes next."""
        return self._story

    async def _until_empty(self) -> DeliveryResult | None:
        """None where another run goes on. A wake-up that came after the last look is looked into."""
        while not workflow.info().is_continue_as_new_suggested():
            self._woken = False
            found = await self._next()
            if found.deliveries:
                self._ended.update((await self._deliver(found.deliveries)).counts)
            elif found.seconds is not None:
                await self._wait(found.reason, timedelta(seconds=found.seconds))
            elif not self._woken:
                self._tell("ended")
                return DeliveryResult(counts=dict(self._ended))
        return None

    async def _next(self) -> NextForEndpoint:
        return await workflow.execute_activity_method(
            WebhookWaitingActivities.next_for_endpoint, self._waiting, task_queue=WORKFLOWS, **DATABASE_CALL
        )

    def _tell(self, state: str, **told: Any) -> None:
        self._story = Story(state=state, counts=dict(self._ended), **told)

    async def _deliver(self, deliveries: tuple[str, ...]) -> DeliveryReport:
        self._tell("delivering", next=f"{len(deliveries)} deliveries, then those that can go after them")
        order = WebhookOrder(tenant=self._waiting.tenant, deliveries=deliveries)
        return await workflow.execute_activity_method(
            WebhookActivities.deliver_webhooks,
            order,
            task_queue=Lane.WEBHOOKS,
            summary=summary(deliveries),
            **DELIVER,
        )

    async def _wait(self, reason: str, wait: timedelta) -> None:
        workflow.set_current_details(reason)
        self._tell("waiting", waits_for=reason, until=workflow.now() + wait, next="what can go then is delivered")
        with contextlib.suppress(asyncio.TimeoutError):
            await workflow.wait_condition(lambda: self._woken, timeout=wait, timeout_summary=reason)
        workflow.set_current_details("")
