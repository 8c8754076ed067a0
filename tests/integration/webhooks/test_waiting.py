"""Deliveries to an endpoint in trouble wait together, in one workflow, and none is lost or made too early."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Row, text
from temporalio.client import WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from hermod.contracts.ids import webhook_endpoint_workflow, webhook_workflow
from hermod.contracts.notifications.delivery import DeliveryResult
from hermod.contracts.webhooks.deliveries import DeliveryStatus
from starter.webhooks.deliveries import retry_delivery
from starter.webhooks.endpoints import change_endpoint, delete_endpoint
from tests.support.hostile import Hostile
from tests.support.polling import eventually
from tests.support.product import ProductFixture
from tests.support.webhooks.product import add_endpoint, delivered, ended

HOUR: Final = {"Retry-After": "3600"}
_ROWS: Final = text("SELECT * FROM webhook_deliveries WHERE tenant_id = :tenant ORDER BY id")
_ATTEMPTS: Final = text("SELECT * FROM webhook_attempts WHERE tenant_id = :tenant ORDER BY started_at")
_ENDPOINT: Final = text("SELECT * FROM webhook_endpoints WHERE tenant_id = :tenant AND id = :endpoint")
_PAUSE_IS_OVER: Final = text("""
    UPDATE webhook_endpoints SET paused_until = now() - interval '5 minutes' WHERE tenant_id = :tenant
""")
_UNTOUCHED: Final = text("""
    UPDATE webhook_deliveries SET updated_at = now() - interval '1 hour', next_attempt_at = now() - interval '1 hour'
     WHERE tenant_id = :tenant
