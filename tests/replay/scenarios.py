"""The courses a workflow can take, each played once: for the stored histories and for the fingerprints of commands."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import WorkflowExecutionStatus, WorkflowHistory
from temporalio.service import RPCError, RPCStatusCode

from hermod.contracts.notifications.content import Email
from hermod.contracts.notifications.messages import Status
from hermod.contracts.notifications.outcomes import Accepted, MessageRejected, Transient
from hermod.contracts.notifications.retries import Preset
from tests.replay import event_scenarios, partial_scenarios, submission_scenarios, webhook_scenarios
from tests.support.polling import eventually
from tests.support.product import ProductFixture

LETTER: Final = Email(to="ada@example.com", subject="Hello", text="Hello")

Scenario = Callable[[ProductFixture], Awaitable[str]]
"""Plays the course and gives the workflow's id."""


async def send_notification_sent(house: ProductFixture) -> str:
    await house.add_account("main")
    return (await house.hermod.send(LETTER)).workflow_id


async def send_notification_sent_after_retries(house: ProductFixture) -> str:
    await house.add_account("main")
    house.script("main", Transient(), Transient(), Accepted())
    return (await house.hermod.send(LETTER)).workflow_id


async def send_notification_sent_after_a_long_wait(house: ProductFixture) -> str:
    await house.add_account("main")
    house.script("main", Transient(), Transient(), Accepted())
    return (await house.hermod.send(LETTER, retry=["10m", "10m"])).workflow_id


async def send_notification_scheduled(house: ProductFixture) -> str:
    await house.add_account("main")
    return (await house.hermod.send(LETTER, send_at=datetime.now(UTC) + timedelta(hours=1))).workflow_id


async def send_notification_dead_letter(house: ProductFixture) -> str:
    await house.add_account("main")
    house.script("main", MessageRejected(status_code=400))
    return (await house.hermod.send(LETTER)).workflow_id


async def send_notification_cancelled(house: ProductFixture) -> str:
    """Without any account it waits, a minute at a time, until it is cancelled."""
    await house.add_account("off", enabled=False)
    receipt = await house.hermod.send(LETTER)
    await house.reached(receipt.id, Status.DEFERRED)
    await house.client.get_workflow_handle(receipt.workflow_id).execute_update("cancel")
    return receipt.workflow_id


async def send_batch_sent(house: ProductFixture) -> str:
    await house.add_account("main")
    return (await house.hermod.send_many([LETTER] * 3)).receipts[0].workflow_id


async def send_batch_with_one_leaving(house: ProductFixture) -> str:
    await house.add_account("main")
    house.script("main", Accepted(), Transient(), Transient(), Accepted())
    return (await house.hermod.send_many([LETTER] * 2, retry=Preset.WEBHOOK)).receipts[0].workflow_id


async def sweep_stranded(house: ProductFixture) -> str:
    workflow_id = f"sweep-{house.hermod.tenant}"
    await house.client.start_workflow("SweepStranded", id=workflow_id, task_queue="hermod")
    return workflow_id


async def reconcile_receipts(house: ProductFixture) -> str:
    workflow_id = f"receipts-{house.hermod.tenant}"
    await house.client.start_workflow("ReconcileReceipts", id=workflow_id, task_queue="hermod")
    return workflow_id


async def poll_receipts(house: ProductFixture) -> str:
    workflow_id = f"polls-{house.hermod.tenant}"
    await house.client.start_workflow("PollReceipts", id=workflow_id, task_queue="hermod")
    return workflow_id


async def remove_dead_devices(house: ProductFixture) -> str:
    workflow_id = f"devices-{house.hermod.tenant}"
    await house.client.start_workflow("RemoveDeadDevices", id=workflow_id, task_queue="hermod")
    return workflow_id


async def send_webhook_notices(house: ProductFixture) -> str:
    workflow_id = f"webhook-notices-{house.hermod.tenant}"
    await house.client.start_workflow("SendWebhookNotices", id=workflow_id, task_queue="hermod")
    return workflow_id


async def drop_contents(house: ProductFixture) -> str:
    workflow_id = f"retention-{house.hermod.tenant}"
    await house.client.start_workflow("DropContents", id=workflow_id, task_queue="hermod")
    return workflow_id


async def audit_promises(house: ProductFixture) -> str:
    workflow_id = "replay/audit-promises"
    await house.client.start_workflow("AuditPromises", id=workflow_id, task_queue="hermod")
    return workflow_id


