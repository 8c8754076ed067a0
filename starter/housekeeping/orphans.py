"""How the sweeper starts the workflows of messages, webhook deliveries and submissions that have none."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Generic, TypeVar

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
from starter.forms.submission_intake import OneSubmission
from starter.temporal.starts import IF_NONE_RUNS, RecordStarter, WorkflowBatch
from starter.webhooks.starts import WebhookUnit

Record = TypeVar("Record", bound=Orphan)
Unit = TypeVar("Unit")


class OrphanWorkflows(ABC, Generic[Record, Unit]):
    """`starter.housekeeping.sweeping.Workflows` of one ledger."""

    def __init__(self, starter: RecordStarter[Unit]) -> None:
        self._starter = starter

    async def start(self, records: Sequence[Record]) -> bool:
        return await self._starter.start(self._unit(records), conflict=IF_NONE_RUNS)

    async def mark_started(self, records: Sequence[Record]) -> None:
        await self._starter.mark_started(self._unit(records))

    @abstractmethod
    def own(self, records: Sequence[Record]) -> str:
        """The id of the workflow of one record alone; of several, a new id."""

    @abstractmethod
    def _unit(self, records: Sequence[Record]) -> Unit:
        """What starts their owner."""


class MessageWorkflows(OrphanWorkflows[OrphanedMessage, WorkflowBatch]):
    def own(self, records: Sequence[OrphanedMessage]) -> str:
        first = records[0]
        if len(records) == 1:
            return message_workflow(first.tenant, first.id)
        return batch_workflow(first.tenant, batch_id())

    def _unit(self, records: Sequence[OrphanedMessage]) -> WorkflowBatch:
        first = records[0]
        return WorkflowBatch(
            workflow_id=first.workflow_id,
            tenant=first.tenant,
            channel=first.channel,
            messages=tuple(message.id for message in records),
            priority=first.priority,
            due_at=first.send_at,
            request_id=_only_request(records),
        )


class DeliveryWorkflows(OrphanWorkflows[OrphanedDelivery, WebhookUnit]):
    def own(self, records: Sequence[OrphanedDelivery]) -> str:
        first = records[0]
        if len(records) == 1:
            return webhook_workflow(first.tenant, first.id)
        return webhook_batch_workflow(first.tenant, new_id("bat"))

    def _unit(self, records: Sequence[OrphanedDelivery]) -> WebhookUnit:
        first = records[0]
        return WebhookUnit(
            workflow_id=first.workflow_id,
            tenant=first.tenant,
            endpoint=first.endpoint if len({delivery.endpoint for delivery in records}) == 1 else None,
            deliveries=tuple(delivery.id for delivery in records),
            request_id=_only_request(records),
        )


class SubmissionWorkflows(OrphanWorkflows[Orphan, OneSubmission]):
    """Each submission has its own."""

    def own(self, records: Sequence[Orphan]) -> str:
        (one,) = records
        return submission_workflow(one.tenant, one.id)

    def _unit(self, records: Sequence[Orphan]) -> OneSubmission:
        (one,) = records
        return OneSubmission(one.tenant, one.id, one.request_id)


def _only_request(records: Sequence[Orphan]) -> str | None:
    """The call that all of them came with, if it was one."""
    requests = {record.request_id for record in records}
    return requests.pop() if len(requests) == 1 else None
