"""What is told of a payment goes by numbers that the database counts, whatever the clocks of its writers say."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from devstack.demo.stripe_stand_in import StripePayment
from hermod.domain.payments.stripe_events import read_event
from hermod.storage.database.engine import Database
from hermod.storage.forms.payments import Payments, TakenPayment, Unannounced
from hermod.storage.tenants.tenants import Tenants
from tests.support.forms.rows import add_submission

NOW: Final = datetime.now(UTC)
BEHIND: Final = timedelta(minutes=5)
"""How far another process's clock is behind."""
AGAIN: Final = NOW + timedelta(minutes=10)
SHOP: Final = "shop"


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    own = Database(database_url)
    await Tenants(own).create(SHOP, SHOP, NOW)
    yield own
    await own.close()


async def take(database: Database, told: Any, now: datetime = NOW) -> TakenPayment:
    return await Payments(database).take(SHOP, read_event(told), now)


async def untold(database: Database, at: datetime = NOW) -> list[Unannounced]:
    return await Payments(database).untold(at + timedelta(seconds=1), older_than=timedelta(0), limit=10)


async def test_change_that_comes_while_a_workflow_is_woken_for_another_wakes_it_again(database: Database) -> None:
    own = await add_submission(database, SHOP, "processing")
    customer = StripePayment(own)
    first = (await take(database, customer.failed())).untold
    assert first == Unannounced(SHOP, own, 1)
    second = (await take(database, customer.succeeded(), NOW - BEHIND)).untold
    await Payments(database).mark_woken(first, AGAIN)
    assert second == Unannounced(SHOP, own, 2)
    assert await untold(database) == [second]
    await Payments(database).mark_woken(second, AGAIN)
    assert await untold(database) == []
    assert await untold(database, AGAIN) == [second], "it was woken, and has told nothing"


async def test_workflow_was_woken_for_an_older_change_is_woken_for_the_new_one(database: Database) -> None:
    own = await add_submission(database, SHOP, "processing")
    customer = StripePayment(own)
    first = (await take(database, customer.failed())).untold
    assert first is not None
    await Payments(database).mark_woken(first, AGAIN)
    await take(database, customer.succeeded(), NOW - BEHIND)
    await Payments(database).mark_woken(first, AGAIN)
    assert [one.version for one in await untold(database)] == [2]


async def test_event_that_changes_nothing_is_no_new_version(database: Database) -> None:
    own = await add_submission(database, SHOP, "processing")
    customer = StripePayment(own)
    await take(database, customer.succeeded())
    assert (await take(database, customer.succeeded())).untold is None
    assert [one.version for one in await untold(database)] == [1]
