"""What the client accepts, refuses and repeats, and messages inside the caller's own transaction."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from hermod.contracts.errors import IdempotencyMismatch, InvalidInput, NotFound
from hermod.contracts.notifications.content import Email
from hermod.contracts.notifications.messages import Status
from hermod.storage.database.engine import Database, async_url
from starter.concurrency.outbox import STATEMENTS_AT_ONCE
from tests.support.product import ProductFixture

LETTER = Email(to="ada@example.com", subject="Hello", text="Hello")


async def test_repeat_after_the_deadline_has_the_answer_of_the_first_time(house: ProductFixture) -> None:
    await house.add_account("main")
    soon = datetime.now(UTC) + timedelta(seconds=1)
    first = await house.hermod.send(LETTER, not_after=soon, idempotency_key="k")
    await asyncio.sleep(max((soon - datetime.now(UTC)).total_seconds(), 0) + 0.05)
    again = await house.hermod.send(LETTER, not_after=soon, idempotency_key="k")
    assert again.id == first.id
    with pytest.raises(InvalidInput, match="not_after"):
        await house.hermod.send(LETTER, not_after=soon)


async def test_key_with_another_body_is_refused(house: ProductFixture) -> None:
    await house.add_account("main")
    await house.hermod.send(LETTER, idempotency_key="k")
    with pytest.raises(IdempotencyMismatch):
        await house.hermod.send(LETTER, idempotency_key="k", priority=9)


async def test_wrong_option_is_named(house: ProductFixture) -> None:
    with pytest.raises(InvalidInput, match="priority"):
        await house.hermod.send(LETTER, priority=11)


async def test_staged_message_exists_with_the_callers_commit_and_is_sent(house: ProductFixture) -> None:
    await house.add_account("main")
    url = house.hermod.core.settings.database_url.get_secret_value()
    engine = create_async_engine(async_url(url))
    async with AsyncSession(engine) as session, session.begin():
        await session.execute(text("CREATE TABLE IF NOT EXISTS orders (id int)"))
        await session.execute(text("INSERT INTO orders VALUES (1)"))
        receipt = await house.hermod.stage(session, LETTER)
        with pytest.raises(NotFound):
            await house.hermod.status(receipt.id)
    await engine.dispose()
    assert (await house.hermod.status(receipt.id)).status is Status.PENDING
    # The schedule sweeps every fifteen seconds what is five seconds old.
    assert (await house.ended(receipt.id, within=40)).status is Status.SENT


async def test_staged_message_is_gone_with_the_callers_rollback(house: ProductFixture) -> None:
    await house.add_account("main")
    engine = create_async_engine(async_url(house.hermod.core.settings.database_url.get_secret_value()))
    async with AsyncSession(engine) as session:
        receipt = await house.hermod.stage(session, LETTER)
        await session.rollback()
    await engine.dispose()
    with pytest.raises(NotFound):
        await house.hermod.status(receipt.id)


async def test_connection_that_the_server_closed_is_replaced_without_an_error(database_url: str) -> None:
    database = Database(database_url, pool_size=1)
    (row,) = await database.rows(text("SELECT pg_backend_pid() AS pid"), {})
    other = Database(database_url)
    await other.rows(text("SELECT pg_terminate_backend(:pid)"), {"pid": row.pid})
    await asyncio.sleep(0.2)
    (again,) = await database.rows(text("SELECT pg_backend_pid() AS pid"), {})
    assert again.pid != row.pid
    await other.close()
    await database.close()


async def test_calls_that_wait_for_another_transaction_do_not_hold_up_the_tenants_others(house: ProductFixture) -> None:
    """More of them than a tenant has statements under way at once: each repeats a key that is not committed yet."""
    await house.add_account("main")
    hermod, keys = house.hermod, [f"order-{number}" for number in range(STATEMENTS_AT_ONCE + 2)]
    engine = create_async_engine(async_url(hermod.core.settings.database_url.get_secret_value()))
    async with AsyncSession(engine) as session:
        for key in keys:
            await hermod.stage(session, LETTER, idempotency_key=key)
        repeats = []
        for key in keys:
            repeats.append(asyncio.create_task(hermod.send(LETTER, idempotency_key=key)))
            await asyncio.sleep(0.05)
        alone = await hermod.send(LETTER)
        assert not any(repeat.done() for repeat in repeats)
        await session.commit()
    await engine.dispose()
    assert len({receipt.id for receipt in await asyncio.gather(*repeats)} | {alone.id}) == len(keys) + 1
