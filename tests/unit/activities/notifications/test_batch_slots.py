"""Who is next among batches, who gives way, and who is asked to come again later."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from activities.dispatch.staggered_backoff import LATEST, SOONEST, StaggeredBackoff
from activities.notifications.batch_slots import LINE, LONG_TURN_SECONDS, TURN_SECONDS, FairSemaphore, QueueFull, Slot


class Scene:
    """Batches that come, have their turn until they are told to end, and leave; and a clock."""

    def __init__(self, places: int) -> None:
        self.seconds = 0.0
        self.turns = FairSemaphore(places, now=lambda: self.seconds)
        self.running: dict[str, tuple[Slot, asyncio.Event]] = {}
        self.tasks: list[asyncio.Task[None]] = []

    async def comes(self, name: str, tenant: str, priority: int = 5) -> None:
        self.tasks.append(asyncio.create_task(self._batch(name, tenant, priority)))
        await settled()

    async def ends(self, name: str) -> None:
        self.running[name][1].set()
        await settled()

    async def _batch(self, name: str, tenant: str, priority: int) -> None:
        async with self.turns.take(tenant, priority) as turn:
            self.running[name] = (turn, asyncio.Event())
            await self.running[name][1].wait()
            del self.running[name]

    def turn(self, name: str) -> Slot:
        return self.running[name][0]

    async def close(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def scene(stack: AsyncExitStack, places: int) -> Scene:
    built = Scene(places)
    stack.push_async_callback(built.close)
    return built


async def test_free_turn_goes_to_the_tenant_with_the_fewest() -> None:
    async with AsyncExitStack() as stack:
        house = await scene(stack, 2)
        for name, tenant in (("a1", "a"), ("a2", "a"), ("a3", "a"), ("b1", "b")):
            await house.comes(name, tenant)
        assert sorted(house.running) == ["a1", "a2"]
        await house.ends("a1")
        assert sorted(house.running) == ["a2", "b1"]
        await house.ends("b1")
        assert sorted(house.running) == ["a2", "a3"]


async def test_free_turn_goes_to_the_most_urgent_before_all() -> None:
    async with AsyncExitStack() as stack:
        house = await scene(stack, 1)
        for name, tenant, priority in (("a1", "a", 5), ("b1", "b", 5), ("a2", "a", 9)):
            await house.comes(name, tenant, priority)
        await house.ends("a1")
        assert list(house.running) == ["a2"]


async def test_turn_is_wanted_by_a_tenant_with_fewer_after_a_second() -> None:
    async with AsyncExitStack() as stack:
        house = await scene(stack, 2)
        for name, tenant in (("a1", "a"), ("a2", "a"), ("b1", "b")):
            await house.comes(name, tenant)
        assert not house.turn("a1").should_yield()
        house.seconds += TURN_SECONDS
        assert house.turn("a1").should_yield()
        await house.ends("a1")
        assert not house.turn("a2").should_yield()


async def test_turn_is_wanted_by_the_same_tenant_after_a_long_time_only() -> None:
    async with AsyncExitStack() as stack:
        house = await scene(stack, 1)
        for name in ("a1", "a2"):
            await house.comes(name, "a")
        house.seconds += TURN_SECONDS
        assert not house.turn("a1").should_yield()
        house.seconds += LONG_TURN_SECONDS
        assert house.turn("a1").should_yield()


async def test_batches_of_a_slow_tenant_are_turned_away_once_enough_of_them_wait() -> None:
    async with AsyncExitStack() as stack:
        house = await scene(stack, 1)
        for number in range(LINE + 1):
            await house.comes(f"a{number}", "a")
        async with asyncio.timeout(1):
            await house.comes("one more", "a")
        assert not house.tasks[-1].done()
        house.turn("a0").is_slow()
        await house.comes("too many", "a")
        with pytest.raises(QueueFull) as away:
            await house.tasks[-1]
        assert away.value.delay >= SOONEST
        await house.comes("b1", "b")
        await house.ends("a0")
        assert list(house.running) == ["b1"]
        await house.ends("b1")
        assert list(house.running) == ["a1"]


async def test_batch_that_is_cancelled_in_line_leaves_the_line() -> None:
    async with AsyncExitStack() as stack:
        house = await scene(stack, 1)
        for name in ("a1", "b1", "b2"):
            await house.comes(name, name[0])
        house.tasks[1].cancel()
        await settled()
        await house.ends("a1")
        assert list(house.running) == ["b2"]


def test_appointments_come_one_by_one_and_never_too_late() -> None:
    seconds = 0.0
    given = StaggeredBackoff(now=lambda: seconds, chance=lambda: 0.5)
    assert [given.next("a", 0.5) for _ in range(4)] == [1.0, 1.5, 2.0, 2.5]
    assert given.next("b", 0.5) == SOONEST
    assert max(given.next("a", 10.0) for _ in range(100)) <= LATEST
    seconds = 1_000.0
    assert given.next("a", 0.5) == SOONEST


def test_appointments_differ_by_chance() -> None:
    early = StaggeredBackoff(now=lambda: 0.0, chance=lambda: 0.0)
    late = StaggeredBackoff(now=lambda: 0.0, chance=lambda: 1.0)
    assert (early.next("a", 20.0), late.next("a", 20.0)) == (18.0, 22.0)
