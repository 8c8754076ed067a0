"""Rates at work: waiting costs time and never an attempt, and one who waits does not keep others waiting."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from sqlalchemy import text

from hermod.contracts.notifications.content import Email
from hermod.contracts.notifications.messages import MessageView, Outcome, Status
from hermod.contracts.notifications.outcomes import Accepted, Transient
from hermod.contracts.tenants.limits import Limits
from hermod.domain.rates import burst
from tests.support.polling import eventually
from tests.support.product import ProductFixture, new_house

LETTER = Email(to="ada@example.com", subject="Hello", text="Hello")
SPENT = text("SELECT spent FROM messages WHERE tenant_id = :tenant AND id = ANY(:ids) ORDER BY id")


def letters(count: int, domain: str = "example.com") -> list[Email]:
    return [Email(to=f"user{number}@{domain}", subject="s", text="t") for number in range(count)]


async def limit(house: ProductFixture, rate: float | None = None, **domains: float) -> None:
    core = house.hermod.core
    limits = Limits(rate_per_second=rate, domains={f"{name}.com": each for name, each in domains.items()})
    await core.storage.limits.put(house.hermod.tenant, limits, actor="test", now=core.clock.now())


async def add_account(
    house: ProductFixture, rate: float | None = None, *, name: str = "main", key: str | None = None
) -> None:
    """An account of its own at the provider, or the one that `key` stands for."""
    credentials = {"api_key": key or f"{house.hermod.tenant}-{name}"}
    await house.add_account(name, credentials=credentials, rate=rate)


async def all_sent(house: ProductFixture, ids: Sequence[str]) -> list[MessageView]:
    views = [await house.ended(id, within=60) for id in ids]
    assert {view.status for view in views} == {Status.SENT}
    return views


async def one_is_sent(house: ProductFixture) -> None:
    async def found() -> bool:
        return bool((await house.hermod.messages(status=Status.SENT)).items)

    await eventually(found)


def starts(views: Sequence[MessageView]) -> list[datetime]:
    return sorted(view.attempts[0].started_at for view in views)


def most_within(begun: Sequence[datetime], seconds: float) -> int:
    """The most requests in any window of so many seconds."""
    window = timedelta(seconds=seconds)
    return max(sum(first <= each < first + window for each in begun) for first in begun)


async def test_batch_goes_at_the_rate_of_its_account_and_every_message_takes_one_attempt(
    skipping: ProductFixture,
) -> None:
    await add_account(skipping, rate=20)
    receipt = await skipping.hermod.send_many(letters(60))
    views = await all_sent(skipping, [one.id for one in receipt.receipts])
    assert {len(view.attempts) for view in views} == {1}
    begun = starts(views)
    assert begun[-1] - begun[0] >= timedelta(seconds=(60 - burst(20)) / 20 - 0.5)
    # A request leaves when its intent is committed, a moment after its token was taken.
    assert most_within(begun, 1) <= 20 + 2 * burst(20)


async def test_message_behind_a_slow_account_waits_in_the_record_and_spends_nothing(skipping: ProductFixture) -> None:
    await add_account(skipping, rate=0.1)
    skipping.script("main", Accepted(), Transient(), Accepted())
    first = await skipping.hermod.send(LETTER)
    await all_sent(skipping, [first.id])
    second = await skipping.hermod.send(LETTER)
    (view,) = await all_sent(skipping, [second.id])
    assert [attempt.outcome for attempt in view.attempts] == [Outcome.TRANSIENT, Outcome.ACCEPTED]
    waits = [decision for decision in view.decisions if decision.kind == "rate"]
    assert [(wait.verdict, wait.reason) for wait in waits] == [("waits", "main sends 0.1 messages a second")] * 2
    spent = await skipping.hermod.core.storage.database.rows(
        SPENT, {"tenant": skipping.hermod.tenant, "ids": [first.id, second.id]}
    )
    assert [row.spent for row in spent] == [0, 1]


async def test_batch_behind_a_very_slow_account_waits_as_a_whole(skipping: ProductFixture) -> None:
    await add_account(skipping, rate=0.05)
    receipt = await skipping.hermod.send_many([LETTER] * 4)
    views = await all_sent(skipping, [one.id for one in receipt.receipts])
    assert len({view.workflow_id for view in views}) == 1
    begun = starts(views)
    assert all(later - earlier > timedelta(seconds=19) for earlier, later in pairwise(begun))


async def test_message_that_would_wait_past_its_time_expires(skipping: ProductFixture) -> None:
    await add_account(skipping, rate=0.01)
    await all_sent(skipping, [(await skipping.hermod.send(LETTER)).id])
    late = await skipping.hermod.send(LETTER, not_after=datetime.now(UTC) + timedelta(seconds=30))
    view = await skipping.ended(late.id)
    assert view.status is Status.EXPIRED
    assert not view.attempts


@pytest.mark.parametrize("rate", [None, 200.0])
async def test_limited_domain_is_held_back_without_holding_back_the_others(
    skipping: ProductFixture, rate: float | None
) -> None:
    await add_account(skipping, rate=rate)
    await limit(skipping, rate=rate, slow=2.0)
    receipt = await skipping.hermod.send_many([*letters(6, "slow.com"), *letters(30, "quick.com")])
    views = await all_sent(skipping, [one.id for one in receipt.receipts])
    slow, quick = starts(views[:6]), starts(views[6:])
    assert quick[-1] < slow[1]
    assert slow[-1] - slow[0] >= timedelta(seconds=5 / 2 - 0.5)


async def test_limit_of_a_tenant_holds_over_all_its_accounts(skipping: ProductFixture) -> None:
    await add_account(skipping, name="first")
    await add_account(skipping, name="second")
    await limit(skipping, rate=10)
    ways = [{"provider_account": name} for name in ("first", "second")]
    receipts = [await skipping.hermod.send_many(letters(12), **way) for way in ways]
    views = await all_sent(skipping, [one.id for receipt in receipts for one in receipt.receipts])
    assert {view.attempts[0].account for view in views} == {"first", "second"}
    begun = starts(views)
    assert begun[-1] - begun[0] >= timedelta(seconds=(24 - burst(10)) / 10 - 0.5)


async def test_two_tenants_with_one_real_account_share_its_rate_and_the_small_one_is_not_kept_waiting(
    skipping: ProductFixture,
) -> None:
    other = await new_house(skipping.hermod, skipping.client, skipping.senders)
    for house in (skipping, other):
        await add_account(house, rate=20, key="one real account")
    large = await skipping.hermod.send_many(letters(80))
    small = await other.hermod.send_many(letters(10))
    small_views = await all_sent(other, [one.id for one in small.receipts])
    large_views = await all_sent(skipping, [one.id for one in large.receipts])
    behind = [start for start in starts(large_views) if start > starts(small_views)[-1]]
    assert len(behind) > 40
    assert most_within(starts([*small_views, *large_views]), 1) <= 20 + 2 * burst(20)


async def test_urgent_message_overtakes_what_waits_for_the_same_account(skipping: ProductFixture) -> None:
    await add_account(skipping, rate=20)
    many = await skipping.hermod.send_many(letters(80))
    await one_is_sent(skipping)
    urgent = await skipping.hermod.send(LETTER, priority=10)
    (view,) = await all_sent(skipping, [urgent.id])
    others = await all_sent(skipping, [one.id for one in many.receipts])
    assert sum(start > view.attempts[0].started_at for start in starts(others)) > 30


async def test_many_single_messages_behind_a_slow_account_all_arrive_and_free_their_places(
    skipping: ProductFixture,
) -> None:
    # So slow that they wait with the server, which skips the time; a wait in the worker takes as long as it says.
    await add_account(skipping, rate=0.5)
    receipts = []
    for letter in letters(20):
        receipts.append(await skipping.hermod.send(letter))
        await skipping.hermod.core.coalescer.drain()
    assert len({one.workflow_id for one in receipts}) == 20
    views = await all_sent(skipping, [one.id for one in receipts])
    assert {len(view.attempts) for view in views} == {1}
    assert any(decision.kind == "rate" for view in views for decision in view.decisions)


async def test_rate_that_counts_requests_lets_a_full_one_go_for_each_token(skipping: ProductFixture) -> None:
    await add_account(skipping, rate=2)
    script = skipping.script("main", max_batch=100)
    script.rate_counts_requests = True
    receipt = await skipping.hermod.send_many(letters(250))
    begun = starts(await all_sent(skipping, [one.id for one in receipt.receipts]))
    assert script.requests == [100, 100, 50]
    assert begun[-1] - begun[0] >= timedelta(seconds=0.8)


async def test_rate_that_is_raised_is_at_work_for_those_that_wait(skipping: ProductFixture) -> None:
    await add_account(skipping, rate=2)
    receipt = await skipping.hermod.send_many(letters(200))
    await one_is_sent(skipping)
    await add_account(skipping, rate=1_000)
    begun = starts(await all_sent(skipping, [one.id for one in receipt.receipts]))
    assert most_within(begun, 10) > 10 * 2 + burst(2)