""")


async def rows(house: ProductFixture, statement: Any = _ROWS, **names: str) -> Sequence[Row[Any]]:
    return await house.hermod.core.storage.database.rows(statement, {"tenant": house.hermod.tenant, **names})


async def execute(house: ProductFixture, statement: Any) -> None:
    await house.hermod.core.storage.database.execute(statement, {"tenant": house.hermod.tenant})


async def emitted(house: ProductFixture, count: int) -> list[str]:
    receipts = await asyncio.gather(*(house.hermod.emit("order.paid", {"n": number}) for number in range(count)))
    return [receipt.deliveries[0].id for receipt in receipts]


async def open_workflows(house: ProductFixture) -> list[str]:
    query = f"HermodTenant = '{house.hermod.tenant}' AND ExecutionStatus = 'Running'"
    return [found.id async for found in house.client.list_workflows(query)]


async def all_wait_with_waiter(house: ProductFixture, endpoint: str, count: int) -> str:
    """The id of the waiter."""
    waiter = webhook_endpoint_workflow(house.hermod.tenant, endpoint)

    async def wait() -> bool:
        open_rows = [row for row in await rows(house) if row.finished_at is None]
        assert {row.workflow_id for row in open_rows} == {waiter}, await what_they_wait_for(house, open_rows)
        assert len(open_rows) == count
        return True

    await eventually(wait, within=60)
    await eventually(lambda: was_woken(house, waiter))
    return waiter


async def what_they_wait_for(house: ProductFixture, open_rows: Sequence[Row[Any]]) -> str:
    """For whoever reads of a failure: how the deliveries stand, and what their workflows are at."""
    names = ("workflow_id", "status", "attempt_count", "wait_reason", "next_attempt_at")
    told = [str(Counter(tuple(str(getattr(row, name)) for name in names) for row in open_rows))]
    for owner in {row.workflow_id for row in open_rows}:
        if await was_woken(house, owner):
            found = (await house.client.get_workflow_handle(owner).describe()).raw_description
            told.append(f"{owner}: {found.pending_activities} {found.pending_workflow_task}")
        else:
            told.append(f"{owner}: not known to Temporal")
    return "\n".join(told)


async def was_woken(house: ProductFixture, waiter: str) -> bool:
    try:
        await house.client.get_workflow_handle(waiter).describe()
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return False
        raise
    return True


async def is_closed(house: ProductFixture, workflow_id: str, status: WorkflowExecutionStatus) -> None:
    async def closed() -> bool:
        return (await house.client.get_workflow_handle(workflow_id).describe()).status is status

    await eventually(closed)


async def test_dead_endpoint_has_one_open_workflow_and_all_arrives_once_it_works(
    house: ProductFixture, receiver: Hostile
) -> None:
    receiver.behave("500")
    endpoint = await add_endpoint(house, receiver.url, retry=(1,) * 10)
    ids = await emitted(house, 300)
    waiter = await all_wait_with_waiter(house, endpoint.id, 300)

    async def only_one() -> bool:
        assert await open_workflows(house) == [waiter]
        return True

    await eventually(only_one, within=60)
    assert len(receiver.requests) < 100
    receiver.behave("ok")
    await execute(house, _PAUSE_IS_OVER)
    await house.hermod.core.webhooks.waiters.look_again(house.hermod.tenant, endpoint.id)

    async def arrived() -> bool:
        assert {(row.id, row.status) for row in await rows(house)} == {(one, "delivered") for one in ids}
        return True

    await eventually(arrived, within=60)
    attempts = await rows(house, _ATTEMPTS)
    assert len(attempts) == len(receiver.requests)
    assert sum(attempt.outcome == "success" for attempt in attempts) == 300
    await is_closed(house, waiter, WorkflowExecutionStatus.COMPLETED)


async def test_pause_by_retry_after_is_kept_by_everybody_and_then_all_is_delivered(
    house: ProductFixture, receiver: Hostile
) -> None:
    receiver.behave("503", "ok", headers={"Retry-After": "8"})
    endpoint = await add_endpoint(house, receiver.url, max_concurrency=1, retry=(1,))
    ids = await emitted(house, 1)

    async def pause() -> datetime | None:
        (row,) = await rows(house, _ENDPOINT, endpoint=endpoint.id)
        until: datetime | None = row.paused_until
        return until

    paused_until = await eventually(pause)
    assert paused_until is not None
    ids += await emitted(house, 19)
    for one in ids:
        await delivered(house, one)
    first, *others = await rows(house, _ATTEMPTS)
    assert first.status_code == 503
    assert len(others) == 20
    assert all(attempt.started_at >= paused_until for attempt in others)


async def test_endpoint_is_disabled_and_whatever_waits_is_parked_with_the_answer(
    house: ProductFixture, receiver: Hostile
) -> None:
    endpoint = await add_endpoint(house, receiver.url, retry=(3600,))
    receiver.behave("500")
    by_itself = [one for _ in range(3) for one in await emitted(house, 1)]

    async def wait_by_themselves() -> bool:
        return all(row.status == "retrying" for row in await rows(house))

    await eventually(wait_by_themselves)
    assert {row.workflow_id for row in await rows(house)} & {
        webhook_workflow(house.hermod.tenant, one) for one in by_itself
    }
    receiver.behave("503", headers=HOUR)
    await emitted(house, 1)

    async def is_paused() -> bool:
        return (await rows(house, _ENDPOINT, endpoint=endpoint.id))[0].paused_until is not None

    await eventually(is_paused)
    await emitted(house, 30)

    async def wait_together() -> bool:
        waiter = webhook_endpoint_workflow(house.hermod.tenant, endpoint.id)
        return sum(row.workflow_id == waiter for row in await rows(house)) == 31

    await eventually(wait_together, within=60)
    await eventually(lambda: was_woken(house, webhook_endpoint_workflow(house.hermod.tenant, endpoint.id)))
    view = await change_endpoint(house.hermod, endpoint.id, {"enabled": False})
    assert view.parked == 34
    assert {row.status for row in await rows(house)} == {"parked"}
    await is_closed(
        house, webhook_endpoint_workflow(house.hermod.tenant, endpoint.id), WorkflowExecutionStatus.COMPLETED
    )


async def test_endpoint_is_deleted_and_what_waits_is_cancelled(house: ProductFixture, receiver: Hostile) -> None:
    receiver.behave("503", headers=HOUR)
    endpoint = await add_endpoint(house, receiver.url, max_concurrency=1)
    ids = await emitted(house, 3)
    waiter = await all_wait_with_waiter(house, endpoint.id, 3)
    await delete_endpoint(house.hermod, endpoint.id)
    for one in ids:
        view = await ended(house, one)
        assert (view.status, view.error) == (DeliveryStatus.CANCELLED, "the endpoint was deleted")
    await is_closed(house, waiter, WorkflowExecutionStatus.COMPLETED)


async def test_waiter_is_gone_and_the_sweeper_starts_it_again(house: ProductFixture, receiver: Hostile) -> None:
    receiver.behave("503", "ok", headers=HOUR)
    endpoint = await add_endpoint(house, receiver.url, max_concurrency=1)
    ids = await emitted(house, 3)
    waiter = await all_wait_with_waiter(house, endpoint.id, 3)

    async def runs() -> bool:
        return await open_workflows(house) == [waiter]

    await eventually(runs)
    await house.client.get_workflow_handle(waiter).terminate("by a test")
    await execute(house, _PAUSE_IS_OVER)
    await execute(house, _UNTOUCHED)
    assert (await house.hermod.core.webhooks.waiters.sweep()).restarted >= 1
    for one in ids:
        await delivered(house, one)


async def test_parked_delivery_is_retried_in_a_pause_and_waits_without_going_back_and_forth(
    house: ProductFixture, receiver: Hostile
) -> None:
    endpoint = await add_endpoint(house, receiver.url)
    await change_endpoint(house.hermod, endpoint.id, {"enabled": False})
    (delivery,) = await emitted(house, 1)
    await change_endpoint(house.hermod, endpoint.id, {"enabled": True})
    statement = text("""
        UPDATE webhook_endpoints SET paused_until = now() + interval '1 hour', pause_reason = 'asked'
         WHERE tenant_id = :tenant
    """)
    await execute(house, statement)
    house.hermod.core.storage.webhook_endpoints.forget(house.hermod.tenant, endpoint.id)
    await retry_delivery(house.hermod, delivery)
    waiter = await all_wait_with_waiter(house, endpoint.id, 1)
    own = house.client.get_workflow_handle(webhook_workflow(house.hermod.tenant, delivery), result_type=DeliveryResult)
    result = await own.result()
    assert (result.counts, result.handed_off) == ({}, 1)
    assert not receiver.requests
    await execute(house, _PAUSE_IS_OVER)
    await house.hermod.core.webhooks.waiters.look_again(house.hermod.tenant, endpoint.id)
    assert len((await delivered(house, delivery)).attempts) == 1
    result = await house.client.get_workflow_handle(waiter, result_type=DeliveryResult).result()
    assert result == DeliveryResult(counts={"delivered": 1})


async def test_half_open_endpoint_is_tried_with_one_delivery_while_the_others_wait(
    house: ProductFixture, receiver: Hostile
) -> None:
    receiver.behave("500")
    endpoint = await add_endpoint(house, receiver.url, retry=(1,) * 10)
    await emitted(house, 30)
    await all_wait_with_waiter(house, endpoint.id, 30)
    (before,) = await rows(house, _ENDPOINT, endpoint=endpoint.id)
    requests = len(receiver.requests)
    await execute(house, _PAUSE_IS_OVER)
    await house.hermod.core.webhooks.waiters.look_again(house.hermod.tenant, endpoint.id)

    async def rests_longer() -> bool:
        (row,) = await rows(house, _ENDPOINT, endpoint=endpoint.id)
        return bool(row.pause_count == before.pause_count + 1 and row.paused_until > before.paused_until)

    await eventually(rests_longer)
    assert len(receiver.requests) == requests + 1
    (after,) = await rows(house, _ENDPOINT, endpoint=endpoint.id)
    assert after.paused_until - before.paused_until > timedelta(seconds=20)
