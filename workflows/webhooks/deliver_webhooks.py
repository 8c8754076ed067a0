"""Up to five hundred deliveries to one endpoint that share a workflow, because they came together.

One activity delivers them all; its rounds are the short retries of single deliveries, and an endpoint that is paused
makes the whole batch wait. What has its next attempt more than a minute away leaves for a workflow of its own.
"""

from __future__ import annotations

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from hermod.contracts.delivery import DeliveryReport, DeliveryResult
    from hermod.contracts.ids import webhook_workflow
    from hermod.contracts.webhooks import DeliverWebhookInput, DeliverWebhooksInput, WebhookOrder
from workflows.delivering import Delivering
from workflows.leaving import let_go
from workflows.webhooks.deliver_webhook import DeliverWebhook
from workflows.webhooks.delivering import webhooks


@workflow.defn(name="DeliverWebhooks")
class DeliverWebhooks:
    @workflow.init
    def __init__(self, batch: DeliverWebhooksInput) -> None:
        order = WebhookOrder(tenant=batch.tenant, deliveries=batch.deliveries)
        self._delivering = Delivering(webhooks(order), None)

    @workflow.run
    async def run(self, batch: DeliverWebhooksInput) -> DeliveryResult:
        report = await self._delivering.run()
        await self._let_go(batch, report)
        return await self._delivering.end(report)

    @workflow.update(name="cancel")
    async def cancel(self) -> DeliveryResult:
        """Withdraw every delivery that is not on its way; answers how they ended."""
        return await self._delivering.withdraw()

    async def _let_go(self, batch: DeliverWebhooksInput, report: DeliveryReport) -> None:
        for delivery, due_at in report.leaving.items():
            alone = DeliverWebhookInput(
                tenant=batch.tenant, delivery=delivery, due_at=due_at, taken_from=workflow.info().workflow_id
            )
            await let_go(DeliverWebhook.run, alone, webhook_workflow(batch.tenant, delivery))