async def drop_records(house: ProductFixture) -> str:
    workflow_id = f"records-{house.hermod.tenant}"
    await house.client.start_workflow("DropRecords", id=workflow_id, task_queue="hermod")
    return workflow_id


SCENARIOS: Final[dict[str, Scenario]] = {
    scenario.__name__: scenario
    for scenario in (
        send_notification_sent,
        send_notification_sent_after_retries,
        send_notification_sent_after_a_long_wait,
        send_notification_scheduled,
        send_notification_dead_letter,
        send_notification_cancelled,
        send_batch_sent,
        send_batch_with_one_leaving,
        sweep_stranded,
        reconcile_receipts,
        poll_receipts,
        remove_dead_devices,
        send_webhook_notices,
        drop_contents,
        audit_promises,
        drop_records,
        webhook_scenarios.deliver_webhook_delivered,
        webhook_scenarios.deliver_webhook_dead_letter,
        webhook_scenarios.deliver_webhook_cancelled,
        webhook_scenarios.deliver_webhook_that_left_its_batch,
        webhook_scenarios.deliver_webhooks_all_leaving,
        webhook_scenarios.deliver_webhooks_to_several_endpoints,
        webhook_scenarios.deliver_webhook_handed_off,
        webhook_scenarios.drain_endpoint_done,
        webhook_scenarios.ordered_endpoint_done,
        webhook_scenarios.ordered_endpoint_blocked,
        webhook_scenarios.replay_deliveries_done,
        webhook_scenarios.replay_deliveries_cancelled,
        submission_scenarios.process_submission_completed,
        submission_scenarios.process_submission_expired,
        submission_scenarios.process_submission_dead_letter,
        submission_scenarios.process_submission_paid,
        partial_scenarios.save_partial_abandoned,
        partial_scenarios.save_partial_never_abandoned,
        partial_scenarios.save_partial_converted,
        event_scenarios.ingest_events_done,
        event_scenarios.ingest_events_in_two_rounds,
    )
}

IN_REAL_TIME: Final = frozenset(
    {
        send_notification_cancelled.__name__,
        webhook_scenarios.deliver_webhook_cancelled.__name__,
        webhook_scenarios.ordered_endpoint_blocked.__name__,
        webhook_scenarios.replay_deliveries_cancelled.__name__,
        submission_scenarios.process_submission_paid.__name__,
        partial_scenarios.save_partial_converted.__name__,
    }
)
"""Where time is skipped, a wait is over before anybody can cancel it."""

_COMMANDS: Final = {
    EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED: lambda event: (
        f"activity {event.activity_task_scheduled_event_attributes.activity_type.name}"
        f" on {event.activity_task_scheduled_event_attributes.task_queue.name}"
    ),
    EventType.EVENT_TYPE_ACTIVITY_TASK_CANCEL_REQUESTED: lambda event: "cancel activity",
    EventType.EVENT_TYPE_TIMER_STARTED: lambda event: "timer",
    EventType.EVENT_TYPE_TIMER_CANCELED: lambda event: "cancel timer",
    EventType.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED: lambda event: (
        f"child {event.start_child_workflow_execution_initiated_event_attributes.workflow_type.name}"
    ),
    EventType.EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES: lambda event: "search attributes",
    EventType.EVENT_TYPE_MARKER_RECORDED: lambda event: "marker",
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED: lambda event: (
        f"update {event.workflow_execution_update_accepted_event_attributes.accepted_request.input.name}"
    ),
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED: lambda event: "complete",
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED: lambda event: "fail",
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED: lambda event: "cancelled",
}


async def play(name: str, skipping: ProductFixture, real_time: ProductFixture) -> WorkflowHistory:
    """The history of the scenario's workflow, once it has closed."""
    house = real_time if name in IN_REAL_TIME else skipping
    handle = house.client.get_workflow_handle(await SCENARIOS[name](house))

    async def closed() -> bool:
        try:
            return (await handle.describe()).status is not WorkflowExecutionStatus.RUNNING
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return False
            raise

    await eventually(closed, within=30)
    return await handle.fetch_history()


def fingerprint(events: list[HistoryEvent]) -> list[str]:
    """The commands in their order: what a replay compares."""
    return [_COMMANDS[event.event_type](event) for event in events if event.event_type in _COMMANDS]
