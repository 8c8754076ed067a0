"""What OrderedEndpoint asks between deliveries: which one is next."""

from __future__ import annotations

from temporalio import activity

from hermod.contracts.webhooks.deliveries import OrderedEndpointInput
from hermod.contracts.webhooks.steps import HeadOfLine
from hermod.ports.webhooks.lines import Lines


class WebhookOrderActivities:
    def __init__(self, lines: Lines) -> None:
        self._lines = lines

    @activity.defn(name="next_in_order")
    async def next_in_order(self, line: OrderedEndpointInput) -> HeadOfLine:
        return await self._lines.head(line.tenant, line.endpoint, line.key)
