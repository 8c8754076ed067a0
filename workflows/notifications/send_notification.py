"""One message, from its due time to its end.

It waits until the message is due, then has it delivered: attempts, failover and the waits in between are one activity
that the server runs again when the ledger says so. It ends as the message ends; a message that is given up fails it.
"""

from __future__ import annotations

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from hermod.contracts.notifications.delivery import DeliveryInput, DeliveryResult, SendNotificationInput, Story
from workflows.delivery_lifecycle import DeliveryLifecycle
from workflows.notifications.message_activities import messages


@workflow.defn(name="SendNotification")
class SendNotification:
    @workflow.init
    def __init__(self, message: SendNotificationInput) -> None:
        order = DeliveryInput(
            tenant=message.tenant,
            channel=message.channel,
            messages=(message.message,),
            taken_from=message.taken_from,
        )
        self._delivering = DeliveryLifecycle(messages(order), message.due_at)

    @workflow.run
    async def run(self, message: SendNotificationInput) -> DeliveryResult:
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
        """Withdraw the message unless it is on its way; answers how it ended."""
        return await self._delivering.withdraw()
