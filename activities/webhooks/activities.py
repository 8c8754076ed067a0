"""What the webhook workflows can have done: deliver events to endpoints, and close deliveries that are withdrawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

from temporalio import activity

from activities.dispatch.progress import DispatchProgress
from activities.dispatch.running import current_work, run_cancel, run_dispatch
from activities.heartbeat import ActivityHeartbeat
from activities.webhooks import heartbeat_details as carried
from activities.webhooks.dispatcher import WebhookDependencies, WebhookDispatcher
from activities.webhooks.handoff import is_waiter
from activities.webhooks.heartbeat_details import HeartbeatDetails
from hermod.contracts.notifications.delivery import CancelInput, DeliveryReport
from hermod.contracts.webhooks.deliveries import DeliveryStatus, WebhookOrder
from hermod.ports.clock import Clock


class WebhookActivities:
    def __init__(self, ways: WebhookDependencies, clock: Clock, *, drain: timedelta) -> None:
        """`drain`: how long requests that are under way may take to end once the worker is told to stop."""
        self._ways = ways
        self._clock = clock
        self._drain = drain

    @activity.defn(name="deliver_webhooks")
    async def deliver_webhooks(self, order: WebhookOrder) -> DeliveryReport:
        """Bring the order's deliveries to an end.

        While one of them waits (for its next attempt, for an endpoint that is paused) this raises with the delay after
        which the server is to run it again: the waiting costs no worker and no history. For an endpoint in trouble they
        wait with its waiter, which owns them from then on; that in turn is told at once where it stands.
        """
        work = current_work(order.tenant, order.deliveries, kind="webhook")
        if is_waiter(work.owner):
            # All of its runs are one: a dead letter of an earlier run is not one that a reset wants to be opened again.
            work = replace(work, run=work.owner)

        async def run(outcomes: HeartbeatDetails, heartbeat: ActivityHeartbeat) -> DispatchProgress:
            dispatch = WebhookDispatcher(
                work, self._ways, clock=heartbeat, stopping=heartbeat.stopping, superseded=heartbeat.superseded
            )
            return await dispatch.run(outcomes)

        async def take_over() -> None:
            if order.taken_from is not None:
                await self._ways.ledger.hand_over(order.tenant, order.taken_from, order.deliveries, work.owner)

        return await run_dispatch(work, carried, run, drain=self._drain, take_over=take_over)

    @activity.defn(name="withdraw_webhooks")
    async def withdraw_webhooks(self, order: CancelInput) -> DeliveryReport:
        """Cancel in the ledger what can still be cancelled, and say how it stands. The workflow is about to end."""

        async def withdraw(owner: str) -> int:
            return await self._ways.ledger.withdraw(order.tenant, owner, order.messages, self._clock.now())

        async def count() -> Mapping[DeliveryStatus, int]:
            return await self._ways.ledger.counts(order.tenant, order.messages)

        return await run_cancel(order, withdraw, count)
