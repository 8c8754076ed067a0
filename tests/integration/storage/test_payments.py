"""What is told of a payment goes by numbers that the database counts, whatever the clocks of its writers say."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from devstack.stripe_stand_in import StripePayment
from hermod.domain.stripe_events import read_event
from hermod.storage.engine import Database
from hermod.storage.payments import Payments, TakenPayment, Untold
from hermod.storage.tenants import Tenants
from tests.support.form_rows import add_submission

NOW: Final = datetime.now(UTC)
BEHIND: Final = timedelta(minutes=5)
"""How far another process's clock is behind."""
SHOP: Final = "shop"


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    own = Database(database_url)
    await Tenants(own).create(SHOP, SHOP, NOW)
    yield own
    await own.close()


async def take(database: Database, told: Any, now: datetime = NOW) -> TakenPayment:
    return await Payments(database).take(SHOP, read_event(told), now)


async def untold(database: Database) -> list[Untold]:
    later = NOW + timedelta(hours=1)
    return await Payments(database).untold(later, older_than=timedelta(0), limit=10)


async def test_change_that_comes_while_another_one_is_told_is_still_to_be_told(database: Database) -> None:
    own = await add_submission(database, SHOP, "processing")
    customer = StripePayment(own)
    first = (await take(database, customer.failed())).untold
    assert first == Untold(SHOP, own, 1)
    second = (await take(database, customer.succeeded(), NOW - BEHIND)).untold
    await Payments(database).mark_told(first)
    assert second == Untold(SHOP, own, 2)
    assert await untold(database) == [second]
    await Payments(database).mark_told(second)
    assert await untold(database) == []


async def test_change_that_was_told_already_is_not_marked_as_told_once_more(database: Database) -> None:
    own = await add_submission(database, SHOP, "processing")
    customer = StripePayment(own)
    first = (await take(database, customer.failed())).untold
    assert first is not None
    await Payments(database).mark_told(first)
    await take(database, customer.succeeded(), NOW - BEHIND)
    await Payments(database).mark_told(first)
    assert [one.version for one in await untold(database)] == [2]


async def test_event_that_changes_nothing_is_no_new_version(database: Database) -> None:
    own = await add_submission(database, SHOP, "processing")
    customer = StripePayment(own)
    await take(database, customer.succeeded())
    assert (await take(database, customer.succeeded())).untold is None
    assert [one.version for one in await untold(database)] == [1]
