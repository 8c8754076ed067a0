"""What DrainEndpoint asks between dispatches: which deliveries can go now, or when."""

from __future__ import annotations

from temporalio import activity

from activities.heartbeat import current_heartbeat
from hermod.contracts.webhooks.deliveries import DrainEndpointInput
from hermod.contracts.webhooks.steps import NextForEndpoint
from hermod.ports.webhooks.lines import WaitingDeliveries


class WebhookWaitingActivities:
    def __init__(self, waiting: WaitingDeliveries) -> None:
        self._waiting = waiting

    @activity.defn(name="next_for_endpoint")
    async def next_for_endpoint(self, order: DrainEndpointInput) -> NextForEndpoint:
        heartbeat = current_heartbeat()
        return await self._waiting.next(order.tenant, order.endpoint, heartbeat.now())
