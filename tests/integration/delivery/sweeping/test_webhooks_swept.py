"""Webhook deliveries that share a workflow which does not know them, has ended, or was closed from outside."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import pytest
from sqlalchemy import text
from temporalio.client import WorkflowExecutionStatus

from hermod.contracts.ids import new_id, webhook_batch_workflow, webhook_workflow
from hermod.contracts.queues import WORKFLOWS
from hermod.contracts.webhooks.deliveries import DeliverWebhookInput, DeliveryStatus, DeliveryView
from starter.housekeeping.orphans import DeliveryWorkflows
from starter.housekeeping.sweeping import LedgerSweeper
from starter.webhooks.deliveries import delivery_status
from tests.support.orphans import HOUR, NOBODY
from tests.support.polling import eventually
from tests.support.product import ProductFixture
from tests.support.webhooks.product import add_endpoint, delivered, ended
from tests.support.webhooks.receiver import Receiver, receiving

CLOSED = "its workflow was closed as terminated without finishing it"

_REQUESTED = text("""
    WITH moved AS (
      UPDATE webhook_deliveries SET status = 'sending', attempt_count = attempt_count + 1, next_attempt_at = NULL
       WHERE tenant_id = :tenant AND id = :id RETURNING id, attempt_count
    )
    INSERT INTO webhook_attempts (tenant_id, delivery_id, number, started_at, worker, ends_by)
    SELECT :tenant, id, attempt_count, now(), CAST(:worker AS int), now() + interval '1 day' FROM moved
