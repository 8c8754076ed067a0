"""What the turns of batches count, and how a batch leaves that is cancelled."""

from __future__ import annotations

import asyncio

import pytest

from activities.notifications.batch_slots import TURN_SECONDS, FairSemaphore


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def hold(slots: FairSemaphore, tenant: str, ended: asyncio.Event, order: list[str]) -> None:
    async with slots.take(tenant, 5):
        order.append(tenant)
        await ended.wait()


async def test_turns_that_have_ended_no_longer_count_against_their_tenant() -> None:
    slots, order = FairSemaphore(2, now=Clock()), list[str]()
    ends = [asyncio.Event() for _ in range(6)]
    tasks = [
        asyncio.create_task(hold(slots, tenant, ended, order))
        for tenant, ended in zip(("a", "b", "b", "b", "a"), ends, strict=False)
    ]
    await turns()
    assert order == ["a", "b"]
    ends[0].set()
    await turns()
    # "a" has none now, and "b" one.
    assert order == ["a", "b", "a"]
    for ended in ends:
        ended.set()
    await asyncio.gather(*tasks)
    assert sorted(order) == ["a", "a", "b", "b", "b"]


async def test_batch_alone_never_gives_way() -> None:
    clock = Clock()
    slots = FairSemaphore(1, now=clock)
    async with slots.take("a", 5) as slot:
        clock.seconds += 1_000.0
        assert not slot.should_yield()


async def test_batch_gives_way_to_nobody_before_its_turn_is_over() -> None:
    clock = Clock()
    slots, ended = FairSemaphore(1, now=clock), asyncio.Event()
    ended.set()
    async with slots.take("a", 5) as slot:
        waiting = asyncio.create_task(hold(slots, "b", ended, []))
        await turns()
        clock.seconds = TURN_SECONDS / 2
        assert not slot.should_yield()
        clock.seconds = TURN_SECONDS
        # As many turns as the one that waits would have are no claim; fewer are.
        assert slot.should_yield()
    await waiting


async def test_batch_is_cancelled_as_its_turn_comes_the_turn_goes_to_the_next() -> None:
    slots, order = FairSemaphore(1, now=Clock()), list[str]()
    first, rest = asyncio.Event(), asyncio.Event()
    tasks = [asyncio.create_task(hold(slots, "a", first, order))]
    await turns()
    tasks += [asyncio.create_task(hold(slots, tenant, rest, order)) for tenant in ("b", "c")]
    await turns()
    first.set()
    await asyncio.sleep(0)
    tasks[1].cancel()
    with pytest.raises(asyncio.CancelledError):
        await tasks[1]
    rest.set()
    await asyncio.gather(tasks[0], tasks[2])
    assert order == ["a", "c"]


async def test_batch_in_its_turn_is_cancelled_the_turn_goes_to_the_next() -> None:
    slots, order, never, ended = FairSemaphore(1, now=Clock()), list[str](), asyncio.Event(), asyncio.Event()
    ended.set()
    running = asyncio.create_task(hold(slots, "a", never, order))
    await turns()
    waiting = asyncio.create_task(hold(slots, "b", ended, order))
    await turns()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await waiting
    assert order == ["a", "b"]


@pytest.mark.parametrize(
    ("running", "ended", "waiting", "goes_on"),
    [
        pytest.param("ba", 1, "ba", "a", id="none is left of the tenant"),
        pytest.param("aaab", 0, "ab", "b", id="two are left of the tenant"),
    ],
)
async def test_turn_ends_the_tenant_counts_with_those_it_has_left(
    running: str, ended: int, waiting: str, goes_on: str
) -> None:
    slots, order = FairSemaphore(len(running), now=Clock()), list[str]()
    ends = [asyncio.Event() for _ in running + waiting]
    tasks = []
    for tenant, end in zip(running + waiting, ends, strict=True):
        tasks.append(asyncio.create_task(hold(slots, tenant, end, order)))
        await turns()
    ends[ended].set()
    await turns()
    assert order == [*running, goes_on]
    for end in ends:
        end.set()
    await asyncio.gather(*tasks)
