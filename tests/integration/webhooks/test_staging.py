"""Events that nobody started: staged in a caller's own transaction, or left alone by a process that is gone."""

from __future__ import annotations

from sqlalchemy import text

from hermod.contracts.webhooks.deliveries import DeliveryStatus
from starter.housekeeping.orphans import DeliveryWorkflows
from starter.housekeeping.sweeping import LedgerSweeper
from starter.webhooks.deliveries import delivery_status
from tests.support.hostile import Hostile
from tests.support.polling import eventually
from tests.support.product import ProductFixture
from tests.support.webhooks.product import add_endpoint, delivered, ended


async def swept(house: ProductFixture) -> None:
    core = house.hermod.core
    workflows = DeliveryWorkflows(core.webhooks.dispatcher)
    await LedgerSweeper(core.storage.orphaned_deliveries, workflows, core.temporal, core.clock).sweep()


async def as_if_an_hour_ago(house: ProductFixture, delivery: str) -> None:
    await house.hermod.core.storage.database.execute(
        text("""
            UPDATE webhook_deliveries SET updated_at = now() - interval '1 hour',
                   next_attempt_at = next_attempt_at - interval '1 hour' WHERE id = :delivery
        """),
        {"delivery": delivery},
    )


async def test_staged_event_is_delivered_if_and_only_if_its_transaction_commits(
    house: ProductFixture, receiver: Hostile
) -> None:
    await add_endpoint(house, receiver.url)
    database = house.hermod.core.storage.database
    async with database.begin() as connection:
        kept = await house.hermod.stage_event(connection, "order.paid", {"kept": True})
    async with database.begin() as connection:
        await house.hermod.stage_event(connection, "order.paid", {"kept": False})
        await connection.rollback()
    delivery = kept.deliveries[0].id
    await as_if_an_hour_ago(house, delivery)
    await swept(house)
    await delivered(house, delivery)
    assert len(receiver.requests) == 1


async def test_delivery_whose_workflow_was_terminated_is_a_dead_letter_that_says_so(
    house: ProductFixture, receiver: Hostile
) -> None:
    await add_endpoint(house, receiver.url, retry=(3600,))
    receiver.behave("500")
    delivery = (await house.hermod.emit("order.paid", {})).deliveries[0].id

    async def waits() -> str | None:
        view = await delivery_status(house.hermod, delivery)
        return view.workflow_id if view.next_attempt_at is not None else None

    workflow = await eventually(waits)
    assert workflow is not None
    await house.client.get_workflow_handle(workflow).terminate("by a test")
    for _ in range(2):
        await as_if_an_hour_ago(house, delivery)
    await swept(house)
    view = await ended(house, delivery)
    assert view.status is DeliveryStatus.FAILED
    assert view.error == "its workflow was closed as terminated without finishing it"


async def test_delivery_whose_endpoint_was_deleted_meanwhile_is_cancelled(
    house: ProductFixture, receiver: Hostile
) -> None:
    endpoint = await add_endpoint(house, receiver.url, retry=(1.5,))
    receiver.behave("500")
    delivery = (await house.hermod.emit("order.paid", {})).deliveries[0].id

    async def tried() -> bool:
        return (await delivery_status(house.hermod, delivery)).next_attempt_at is not None

    await eventually(tried)
    core = house.hermod.core
    await core.storage.webhook_endpoints.delete(house.hermod.tenant, endpoint.id, actor="test", now=core.clock.now())
    view = await ended(house, delivery)
    assert (view.status, view.error) == (DeliveryStatus.CANCELLED, "the endpoint was deleted")
    assert len(receiver.requests) == 1
