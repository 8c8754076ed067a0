"""Where a single message waits for its rate: inside the worker for a moment, and else back with the server."""

from __future__ import annotations

from contextlib import AsyncExitStack
from types import SimpleNamespace
from typing import Final, cast

from activities.notifications.account_sender import NAP, SingleMessageWait
from activities.notifications.rate_limits import MAX_WAITERS, Limit, RateWaiters
from activities.notifications.requests import SendJob
from hermod.domain.rates import URGENT

LIMIT: Final = Limit(bucket="main", rate=4.0, words="main sends 4 messages a second")
MOMENT: Final = 0.001


def job(tenant: str = "demo", priority: int = 5) -> SendJob:
    parts = SimpleNamespace(account=SimpleNamespace(tenant=tenant), item=SimpleNamespace(priority=priority))
    return cast(SendJob, parts)


async def test_short_wait_is_slept_in_place_which_is_free_afterwards() -> None:
    waiters = RateWaiters()
    assert await SingleMessageWait(waiters).wait(LIMIT, job(), MOMENT) is None
    assert not waiters.asleep


async def test_long_wait_is_left_to_the_server() -> None:
    again = await SingleMessageWait(RateWaiters()).wait(LIMIT, job(), 2 * NAP)
    assert again is not None
    assert again >= 2 * NAP


async def test_all_places_are_taken_only_an_urgent_message_and_other_tenants_wait_in_place() -> None:
    waiters = RateWaiters()
    rate_wait = SingleMessageWait(waiters)
    async with AsyncExitStack() as others:
        for _ in range(MAX_WAITERS):
            await others.enter_async_context(waiters.sleeping("main/demo"))
        assert await rate_wait.wait(LIMIT, job(), MOMENT) is not None
        assert await rate_wait.wait(LIMIT, job(priority=URGENT), MOMENT) is None
        assert await rate_wait.wait(LIMIT, job("another"), MOMENT) is None
    assert await rate_wait.wait(LIMIT, job(), MOMENT) is None
