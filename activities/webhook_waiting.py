"""What DrainEndpoint asks between dispatches: which deliveries can go now, or when."""

from __future__ import annotations

from temporalio import activity

from activities import failures
from activities.pulse import pulse
from hermod.contracts.errors import Unavailable
from hermod.contracts.webhook_steps import NextForEndpoint
from hermod.contracts.webhooks import DrainEndpointInput
from hermod.ports.webhook_lines import WaitingDeliveries


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
