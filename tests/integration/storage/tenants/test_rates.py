"""The limiter on real PostgreSQL: exact whoever asks at once, fair among those who wait, open to what is urgent.

Time is a number here: callers are handed the clock, so that minutes of traffic take a moment.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from hermod.domain.rates import borrow_ahead, burst
from hermod.ports.notifications.limiter import Reservation, ReserveRequest
from hermod.storage.database.engine import Database
from hermod.storage.tenants.limits import TenantLimits
from hermod.storage.tenants.rates import Rates
from tests.support.processes import python

START = datetime(2100, 1, 1, tzinfo=UTC)
"""Ahead of the database's own clock, which would be taken otherwise."""

RESERVING = """
import asyncio, json, sys
from datetime import datetime, timedelta
from hermod.ports.notifications.limiter import ReserveRequest
from hermod.storage.database.engine import Database
from hermod.storage.tenants.limits import TenantLimits
from hermod.storage.tenants.rates import Rates

async def main(url, start):
    database = Database(url)
    rates = Rates(database, TenantLimits(database))
    taken = []

    async def caller():
        for step in range(40):
            ask = ReserveRequest(bucket="b", rate=20.0, tenant="t", weight=1.0, most=3, wanted=100)
            got = await rates.reserve(ask, datetime.fromisoformat(start) + timedelta(seconds=step / 10))
            taken.append([step / 10, got.tokens])

    await asyncio.gather(*(caller() for _ in range(4)))
    print(json.dumps(taken))
    await database.close()

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture
async def rates(database_url: str) -> AsyncIterator[Rates]:
    database = Database(database_url)
    yield Rates(database, TenantLimits(database))
    await database.close()


async def reserve(
    rates: Rates,
    at: float,
    *,
    rate: float,
    tenant: str = "a",
    weight: float = 1.0,
    most: int = 1,
    wanted: int | None = None,
    priority: int = 5,
) -> Reservation:
    ask = ReserveRequest(
        bucket="account/x",
        rate=rate,
        tenant=tenant,
        weight=weight,
        most=most,
        wanted=most if wanted is None else wanted,
        borrow_ahead=borrow_ahead(priority, rate),
    )
    return await rates.reserve(ask, START + timedelta(seconds=at))


async def hungry(rates: Rates, seconds: float, rate: float, *tenants: tuple[str, float], step: float = 0.05) -> Counter:
    """What tenants with endless work get when they all ask again and again."""
    got: Counter[str] = Counter()
    for number in range(round(seconds / step)):
        for tenant, weight in tenants:
            took = await reserve(rates, number * step, rate=rate, tenant=tenant, weight=weight, most=50, wanted=10_000)
            got[tenant] += took.tokens
    return got


async def test_bucket_gives_a_slice_at_once_then_its_rate_and_nothing_more(rates: Rates) -> None:
    taken = []
    for number in range(200):
        at = number * 0.05
        taken.append((at, (await reserve(rates, at, rate=10, most=5)).tokens))
    assert taken[0][1] == int(burst(10))
    assert sum(tokens for _, tokens in taken) == int(burst(10) + 10 * taken[-1][0])
    for begin, _ in taken:
        within = sum(tokens for at, tokens in taken if begin <= at < begin + 1)
        assert within <= 10 + burst(10)


async def test_processes_that_reserve_at_once_never_get_more_than_the_rate_and_a_slice(
    rates: Rates, database_url: str
) -> None:
    with (
        python("-c", RESERVING, database_url, START.isoformat()) as first,
        python("-c", RESERVING, database_url, START.isoformat()) as second,
    ):
        outputs = [await asyncio.to_thread(process.communicate) for process in (first, second)]
    taken = sorted((at, tokens) for output, _ in outputs for at, tokens in json.loads(output.splitlines()[-1]))
    # The two are not in step, so a moment may be asked about after a later one: what counts is the sum up to each.
    assert sum(tokens for _, tokens in taken) <= 20 * 3.9 + burst(20)
    assert sum(tokens for _, tokens in taken) >= 20 * 3.9


async def test_callers_at_one_moment_share_what_there_is(rates: Rates) -> None:
    got = await asyncio.gather(*(reserve(rates, 0, rate=40, most=3) for _ in range(20)))
    assert sum(one.tokens for one in got) == int(burst(40))


async def test_denied_caller_that_waits_as_told_gets_its_token(rates: Rates) -> None:
    at = 0.0
    for _ in range(10):
        got = await reserve(rates, at, rate=3, most=1)
        assert got.tokens == 1
        denied = await reserve(rates, at, rate=3, most=1)
        assert denied.tokens == 0
        at += denied.wait
    assert at == pytest.approx(10 / 3, abs=0.01)


async def test_state_outlives_the_limiter(rates: Rates, database_url: str) -> None:
    await reserve(rates, 0, rate=1)
    other = Database(database_url)
    assert (await reserve(Rates(other, TenantLimits(other)), 0.5, rate=1)).tokens == 0
    assert (await reserve(Rates(other, TenantLimits(other)), 1.0, rate=1)).tokens == 1
    await other.close()


async def test_tokens_given_back_can_be_taken_again(rates: Rates) -> None:
    assert (await reserve(rates, 0, rate=40, most=10)).tokens == 10
    await rates.give_back("account/x", 40, 10)
    assert (await reserve(rates, 0, rate=40, most=10)).tokens == 10


async def test_tenants_that_wait_for_one_account_get_equal_parts_of_its_rate(rates: Rates) -> None:
    got = await hungry(rates, 10, 50, ("a", 1), ("b", 1))
    assert got["a"] + got["b"] == pytest.approx(500, abs=burst(50) + 3)
    assert got["a"] == pytest.approx(got["b"], rel=0.1)


async def test_tenants_get_parts_as_their_weights_say(rates: Rates) -> None:
    got = await hungry(rates, 10, 40, ("a", 1), ("b", 3))
    assert got["b"] == pytest.approx(3 * got["a"], rel=0.1)
    assert got["a"] + got["b"] == pytest.approx(400, abs=burst(40) + 3)


async def test_tenant_alone_gets_everything(rates: Rates) -> None:
    assert (await hungry(rates, 10, 50, ("a", 1)))["a"] == pytest.approx(500, abs=burst(50) + 3)


async def test_what_a_modest_tenant_leaves_is_the_others(rates: Rates) -> None:
    hungry_got = modest_got = 0
    for number in range(200):
        at = number * 0.05
        hungry_got += (await reserve(rates, at, rate=50, tenant="a", most=50, wanted=10_000)).tokens
        if number % 10 == 0:
            modest_got += (await reserve(rates, at + 0.03, rate=50, tenant="b")).tokens
    assert modest_got >= 15
    assert hungry_got + modest_got >= 0.95 * 500


async def test_tenant_that_comes_late_is_not_kept_out_by_one_that_has_asked_for_long(rates: Rates) -> None:
    got: Counter[str] = Counter()
    for number in range(200):
        at = number * 0.05
        for tenant in ("a", "b") if at >= 5 else ("a",):
            got[tenant] += (await reserve(rates, at, rate=20, tenant=tenant, most=20, wanted=10_000)).tokens
    assert got["b"] == pytest.approx(50, abs=6)


async def test_slow_account_is_shared_message_by_message(rates: Rates) -> None:
    got = await hungry(rates, 60, 0.5, ("a", 1), ("b", 1), ("c", 1), step=0.5)
    assert sum(got.values()) == pytest.approx(30, abs=2)
    assert max(got.values()) - min(got.values()) <= 3


async def test_urgent_message_overtakes_those_that_wait_and_breaks_no_rate(rates: Rates) -> None:
    await reserve(rates, 0, rate=20, most=5_000)
    assert (await reserve(rates, 0, rate=20, most=5_000)).tokens == 0
    first = await reserve(rates, 0, rate=20, priority=10)
    second = await reserve(rates, 0, rate=20, priority=10)
    assert (first.tokens, second.tokens) == (1, 1)
    assert 0 < first.delay < second.delay <= 0.15
    assert (await reserve(rates, 0.05, rate=20, most=5_000)).tokens == 0


async def test_urgent_messages_reserve_as_far_ahead_as_they_are_urgent(rates: Rates) -> None:
    reserved = {}
    for priority in (7, 8, 10):
        await reserve(rates, priority * 100, rate=12, most=100)
        taken = [await reserve(rates, priority * 100, rate=12, priority=priority) for _ in range(40)]
        reserved[priority] = sum(one.tokens for one in taken)
        delays = [one.delay for one in taken if one.tokens]
        assert all(later > earlier for earlier, later in pairwise(delays))
    assert reserved == {7: 0, 8: 4, 10: 12}


async def test_clock_that_was_far_ahead_does_not_close_the_bucket(rates: Rates) -> None:
    await reserve(rates, 86_400, rate=1)
    assert [(await reserve(rates, at, rate=1)).tokens for at in (0, 0.5, 1.0)] == [1, 0, 1]
