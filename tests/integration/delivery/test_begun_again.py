"""A dead letter that is begun again, and its start repeated in mid-request: one request, and nothing is lost."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from temporalio.client import WorkflowExecutionStatus
from temporalio.common import WorkflowIDConflictPolicy

from hermod.contracts.ids import message_workflow, webhook_workflow
from hermod.contracts.notifications.content import Channel
from hermod.contracts.notifications.dead_letters import ManyMessages
from hermod.contracts.notifications.messages import Outcome, Status
from hermod.contracts.webhooks.deliveries import DeliveryStatus
from starter.dead_letters import move_dead_letters
from starter.notifications.parsing import checked
from starter.temporal.starts import USE_RUNNING, WorkflowBatch
from starter.webhooks.deliveries import delivery_status, retry_delivery
from tests.support.orphans import letter
from tests.support.polling import eventually
from tests.support.product import ProductFixture
from tests.support.webhooks.product import add_endpoint, delivered, ended
from tests.support.webhooks.receiver import Receiver, receiving


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as running:
        yield running


async def fault(house: ProductFixture, to: str, name: str, **more: Any) -> None:
    assert house.sandbox is not None
    async with httpx.AsyncClient(base_url=house.sandbox.url) as sandbox:
        order = {"fault": name, "times": 1, "to": to, **more}
        (await sandbox.put("/_sandbox/faults/sandbox", json=order)).raise_for_status()


async def received(house: ProductFixture, message: str) -> int:
    assert house.sandbox is not None
    async with httpx.AsyncClient(base_url=house.sandbox.url) as sandbox:
        answer = await sandbox.get("/_sandbox/inbox/ids", params={"provider": "sandbox"})
    return int(answer.raise_for_status().json()["ids"].get(message, 0))


async def in_mid_request(house: ProductFixture) -> WorkflowBatch:
    """A message that was refused and is begun again, while the provider takes its time to answer: as long as it may."""
    await house.add_account("main")
    to = f"slow@{house.hermod.tenant}.example.com"
    await fault(house, to, "rejected_message")
    message = (await house.hermod.send(letter(to))).id
    await house.reached(message, Status.FAILED)
    await fault(house, to, "slow", delay=14)
    await house.hermod.retry(message)
    await house.reached(message, Status.SENDING)
    return WorkflowBatch(
        workflow_id=message_workflow(house.hermod.tenant, message),
        tenant=house.hermod.tenant,
        channel=Channel.EMAIL,
        messages=(message,),
        priority=5,
        due_at=None,
        request_id=None,
    )


async def run_of(house: ProductFixture, workflow_id: str) -> str:
    return (await house.client.get_workflow_handle(workflow_id).describe()).run_id


async def sent_once(house: ProductFixture, unit: WorkflowBatch) -> None:
    """By the request that was under way; and its workflow ends well."""
    (message,) = unit.messages
    view = await house.reached(message, Status.SENT)
    assert [one.outcome for one in view.attempts] == [Outcome.MESSAGE_REJECTED, Outcome.ACCEPTED]
    assert await received(house, message) == 1

    async def completed() -> bool:
        status = (await house.client.get_workflow_handle(unit.workflow_id).describe()).status
        return status is WorkflowExecutionStatus.COMPLETED

    await eventually(completed)


async def test_message_begun_again_twice_keeps_the_run_that_has_its_request(house: ProductFixture) -> None:
    unit = await in_mid_request(house)
    run = await run_of(house, unit.workflow_id)
    assert await house.hermod.core.dispatcher.begin_again(unit)
    assert await run_of(house, unit.workflow_id) == run
    await sent_once(house, unit)


@pytest.mark.parametrize("conflict", [USE_RUNNING, WorkflowIDConflictPolicy.TERMINATE_EXISTING], ids=["used", "ended"])
async def test_message_whose_start_is_repeated_in_mid_request_is_sent_once(
    house: ProductFixture, conflict: WorkflowIDConflictPolicy
) -> None:
    """Also where the run that makes the request is ended: the next one waits for it."""
    unit = await in_mid_request(house)
    run = await run_of(house, unit.workflow_id)
    assert await house.hermod.core.dispatcher.start(unit, conflict=conflict)
    assert (await run_of(house, unit.workflow_id) == run) is (conflict is USE_RUNNING)
    await sent_once(house, unit)


async def test_delivery_begun_again_twice_keeps_the_run_that_has_its_request(
    house: ProductFixture, receiver: Receiver
) -> None:
    endpoint = await add_endpoint(house, receiver.url, retry=(0.1,))
    receiver.decide = lambda payload, attempt: 500 if attempt < 3 else 204
    delivery = (await house.hermod.emit("order.paid", {})).deliveries[0].id
    assert (await ended(house, delivery)).status is DeliveryStatus.FAILED
    receiver.hold()
    await retry_delivery(house.hermod, delivery)

    async def sending() -> bool:
        return (await delivery_status(house.hermod, delivery)).status is DeliveryStatus.SENDING

    await eventually(sending)
    workflow_id = webhook_workflow(house.hermod.tenant, delivery)
    run = await run_of(house, workflow_id)
    assert await house.hermod.core.webhooks.dispatcher.begin_again(house.hermod.tenant, endpoint.id, delivery)
    assert await run_of(house, workflow_id) == run
    receiver.go_on()
    view = await delivered(house, delivery)
    assert [one.status_code for one in view.attempts] == [500, 500, 204]
    assert len(receiver.calls) == 3


async def test_many_that_are_begun_again_by_a_filter_are_sent_and_the_others_stay(house: ProductFixture) -> None:
    await house.add_account("main")
    to = [f"many{number}@{house.hermod.tenant}.example.com" for number in range(3)]
    for address in to:
        await fault(house, address, "rejected_message")
    messages = [(await house.hermod.send(letter(address))).id for address in to]
    codes = {(await house.reached(message, Status.FAILED)).error_code for message in messages}
    assert len(codes) == 1
    asked = checked(ManyMessages, {"filter": {"error_code": codes.pop(), "ids": messages[:2]}})
    answer = await move_dead_letters(house.hermod, "retry", asked)
    assert (set(answer.ids), answer.remaining) == (set(messages[:2]), 0)
    for message in messages[:2]:
        assert len((await house.reached(message, Status.SENT)).attempts) == 2
    assert (await house.hermod.status(messages[2])).status is Status.FAILED