""")
_AN_HOUR_AGO = "updated_at = now() - interval '1 hour', next_attempt_at = next_attempt_at - interval '1 hour'"


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as running:
        yield running


async def staged(house: ProductFixture, count: int, workflow_id: str | None = None) -> tuple[list[str], str]:
    """Deliveries that share a workflow, which nobody has started; and its id."""
    tenant = house.hermod.tenant
    workflow_id = workflow_id or webhook_batch_workflow(tenant, new_id("bat"))
    deliveries = []
    async with house.hermod.core.storage.database.begin() as connection:
        for number in range(count):
            receipt = await house.hermod.stage_event(connection, "order.paid", {"number": number})
            deliveries += [one.id for one in receipt.deliveries]
    await put(house, f"workflow_id = '{workflow_id}'", deliveries)
    return deliveries, workflow_id


async def put(house: ProductFixture, assignments: str, deliveries: Sequence[str]) -> None:
    statement = text(f"UPDATE webhook_deliveries SET {assignments} WHERE tenant_id = :tenant AND id = ANY(:ids)")
    names = {"tenant": house.hermod.tenant, "ids": list(deliveries)}
    await house.hermod.core.storage.database.execute(statement, names)


async def begin_request(house: ProductFixture, worker: int | None, delivery: str) -> None:
    names = {"tenant": house.hermod.tenant, "id": delivery, "worker": worker}
    await house.hermod.core.storage.database.execute(_REQUESTED, names)


async def swept(house: ProductFixture, *deliveries: str) -> None:
    """Nobody has touched them for an hour."""
    core = house.hermod.core
    await put(house, _AN_HOUR_AGO, deliveries)
    workflows = DeliveryWorkflows(core.webhooks.dispatcher)
    await LedgerSweeper(core.storage.orphaned_deliveries, workflows, core.temporal, core.clock).sweep()


async def tried(house: ProductFixture, delivery: str) -> DeliveryView:
    """Once, without success: it waits."""

    async def waits() -> DeliveryView:
        view = await delivery_status(house.hermod, delivery)
        assert (view.status, view.attempt_count) == (DeliveryStatus.RETRYING, 1), view
        return view

    return await eventually(waits)


async def waiting_batch(house: ProductFixture, receiver: Receiver, count: int) -> tuple[list[str], str]:
    """Deliveries that were tried, and wait in their batch, for as long as one does: with jitter, almost a minute."""
    await add_endpoint(house, receiver.url, retry=(48, 48))
    receiver.decide = lambda payload, attempt: 500
    deliveries, workflow_id = await staged(house, count)
    await swept(house, *deliveries)
    for delivery in deliveries:
        await tried(house, delivery)
    return deliveries, workflow_id


async def test_batch_that_failed_is_begun_again_for_what_it_did_not_know(
    house: ProductFixture, receiver: Receiver
) -> None:
    await add_endpoint(house, receiver.url, retry=(0.1,))
    receiver.decide = lambda payload, attempt: 500 if payload["number"] == 0 else 204
    (bad, good), workflow_id = await staged(house, 2)
    await swept(house, bad, good)
    assert (await ended(house, bad)).status is DeliveryStatus.FAILED

    async def failed() -> bool:
        handle = house.client.get_workflow_handle(workflow_id)
        return (await handle.describe()).status is WorkflowExecutionStatus.FAILED

    await eventually(failed)
    receiver.decide = lambda payload, attempt: 204
    rest, _ = await staged(house, 2, workflow_id)
    await put(house, "status = 'queued'", rest)
    await swept(house, *rest)
    for delivery in (good, *rest):
        await delivered(house, delivery)
    assert (await delivery_status(house.hermod, bad)).status is DeliveryStatus.FAILED


async def test_deliveries_that_their_running_batch_does_not_know_get_a_workflow_of_their_own(
    house: ProductFixture, receiver: Receiver
) -> None:
    known, workflow_id = await waiting_batch(house, receiver, 2)
    pending, _ = await staged(house, 2, workflow_id)
    (queued,), _ = await staged(house, 1, workflow_id)
    await put(house, "status = 'queued'", [queued])
    await swept(house, *pending, queued)
    owners = {(await tried(house, delivery)).workflow_id for delivery in pending}
    assert len(owners) == 1
    assert workflow_id not in owners
    assert (await tried(house, queued)).workflow_id == webhook_workflow(house.hermod.tenant, queued)
    assert {(await delivery_status(house.hermod, one)).workflow_id for one in known} == {workflow_id}


async def test_terminated_batch_has_requests_of_lost_workers_said_to_be_lost_and_those_of_living_ones_left_alone(
    house: ProductFixture, receiver: Receiver
) -> None:
    (resting, lost, living), workflow_id = await waiting_batch(house, receiver, 3)
    await house.client.get_workflow_handle(workflow_id).terminate("by a test")
    await begin_request(house, NOBODY, lost)
    await begin_request(house, house.hermod.core.storage.workers.number, living)
    await swept(house, resting, lost, living)
    for delivery in (resting, lost):
        view = await delivery_status(house.hermod, delivery)
        assert (view.status, view.error) == (DeliveryStatus.FAILED, CLOSED)
    assert (await delivery_status(house.hermod, lost)).attempts[-1].outcome == "worker_lost"
    sending = await delivery_status(house.hermod, living)
    assert (sending.status, sending.attempts[-1].outcome) == (DeliveryStatus.SENDING, None)


async def test_delivery_of_a_terminated_batch_whose_own_workflow_runs_is_handed_to_that(
    house: ProductFixture, receiver: Receiver
) -> None:
    (delivery, other), workflow_id = await waiting_batch(house, receiver, 2)
    tenant, later = house.hermod.tenant, house.hermod.core.clock.now() + HOUR
    own = webhook_workflow(tenant, delivery)
    alone = DeliverWebhookInput(tenant=tenant, delivery=delivery, due_at=later)
    handle = await house.client.start_workflow("DeliverWebhook", alone, id=own, task_queue=WORKFLOWS)
    await house.client.get_workflow_handle(workflow_id).terminate("by a test")
    await swept(house, delivery, other)
    moved = await delivery_status(house.hermod, delivery)
    assert (moved.status, moved.workflow_id) == (DeliveryStatus.RETRYING, own)
    assert (await delivery_status(house.hermod, other)).status is DeliveryStatus.FAILED
    await handle.terminate("by a test")
