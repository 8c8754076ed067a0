"""How SendNotification and SendBatch deliver messages and withdraw them."""

from __future__ import annotations

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.notifications.activities import NotificationActivities
    from hermod.contracts.notifications.delivery import CancelInput, DeliveryInput, DeliveryReport
    from hermod.contracts.notifications.messages import Status
    from hermod.contracts.queues import WORKFLOWS, Lane
    from workflows.policies import DATABASE_CALL, Options
from workflows.delivery_activities import DeliveryActivities


def messages(order: DeliveryInput) -> DeliveryActivities:
    async def deliver(options: Options) -> DeliveryReport:
        return await workflow.execute_activity_method(
            NotificationActivities.deliver,
            order,
            task_queue=Lane(order.channel.value),
            summary=_summary(order),
            **options,
        )

    async def withdraw() -> DeliveryReport:
        close = CancelInput(tenant=order.tenant, messages=order.messages, reason="asked for in Temporal")
        return await workflow.execute_activity_method(
            NotificationActivities.withdraw, close, task_queue=WORKFLOWS, **DATABASE_CALL
        )

    return DeliveryActivities(deliver=deliver, withdraw=withdraw, count=len(order.messages), good=Status.SENT)


def _summary(order: DeliveryInput) -> str:
    count = len(order.messages)
    return f"{order.channel.value}: {order.messages[0] if count == 1 else f'{count} messages'}"
