"""What DrainEndpoint asks between dispatches: which deliveries can go now, or when."""

from __future__ import annotations

from temporalio import activity

from activities import errors
from activities.heartbeat import heartbeating
from hermod.contracts.errors import Unavailable
from hermod.contracts.webhooks.deliveries import DrainEndpointInput
from hermod.contracts.webhooks.steps import NextForEndpoint
from hermod.ports.webhooks.lines import WaitingDeliveries


class WebhookWaitingActivities:
    def __init__(self, waiting: WaitingDeliveries) -> None:
        self._waiting = waiting

    @activity.defn(name="next_for_endpoint")
    async def next_for_endpoint(self, order: DrainEndpointInput) -> NextForEndpoint:
        async with heartbeating() as heartbeat:
            try:
                return await self._waiting.next(order.tenant, order.endpoint, heartbeat.now())
            except Unavailable:
                raise errors.ledger_unavailable() from None
