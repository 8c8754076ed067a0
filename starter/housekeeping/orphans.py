"""How the sweeper starts the workflows of messages, webhook deliveries and submissions that have none."""

from __future__ import annotations

from collections.abc import Sequence

from hermod.contracts.ids import (
    batch_id,
    batch_workflow,
    message_workflow,
    new_id,
    submission_workflow,
    webhook_batch_workflow,
    webhook_workflow,
)
from hermod.storage.notifications.orphans import OrphanedMessage
from hermod.storage.operations.orphaned_records import Orphan
from hermod.storage.webhooks.orphans import OrphanedDelivery
from starter.forms.submission_intake import Submissions
from starter.temporal.starts import IF_NONE_RUNS, WorkflowBatch, WorkflowStarter
from starter.webhooks.starts import WebhookUnit, WebhookWorkflowStarter


class MessageWorkflows:
    """`starter.housekeeping.sweeping.Workflows` of messages."""

    def __init__(self, dispatcher: WorkflowStarter) -> None:
        self._dispatcher = dispatcher

    async def start(self, messages: Sequence[OrphanedMessage]) -> bool:
        return await self._dispatcher.start(_unit(messages), conflict=IF_NONE_RUNS)

    async def mark_started(self, messages: Sequence[OrphanedMessage]) -> None:
        await self._dispatcher.mark_started(_unit(messages))

    def own(self, messages: Sequence[OrphanedMessage]) -> str:
        first = messages[0]
        if len(messages) == 1:
            return message_workflow(first.tenant, first.id)
        return batch_workflow(first.tenant, batch_id())


class DeliveryWorkflows:
    """`starter.housekeeping.sweeping.Workflows` of webhook deliveries."""

    def __init__(self, dispatcher: WebhookWorkflowStarter) -> None:
        self._dispatcher = dispatcher

    async def start(self, deliveries: Sequence[OrphanedDelivery]) -> bool:
        return await self._dispatcher.start(_webhook_unit(deliveries), conflict=IF_NONE_RUNS)

    async def mark_started(self, deliveries: Sequence[OrphanedDelivery]) -> None:
        await self._dispatcher.mark_started(_webhook_unit(deliveries))

    def own(self, deliveries: Sequence[OrphanedDelivery]) -> str:
        first = deliveries[0]
        if len(deliveries) == 1:
            return webhook_workflow(first.tenant, first.id)
        return webhook_batch_workflow(first.tenant, new_id("bat"))


class SubmissionWorkflows:
    """`starter.housekeeping.sweeping.Workflows` of submissions: each has its own."""

    def __init__(self, submissions: Submissions) -> None:
        self._submissions = submissions

    async def start(self, submissions: Sequence[Orphan]) -> bool:
        (one,) = submissions
        return await self._submissions.begin(one.tenant, one.id, one.request_id, conflict=IF_NONE_RUNS)

    async def mark_started(self, submissions: Sequence[Orphan]) -> None:
        (one,) = submissions
        await self._submissions.mark_started(one.tenant, one.id)

    def own(self, submissions: Sequence[Orphan]) -> str:
        (one,) = submissions
        return submission_workflow(one.tenant, one.id)


def _unit(messages: Sequence[OrphanedMessage]) -> WorkflowBatch:
    first = messages[0]
    return WorkflowBatch(
        workflow_id=first.workflow_id,
        tenant=first.tenant,
        channel=first.channel,
        messages=tuple(message.id for message in messages),
        priority=first.priority,
        due_at=first.send_at,
        request_id=_only_request(messages),
    )


def _webhook_unit(deliveries: Sequence[OrphanedDelivery]) -> WebhookUnit:
    first = deliveries[0]
    return WebhookUnit(
        workflow_id=first.workflow_id,
        tenant=first.tenant,
        endpoint=first.endpoint if len({delivery.endpoint for delivery in deliveries}) == 1 else None,
        deliveries=tuple(delivery.id for delivery in deliveries),
        request_id=_only_request(deliveries),
    )


def _only_request(records: Sequence[Orphan]) -> str | None:
    """The call that all of them came with, if it was one."""
    requests = {record.request_id for record in records}
    return requests.pop() if len(requests) == 1 else None
