"""Temporal is told how urgent a message is, whose it is, and how much its tenant counts."""

from __future__ import annotations

from hermod.contracts.content import Email
from tests.support.product import House

LETTER = Email(to="ada@example.com", subject="Hello", text="Hello")


async def test_workflow_carries_priority_tenant_and_its_weight(house: House) -> None:
    await house.add_account("main")
    core, tenant = house.hermod.core, house.hermod.tenant
    await core.storage.limits.weigh(tenant, 2.5, actor="test", now=core.clock.now())
    receipt = await house.hermod.send(LETTER, priority=9)
    await house.ended(receipt.id)
    history = await house.client.get_workflow_handle(receipt.workflow_id).fetch_history()
    started = history.events[0].workflow_execution_started_event_attributes.priority
    assert (started.priority_key, started.fairness_key, started.fairness_weight) == (2, tenant, 2.5)
