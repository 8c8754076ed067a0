"""Up to five hundred deliveries that share a workflow, because they came together.

One activity delivers them all. What waits for an endpoint in trouble is handed off to that endpoint's waiter
(DrainEndpoint). To one endpoint, the activity's rounds are the short retries of single deliveries, and what has its
next attempt more than a minute away leaves for a workflow of its own. To several endpoints, there is one round:
whatever an endpoint does not take at once goes on in a batch of that endpoint alone, so that none of them keeps the
others waiting.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterator
from datetime import datetime
from typing import Final

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from hermod.contracts.ids import webhook_batch_workflow, webhook_part, webhook_workflow
    from hermod.contracts.notifications.delivery import DeliveryReport, DeliveryResult, Story
    from hermod.contracts.webhooks.deliveries import DeliverWebhookInput, DeliverWebhooksInput, WebhookOrder
from workflows.delivery_lifecycle import DeliveryLifecycle
from workflows.handoff import start_detached, taken_from
from workflows.webhooks.deliver_webhook import DeliverWebhook
from workflows.webhooks.webhook_activities import webhooks

CHANNEL: Final = "webhook"
"""As search attributes have it."""


@workflow.defn(name="DeliverWebhooks")
class DeliverWebhooks:
    @workflow.init
    def __init__(self, batch: DeliverWebhooksInput) -> None:
        self._batch = batch
        order = WebhookOrder(tenant=batch.tenant, deliveries=batch.deliveries, taken_from=batch.taken_from)
        self._delivering = DeliveryLifecycle(webhooks(order), batch.due_at)

    @workflow.run
    async def run(self, batch: DeliverWebhooksInput) -> DeliveryResult:
        return await self._delivering.end(await self._delivering.run(self._let_go))

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
        """Withdraw every delivery that is not on its way; answers how they ended."""
        return await self._delivering.withdraw()

    def _let_go(self, report: DeliveryReport) -> Iterator[Awaitable[None]]:
        batch = self._batch
        for delivery, due_at in report.leaving.items():
            yield self._start_alone(batch, delivery, due_at)
        for group in report.apart:
            if len(group.deliveries) == 1:
                yield self._start_alone(batch, group.deliveries[0], group.due_at)
                continue
            name = webhook_part(batch.batch, group.endpoint)
            others = DeliverWebhooksInput(
                tenant=batch.tenant,
                batch=name,
                endpoint=group.endpoint,
                deliveries=group.deliveries,
                taken_from=taken_from(),
                due_at=group.due_at,
            )
            yield start_detached(
                DeliverWebhooks.run,
                others,
                webhook_batch_workflow(batch.tenant, name),
                channel=CHANNEL,
                count=len(group.deliveries),
            )

    async def _start_alone(self, batch: DeliverWebhooksInput, delivery: str, due_at: datetime) -> None:
        alone = DeliverWebhookInput(tenant=batch.tenant, delivery=delivery, due_at=due_at, taken_from=taken_from())
        await start_detached(DeliverWebhook.run, alone, webhook_workflow(batch.tenant, delivery), channel=CHANNEL)
