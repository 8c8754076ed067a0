"""A wait of over a minute is a timer of the message's workflow: what people do to it works there as ever."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import uuid4

import pytest
from temporalio import activity
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowHandle
from temporalio.worker import Worker

from activities import errors
from hermod.contracts.notifications.content import Channel, Email
from hermod.contracts.notifications.delivery import (
    CancelInput,
    DeliveryInput,
    DeliveryReport,
    DeliveryResult,
    SendNotificationInput,
    Story,
    WaitDetails,
)
from hermod.contracts.notifications.messages import MessageView, Outcome, Status
from hermod.contracts.queues import WORKFLOWS, Lane
from starter.temporal.connection import DATA_CONVERTER
from tests.support.polling import eventually
from tests.support.product import ProductFixture
from tests.support.resetting import reset
from worker import WORKFLOW_CLASSES, workflow_runner

WAITS = ["1s", "1h"]
HOUR: Final = timedelta(hours=1)

Handle = WorkflowHandle[Any, Any]


async def story(handle: Handle) -> Story:
    return await handle.query("story", result_type=Story)


async def reaches(handle: Handle, state: str, attempts: int = 0) -> None:
    async def there() -> bool:
        told = await story(handle)
        return told.state == state and len(told.attempts) >= attempts

    await eventually(there)


async def closes(handle: Handle, status: WorkflowExecutionStatus) -> None:
    async def closed() -> bool:
        return (await handle.describe()).status is status

    await eventually(closed)


async def in_a_long_wait(house: ProductFixture) -> tuple[MessageView, Handle]:
    """Of three requests for it, the first two fail. The third is in an hour."""
    await house.add_account("main")
    letter = Email(to=f"flaky+{uuid4().hex}@example.com", subject="Hello", text="Hello")
    receipt = await house.hermod.send(letter, retry=WAITS)
    await house.reached(receipt.id, Status.RETRYING)
    handle = house.client.get_workflow_handle(receipt.workflow_id)
    await reaches(handle, "waiting")
    return await house.hermod.status(receipt.id), handle


async def test_story_tells_what_is_waited_for_and_until_when(house: ProductFixture) -> None:
    view, handle = await in_a_long_wait(house)
    told = await story(handle)
    assert told.waits_for == f"attempt 3 after {told.attempts[-1]}"
    assert [attempt.number for attempt in told.attempts] == [1, 2]
    assert told.until is not None
    assert view.next_attempt_at is not None
    assert abs((told.until - view.next_attempt_at).total_seconds()) < 1
    assert told.next
    await house.hermod.cancel(view.id)


async def test_cancel_ends_message_and_workflow_at_once(house: ProductFixture) -> None:
    view, handle = await in_a_long_wait(house)
    await house.hermod.cancel(view.id)
    await closes(handle, WorkflowExecutionStatus.COMPLETED)
    result = await house.client.get_workflow_handle(view.workflow_id, result_type=DeliveryResult).result()
    assert result.counts == {Status.CANCELLED: 1}
    assert [attempt.number for attempt in result.attempts] == [1, 2]
    assert (await house.hermod.status(view.id)).status is Status.CANCELLED


async def test_cancel_in_temporal_closes_the_ledger_and_the_workflow(house: ProductFixture) -> None:
    view, handle = await in_a_long_wait(house)
    await handle.cancel()
    await house.reached(view.id, Status.CANCELLED)
    await closes(handle, WorkflowExecutionStatus.CANCELED)


@pytest.mark.parametrize("to_last", [False, True])
async def test_reset_makes_the_next_attempt_at_once(house: ProductFixture, to_last: bool) -> None:
    view, handle = await in_a_long_wait(house)
    await reset(house.client, view.workflow_id, to_last=to_last)
    again = await house.reached(view.id, Status.SENT)
    assert [attempt.outcome for attempt in again.attempts] == [Outcome.UNKNOWN, Outcome.UNKNOWN, Outcome.ACCEPTED]
    await closes(handle, WorkflowExecutionStatus.COMPLETED)


async def test_signal_makes_the_next_attempt_at_once(house: ProductFixture) -> None:
    view, handle = await in_a_long_wait(house)
    await handle.signal("retry_now")
    assert len((await house.reached(view.id, Status.SENT)).attempts) == 3
    await closes(handle, WorkflowExecutionStatus.COMPLETED)


@asynccontextmanager
async def played(address: str, dispatches: list[str]) -> AsyncIterator[Callable[[], Awaitable[Handle]]]:
    """Starts a message whose dispatches say that they wait for an hour, but for the fourth. The worker keeps no
    workflow in its memory: it goes through all of a history again for each of its tasks."""
    client = await Client.connect(address, data_converter=DATA_CONVERTER)
    tenant = uuid4().hex

    @activity.defn(name="deliver")
    async def deliver(order: DeliveryInput) -> DeliveryReport:
        run = activity.info().workflow_run_id or ""
        dispatches.append(run)
        if len(dispatches) == 4:
            return DeliveryReport(run=run, counts={"sent": 1})
        waits = WaitDetails(run=run, open=1, next_attempt_at=datetime.now(UTC) + HOUR)
        raise errors.waiting(1, HOUR, None, waits, later=True)

    @activity.defn(name="withdraw")
    async def withdraw(order: CancelInput) -> DeliveryReport:
        return DeliveryReport(run="", counts={"cancelled": 1})

    async def start() -> Handle:
        order = SendNotificationInput(tenant=tenant, message="m", channel=Channel.EMAIL)
        return await client.start_workflow("SendNotification", order, id=f"message/{tenant}/m", task_queue=tenant)

    forgetful = Worker(
        client, task_queue=tenant, workflows=WORKFLOW_CLASSES, workflow_runner=workflow_runner(), max_cached_workflows=0
    )
    async with (
        forgetful,
        Worker(client, task_queue=Lane.EMAIL, activities=[deliver]),
        Worker(client, task_queue=WORKFLOWS, activities=[withdraw]),
    ):
        yield start


async def dispatched(handle: Handle, dispatches: list[str], count: int) -> None:
    async def there() -> bool:
        return len(dispatches) == count

    await eventually(there)
    await reaches(handle, "waiting")


async def test_reset_between_two_waits_goes_on_at_once_there_only(idle_temporal: str) -> None:
    """What its run replays of the older one has waited, and the waits that come after are waits as ever."""
    dispatches: list[str] = []
    async with played(idle_temporal, dispatches) as start:
        handle = await start()
        await dispatched(handle, dispatches, 1)
        await handle.signal("retry_now")
        await dispatched(handle, dispatches, 2)
        client = await Client.connect(idle_temporal, data_converter=DATA_CONVERTER)
        await reset(client, handle.id, to_last=True)
        newest = client.get_workflow_handle(handle.id)
        await dispatched(newest, dispatches, 3)
        assert dispatches[0] == dispatches[1] != dispatches[2]
        await newest.signal("retry_now")
        assert (await newest.result())["counts"] == {"sent": 1}
