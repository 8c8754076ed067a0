"""What DrainEndpoint asks between dispatches: which deliveries can go now, or when."""

from __future__ import annotations

from temporalio import activity

from activities import errors as failures
from activities.heartbeat import pulse
from hermod.contracts.errors import Unavailable
from hermod.contracts.webhooks.deliveries import DrainEndpointInput
from hermod.contracts.webhooks.steps import NextForEndpoint
from hermod.ports.webhooks.lines import WaitingDeliveries


class WebhookWaitingActivities:
    def __init__(self, waiting: WaitingDeliveries) -> None:
        self._waiting = waiting

    @activity.defn(name="next_for_endpoint")
    async def next_for_endpoint(self, order: DrainEndpointInput) -> NextForEndpoint:
        async with pulse() as beating:
            try:
                return await self._waiting.next(order.tenant, order.endpoint, beating.now())
            except Unavailable:
                raise failures.ledger_unavailable() from None
