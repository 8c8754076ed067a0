"""Deliveries over days, with time skipped: schedules, Retry-After, dead letters, and what people do to them."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError
from temporalio.exceptions import ApplicationError

from hermod.contracts.errors import Conflict
from hermod.contracts.ids import webhook_workflow
from hermod.contracts.webhooks.deliveries import DeliveryStatus, DeliveryView
from starter.webhooks.deliveries import cancel_delivery, deliveries, delivery_status, discard_delivery, retry_delivery
from starter.webhooks.endpoints import show_endpoint
from tests.support.hostile import Hostile
from tests.support.polling import eventually
from tests.support.product import ProductFixture
from tests.support.resetting import reset
from tests.support.webhooks.product import add_endpoint, delivered, ended

SCHEDULE = (30, 120, 600, 3600, 6 * 3600, 24 * 3600)


@pytest.fixture
async def hostile() -> AsyncIterator[Hostile]:
    async with Hostile() as receiver:
        yield receiver


async def emitted(house: ProductFixture) -> str:
    return (await house.hermod.emit("order.paid", {"id": 7})).deliveries[0].id


def gaps(view: DeliveryView) -> list[float]:
    starts = [attempt.started_at for attempt in view.attempts]
    return [(later - earlier).total_seconds() for earlier, later in itertools.pairwise(starts)]


async def closed_as(house: ProductFixture, workflow_id: str, status: WorkflowExecutionStatus) -> None:
    async def there() -> bool:
        return (await house.client.get_workflow_handle(workflow_id).describe()).status is status

    await eventually(there)


async def test_whole_schedule_is_run_through_and_ends_as_a_dead_letter(
    skipping: ProductFixture, hostile: Hostile
) -> None:
    await add_endpoint(skipping, hostile.url)
    hostile.behave("500")
    view = await ended(skipping, await emitted(skipping))
    assert view.status is DeliveryStatus.FAILED
    assert [attempt.status_code for attempt in view.attempts] == [500] * 7
    for gap, wait in zip(gaps(view), SCHEDULE, strict=True):
        assert wait <= gap <= wait * 1.2 + 5
    with pytest.raises(WorkflowFailureError) as failed:
        await skipping.client.get_workflow_handle(view.workflow_id).result()
    cause = failed.value.cause
    assert isinstance(cause, ApplicationError)
    assert (cause.type, cause.message) == ("DeadLetter", "1 of 1 given up: 7 × http_error 500")
    assert [one.id for one in (await deliveries(skipping.hermod, status=DeliveryStatus.FAILED)).items] == [view.id]


async def test_success_on_the_last_attempt_is_success_and_leaves_the_endpoint_alone(
    skipping: ProductFixture, hostile: Hostile
) -> None:
    endpoint = await add_endpoint(skipping, hostile.url)
    hostile.behave(*["500"] * 6, "ok")
    view = await delivered(skipping, await emitted(skipping))
    assert [attempt.outcome for attempt in view.attempts] == ["http_error"] * 6 + ["success"]
    assert (await show_endpoint(skipping.hermod, endpoint.id)).enabled
    await closed_as(skipping, view.workflow_id, WorkflowExecutionStatus.COMPLETED)


async def test_retry_after_replaces_the_wait_of_the_schedule(skipping: ProductFixture, hostile: Hostile) -> None:
    await add_endpoint(skipping, hostile.url)
    hostile.behave("503", "ok", headers={"Retry-After": "3600"})
    view = await delivered(skipping, await emitted(skipping))
    assert gaps(view)[0] >= 3600
    assert len(view.attempts) == 2


async def test_delivery_that_finds_its_endpoint_paused_makes_no_request(
    house: ProductFixture, hostile: Hostile
) -> None:
    await add_endpoint(house, hostile.url)
    hostile.behave("429", "ok", headers={"Retry-After": "3600"})
    first = await emitted(house)

    async def waits() -> DeliveryView | None:
        view = await delivery_status(house.hermod, first)
        return view if view.next_attempt_at is not None else None

    refused = await eventually(waits)
    assert refused is not None
    second = await emitted(house)

    async def waits_too() -> DeliveryView | None:
        view = await delivery_status(house.hermod, second)
        return view if view.next_attempt_at is not None else None

    held = await eventually(waits_too)
    assert held is not None
    assert held.next_attempt_at is not None
    assert held.next_attempt_at - held.created_at > timedelta(seconds=3500)
    assert (held.attempt_count, len(hostile.requests)) == (0, 1)
    for one in (first, second):
        assert (await cancel_delivery(house.hermod, one)).status is DeliveryStatus.CANCELLED
    waiter = (await delivery_status(house.hermod, second)).workflow_id
    for workflow_id in (webhook_workflow(house.hermod.tenant, first), waiter):
        await closed_as(house, workflow_id, WorkflowExecutionStatus.COMPLETED)


async def test_batch_lets_the_one_go_that_has_to_wait_too_long(skipping: ProductFixture, hostile: Hostile) -> None:
    await add_endpoint(skipping, hostile.url, max_concurrency=1)
    hostile.behave("ok", "500", "ok", "500", "ok")
    receipts = await asyncio.gather(*(skipping.hermod.emit("order.paid", {"n": number}) for number in range(3)))
    views = [await delivered(skipping, one.deliveries[0].id) for one in receipts]
    left = next(view for view in views if len(view.attempts) == 3)
    assert left.workflow_id == f"webhook/{skipping.hermod.tenant}/{left.id}"
    others = {view.workflow_id for view in views if view is not left}
    assert len(others) == 1
    assert others.pop().startswith("webhook-batch/")


async def test_410_is_a_dead_letter_and_disables_the_endpoint_so_that_the_next_event_is_parked(
    skipping: ProductFixture, hostile: Hostile
) -> None:
    endpoint = await add_endpoint(skipping, hostile.url)
    hostile.behave("410")
    view = await ended(skipping, await emitted(skipping))
    assert (view.status, len(view.attempts)) == (DeliveryStatus.FAILED, 1)

    async def disabled() -> bool:
        return not (await show_endpoint(skipping.hermod, endpoint.id)).enabled

    await eventually(disabled)
    assert (await delivery_status(skipping.hermod, await emitted(skipping))).status is DeliveryStatus.PARKED


async def test_dead_letter_is_retried_with_its_whole_schedule_and_one_log(
    skipping: ProductFixture, hostile: Hostile
) -> None:
    await add_endpoint(skipping, hostile.url, retry=(1,))
    hostile.behave("500", "500", "500", "ok")
    dead = await ended(skipping, await emitted(skipping))
    assert (await retry_delivery(skipping.hermod, dead.id)).status is DeliveryStatus.QUEUED
    view = await delivered(skipping, dead.id)
    assert [attempt.number for attempt in view.attempts] == [1, 2, 3, 4]
    assert [request.headers["webhook-attempt"] for request in hostile.requests] == ["1", "2", "3", "4"]
    with pytest.raises(Conflict):
        await retry_delivery(skipping.hermod, dead.id)


@pytest.mark.parametrize("to_last", [False, True])
async def test_reset_in_temporal_sends_a_dead_letter_again(
    skipping: ProductFixture, hostile: Hostile, to_last: bool
) -> None:
    await add_endpoint(skipping, hostile.url, retry=(1,))
    hostile.behave("500", "500", "ok")
    dead = await ended(skipping, await emitted(skipping))
    await closed_as(skipping, dead.workflow_id, WorkflowExecutionStatus.FAILED)
    await reset(skipping.client, dead.workflow_id, to_last=to_last)
    await eventually(lambda: _has_arrived(skipping, dead.id))
    await closed_as(skipping, dead.workflow_id, WorkflowExecutionStatus.COMPLETED)


async def _has_arrived(house: ProductFixture, delivery: str) -> bool:
    return (await delivery_status(house.hermod, delivery)).status is DeliveryStatus.DELIVERED


async def test_discarded_dead_letter_leaves_the_list_and_keeps_its_record(
    skipping: ProductFixture, hostile: Hostile
) -> None:
    await add_endpoint(skipping, hostile.url, retry=(1,))
    hostile.behave("500")
    dead = await ended(skipping, await emitted(skipping))
    await discard_delivery(skipping.hermod, dead.id)
    assert not (await deliveries(skipping.hermod, status=DeliveryStatus.FAILED)).items
    assert (await delivery_status(skipping.hermod, dead.id)).status is DeliveryStatus.FAILED


async def test_batch_to_several_endpoints_delivers_once_round_and_each_endpoint_goes_on_alone(
    skipping: ProductFixture, hostile: Hostile
) -> None:
    hostile.behave("500")
    async with Hostile() as well:
        for number in range(5):
            await add_endpoint(skipping, well.url, event_types=(f"well.{number}",))
        await add_endpoint(skipping, hostile.url, event_types=("ill.0", "ill.1", "ill.2"), retry=(3, 3))
        await add_endpoint(skipping, hostile.url, event_types=("ill.3",), retry=(3,))
        kinds = [*(f"well.{number}" for number in range(5)), *(f"ill.{number}" for number in range(4))]
        receipts = await asyncio.gather(*(skipping.hermod.emit(kind, {}) for kind in kinds))
        ids = [receipt.deliveries[0].id for receipt in receipts]
        for one in ids[:5]:
            assert len((await delivered(skipping, one)).attempts) == 1
        dead = [await ended(skipping, one) for one in ids[5:]]
    assert [(view.status.value, len(view.attempts)) for view in dead] == [("failed", 3)] * 3 + [("failed", 2)]
    assert all(gap >= 3 for view in dead for gap in gaps(view))
    first = (await delivery_status(skipping.hermod, ids[0])).workflow_id
    assert first.startswith("webhook-batch/")
    await closed_as(skipping, first, WorkflowExecutionStatus.COMPLETED)
    assert {view.workflow_id for view in dead[:3]} == {f"{first}.{dead[0].endpoint_id}"}
    assert dead[3].workflow_id == f"webhook/{skipping.hermod.tenant}/{dead[3].id}"
