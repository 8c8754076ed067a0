"""How DeliverWebhook and DeliverWebhooks deliver events to endpoints and withdraw them."""

from __future__ import annotations

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.webhooks.activities import WebhookActivities
    from hermod.contracts.notifications.delivery import CancelInput, DeliveryReport
    from hermod.contracts.queues import WORKFLOWS, Lane
    from hermod.contracts.webhooks.deliveries import DeliveryStatus, WebhookOrder
    from workflows.policies import DATABASE_CALL, Options
from workflows.delivery_activities import DeliveryActivities


def webhooks(order: WebhookOrder) -> DeliveryActivities:
    async def deliver(options: Options) -> DeliveryReport:
        return await workflow.execute_activity_method(
            WebhookActivities.deliver_webhooks,
            order,
            task_queue=Lane.WEBHOOKS,
            summary=summary(order.deliveries),
            **options,
        )

    async def withdraw() -> DeliveryReport:
        close = CancelInput(tenant=order.tenant, messages=order.deliveries, reason="asked for in Temporal")
        return await workflow.execute_activity_method(
            WebhookActivities.withdraw_webhooks, close, task_queue=WORKFLOWS, **DATABASE_CALL
        )

    return DeliveryActivities(
        deliver=deliver, withdraw=withdraw, count=len(order.deliveries), good=DeliveryStatus.DELIVERED
    )


def summary(deliveries: tuple[str, ...]) -> str:
    return f"webhook: {deliveries[0] if len(deliveries) == 1 else f'{len(deliveries)} deliveries'}"
