"""Up to five hundred messages that share a workflow, because they came together.

One activity delivers them all; its rounds are the short retries of single messages, and trouble of the account makes
the whole batch wait. A message whose next attempt is more than a minute away leaves for a workflow of its own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterator

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from hermod.contracts.ids import message_workflow
    from hermod.contracts.notifications.delivery import (
        DeliveryInput,
        DeliveryReport,
        DeliveryResult,
        SendBatchInput,
        SendNotificationInput,
        Story,
    )
from workflows.delivery_lifecycle import DeliveryLifecycle
from workflows.handoff import start_detached, taken_from
from workflows.notifications.message_activities import messages
from workflows.notifications.send_notification import SendNotification


@workflow.defn(name="SendBatch")
class SendBatch:
    @workflow.init
    def __init__(self, batch: SendBatchInput) -> None:
        self._batch = batch
        order = DeliveryInput(tenant=batch.tenant, channel=batch.channel, messages=batch.messages)
        self._delivering = DeliveryLifecycle(messages(order), batch.due_at)

    @workflow.run
    async def run(self, batch: SendBatchInput) -> DeliveryResult:
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
        """Withdraw every message that is not on its way; answers how they ended."""
        return await self._delivering.withdraw()

    def _let_go(self, report: DeliveryReport) -> Iterator[Awaitable[None]]:
        batch = self._batch
        for message, due_at in report.leaving.items():
            alone = SendNotificationInput(
                tenant=batch.tenant,
                message=message,
                channel=batch.channel,
                due_at=due_at,
                taken_from=taken_from(),
            )
            yield start_detached(
                SendNotification.run, alone, message_workflow(batch.tenant, message), channel=batch.channel.value
            )
