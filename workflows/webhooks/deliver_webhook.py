"""One event on its way to one endpoint, from the first attempt to its end.

Attempts, the endpoint's schedule and the waits in between are one activity that the server runs again when the ledger
says so. It ends as the delivery ends; one that is given up fails it, and a reset makes it try again. While its endpoint
is in trouble, the delivery waits with others in DrainEndpoint, and this ends as handed off.
"""

from __future__ import annotations

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from hermod.contracts.notifications.delivery import DeliveryResult, Story
    from hermod.contracts.webhooks.deliveries import DeliverWebhookInput, WebhookOrder
from workflows.delivery_lifecycle import DeliveryLifecycle
from workflows.webhooks.webhook_activities import webhooks


@workflow.defn(name="DeliverWebhook")
class DeliverWebhook:
    @workflow.init
    def __init__(self, one: DeliverWebhookInput) -> None:
        order = WebhookOrder(tenant=one.tenant, deliveries=(one.delivery,), taken_from=one.taken_from)
        self._delivering = DeliveryLifecycle(webhooks(order), one.due_at)

    @workflow.run
    async def run(self, one: DeliverWebhookInput) -> DeliveryResult:
        return await self._delivering.end(await self._delivering.run())

    @workflow.query(name="story")
    def story(self) -> Story:
        """What was tried, what it waits for and until when, and what comes next."""
        return self._delivering.story()

    @workflow.signal(name="retry_now")
    def retry_now(self) -> None:
        """Make the next attempt now, where it is waited for."""
        self._delivering.retry_now()

    @workflow.update(name="cancel")
    async def cancel(self) -> DeliveryResult:
        """Withdraw the delivery unless it is on its way; answers how it ended."""
        return await self._delivering.withdraw()
