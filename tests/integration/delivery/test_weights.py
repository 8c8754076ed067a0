"""Temporal is told how urgent a message is, whose it is, and how much its tenant counts."""

from __future__ import annotations

from temporalio.client import ScheduleActionStartWorkflow, ScheduleUpdate, ScheduleUpdateInput
from temporalio.common import Priority

from hermod.contracts import ids
from hermod.contracts.notifications.content import Email
from hermod.contracts.notifications.messages import Status
from hermod.contracts.notifications.outcomes import Accepted, Transient
from hermod.contracts.notifications.retries import Preset
from starter.temporal import schedules
from tests.support.product import ProductFixture

LETTER = Email(to="ada@example.com", subject="Hello", text="Hello")


async def test_workflow_carries_priority_tenant_and_its_weight(house: ProductFixture) -> None:
    await house.add_account("main")
    core, tenant = house.hermod.core, house.hermod.tenant
    await core.storage.limits.weigh(tenant, 2.5, actor="test", now=core.clock.now())
    receipt = await house.hermod.send(LETTER, priority=9)
    await house.ended(receipt.id)
    history = await house.client.get_workflow_handle(receipt.workflow_id).fetch_history()
    started = history.events[0].workflow_execution_started_event_attributes.priority
    assert (started.priority_key, started.fairness_key, started.fairness_weight) == (2, tenant, 2.5)


async def test_message_that_leaves_its_batch_keeps_priority_tenant_and_weight(skipping: ProductFixture) -> None:
    await skipping.add_account("main")
    skipping.script("main", Accepted(), Transient(), Transient(), Accepted())
    receipt = await skipping.hermod.send_many([LETTER] * 2, retry=Preset.WEBHOOK, priority=8)
    views = [await skipping.ended(one.id) for one in receipt.receipts]
    assert [view.status for view in views] == [Status.SENT] * 2
    left = next(view for view in views if len(view.attempts) == 3)
    history = await skipping.client.get_workflow_handle(left.workflow_id).fetch_history()
    started = history.events[0].workflow_execution_started_event_attributes
    assert started.parent_workflow_execution.workflow_id != left.workflow_id
    given = started.priority
    assert (given.priority_key, given.fairness_key, given.fairness_weight) == (3, skipping.hermod.tenant, 1.0)


async def test_schedule_of_an_older_release_gets_the_priority_when_it_is_applied(house: ProductFixture) -> None:
    sweep = schedules.SCHEDULES[0]
    handle = house.client.get_schedule_handle(ids.schedule(sweep.name))

    def without_priority(current: ScheduleUpdateInput) -> ScheduleUpdate:
        action = current.description.schedule.action
        assert isinstance(action, ScheduleActionStartWorkflow)
        action.priority = Priority()
        return ScheduleUpdate(schedule=current.description.schedule)

    async def key() -> int | None:
        action = (await handle.describe()).schedule.action
        assert isinstance(action, ScheduleActionStartWorkflow)
        return action.priority.priority_key

    await handle.update(without_priority)
    assert await key() is None
    await schedules.apply(house.client)
    assert await key() == 1
