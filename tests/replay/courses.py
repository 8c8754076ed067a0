"""Courses that a released version ran otherwise than new runs do: what `workflow.patched` keeps apart.

Their activities are played, since some of these courses need a worker that dies at the right moment: the id of a record
says what becomes of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import uuid4

from temporalio import activity
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowHandle, WorkflowHistory, WorkflowUpdateStage
from temporalio.exceptions import ApplicationError
from temporalio.worker import Worker

from hermod.contracts.forms.forms import ProcessSubmissionInput, SubmissionStatus, SubmissionStep
from hermod.contracts.notifications.content import Channel
from hermod.contracts.notifications.delivery import (
    CancelInput,
    DeliveryInput,
    DeliveryReport,
    EndpointGroup,
    SendBatchInput,
)
from hermod.contracts.queues import WORKFLOWS, Lane
from hermod.contracts.webhooks.deliveries import DeliverWebhooksInput, OrderedEndpointInput, WebhookOrder
from hermod.contracts.webhooks.steps import HeadOfLine
from tests.support.polling import eventually
from worker import WORKFLOW_CLASSES, workflow_runner

FAR: Final = tuple(f"far_{number}" for number in range(6))
"""Their next attempt is in an hour."""
WAITING: Final = ("waiting",)
"""Waits until it is cancelled."""
DYING: Final = ("dying",)
"""Waits until it is cancelled, when its worker dies."""
LATE: Final = ("late_0", "late_1", "late_2")
"""Wait until they are cancelled, which comes too late: they have moved, and leave as those do whose attempt is far."""

CHILD: Final = "child_workflow_execution_started_event_attributes"
SCHEDULED: Final = "activity_task_scheduled_event_attributes"

Handle = WorkflowHandle[Any, Any]


class Scene:
    def __init__(self, client: Client) -> None:
        self._client = client
        self.tenant = uuid4().hex
        self.queue = f"workflows-{self.tenant}"

    async def start(self, kind: str, order: Any) -> Handle:
        return await self._client.start_workflow(kind, order, id=f"{kind}/{self.tenant}", task_queue=self.queue)

    async def batch(self, messages: tuple[str, ...]) -> Handle:
        order = SendBatchInput(tenant=self.tenant, batch="b", channel=Channel.EMAIL, messages=messages)
        return await self.start("SendBatch", order)

    async def line(self, delivery: str) -> Handle:
        """An ordered endpoint that has begun its only delivery."""
        line = await self.start("OrderedEndpoint", OrderedEndpointInput(tenant=self.tenant, endpoint=delivery, key="k"))
        await has(line, SCHEDULED, 2)
        return line


async def has(handle: Handle, event: str, count: int) -> None:
    async def found() -> bool:
        return sum(one.HasField(event) for one in (await handle.fetch_history()).events) >= count  # type: ignore[arg-type]

    await eventually(found, every=0.001)


async def closed(handle: Handle) -> WorkflowHistory:
    async def has_closed() -> bool:
        return (await handle.describe()).status is not WorkflowExecutionStatus.RUNNING

    await eventually(has_closed)
    return await handle.fetch_history()


async def cancel(handle: Handle) -> None:
    _ = await handle.start_update("cancel", wait_for_stage=WorkflowUpdateStage.ACCEPTED)


async def send_batch_cancelled_while_it_lets_go(scene: Scene) -> Handle:
    """It does not withdraw: each of them gets its own workflow."""
    batch = await scene.batch(FAR)
    await has(batch, CHILD, 2)
    await cancel(batch)
    return batch


async def send_batch_cancelled_in_temporal_while_it_lets_go(scene: Scene) -> Handle:
    """It ends at once, and withdraws nothing."""
    batch = await scene.batch(FAR)
    await has(batch, CHILD, 2)
    await batch.cancel()
    return batch


async def deliver_webhooks_cancelled_while_it_lets_go(scene: Scene) -> Handle:
    """As a batch of messages does."""
    batch = await scene.start("DeliverWebhooks", DeliverWebhooksInput(tenant=scene.tenant, batch="b", deliveries=FAR))
    await has(batch, CHILD, 2)
    await cancel(batch)
    return batch


async def send_batch_whose_worker_dies_while_it_is_cancelled(scene: Scene) -> Handle:
    """It fails with its activity, and withdraws nothing."""
    batch = await scene.batch(DYING)
    await has(batch, SCHEDULED, 1)
    await batch.cancel()
    return batch


async def send_batch_whose_activity_ends_as_it_is_cancelled(scene: Scene) -> Handle:
    """Each of them gets its own workflow, as if nobody had cancelled the batch."""
    batch = await scene.batch(LATE)
    await has(batch, SCHEDULED, 1)
    await batch.cancel()
    return batch


async def ordered_endpoint_whose_worker_dies_as_it_lets_go(scene: Scene) -> Handle:
    """The line fails with the delivery that it let go."""
    line = await scene.line(*DYING)
    await line.signal("let_go", *DYING)
    return line


async def ordered_endpoint_cancelled_as_it_lets_go(scene: Scene) -> Handle:
    """The line goes on: it takes the cancel for that of its delivery."""
    line = await scene.line(*WAITING)
    await line.signal("let_go", *WAITING)
    await line.cancel()
    return line


async def process_submission_with_a_dead_letter_of_another_run(scene: Scene) -> Handle:
    """Nobody has reset it, and it asks again all the same."""
    return await scene.start("ProcessSubmission", ProcessSubmissionInput(tenant=scene.tenant, submission="sub"))


Course = Callable[[Scene], Awaitable[Handle]]

COURSES: Final[tuple[Course, ...]] = (
    send_batch_cancelled_while_it_lets_go,
    send_batch_cancelled_in_temporal_while_it_lets_go,
    send_batch_whose_worker_dies_while_it_is_cancelled,
    send_batch_whose_activity_ends_as_it_is_cancelled,
    deliver_webhooks_cancelled_while_it_lets_go,
    ordered_endpoint_whose_worker_dies_as_it_lets_go,
    ordered_endpoint_cancelled_as_it_lets_go,
    process_submission_with_a_dead_letter_of_another_run,
)


@asynccontextmanager
async def played(client: Client) -> AsyncIterator[Scene]:
    """A scene whose activities are those below."""
    scene = Scene(client)
    lanes: dict[str, list[Callable[..., Any]]] = {
        WORKFLOWS: [withdraw, withdraw_webhooks, next_in_order],
        Lane.EMAIL: [deliver],
        Lane.WEBHOOKS: [deliver_webhooks],
        Lane.SUBMISSIONS: [process_submission],
    }
    workers = [Worker(client, task_queue=lane, activities=steps) for lane, steps in lanes.items()]
    runner = workflow_runner()
    workers.append(Worker(client, task_queue=scene.queue, workflows=WORKFLOW_CLASSES, workflow_runner=runner))
    async with AsyncExitStack() as running:
        for worker in workers:
            _ = await running.enter_async_context(worker)
        yield scene


@activity.defn(name="deliver")
async def deliver(order: DeliveryInput) -> DeliveryReport:
    return await _deliver(order.messages)


@activity.defn(name="deliver_webhooks")
async def deliver_webhooks(order: WebhookOrder) -> DeliveryReport:
    report = await _deliver(order.deliveries)
    group = EndpointGroup(endpoint="e", due_at=datetime.now(UTC) + timedelta(hours=1), deliveries=order.deliveries[4:])
    return report.model_copy(update={"leaving": dict(list(report.leaving.items())[:4]), "apart": (group,)})


async def _deliver(records: Sequence[str]) -> DeliveryReport:
    far = datetime.now(UTC) + timedelta(hours=1)
    leave = DeliveryReport(run="", counts={}, leaving=dict.fromkeys(records, far))
    if records == FAR:
        return leave
    try:
        while True:
            activity.heartbeat()
            await asyncio.sleep(0.1)
    except asyncio.CancelledError:
        if records == LATE:
            return leave
        if records == DYING:
            raise ApplicationError("the worker died", non_retryable=True) from None
        raise


@activity.defn(name="withdraw")
async def withdraw(order: CancelInput) -> DeliveryReport:
    return DeliveryReport(run="", counts={"cancelled": len(order.messages)})


@activity.defn(name="withdraw_webhooks")
async def withdraw_webhooks(order: CancelInput) -> DeliveryReport:
    return await withdraw(order)


@activity.defn(name="next_in_order")
async def next_in_order(line: OrderedEndpointInput) -> HeadOfLine:
    """The delivery that has the name of the endpoint, and then nothing more."""
    is_first = activity.info().activity_id == "1"
    return HeadOfLine(delivery=line.endpoint if is_first else None)


@activity.defn(name="process_submission")
async def process_submission(order: ProcessSubmissionInput) -> SubmissionStep:
    if activity.info().activity_id == "3":
        return SubmissionStep(status=SubmissionStatus.COMPLETED)
    return SubmissionStep(status=SubmissionStatus.FAILED, run="another", reason="refused")
