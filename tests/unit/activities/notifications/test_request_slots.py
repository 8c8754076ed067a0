"""Who gets the slots of a lane, and that none is lost."""

from __future__ import annotations

import asyncio

from activities.notifications.request_slots import RequestSlots


async def settled() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def waiting(slots: RequestSlots, most: int = 1, priority: int = 5) -> asyncio.Task[int]:
    task = asyncio.create_task(slots.take(most, priority))
    await settled()
    return task


async def test_as_many_as_are_free_are_taken_at_once() -> None:
    slots = RequestSlots(5)
    assert await slots.take(3) == 3
    assert await slots.take(3) == 2
    assert slots.take_now(1) == 0
    slots.give_back(5)
    assert slots.take_now(9) == 5


async def test_most_urgent_is_served_first_then_who_came_first() -> None:
    slots = RequestSlots(1)
    assert await slots.take(1) == 1
    first, second, urgent = await waiting(slots), await waiting(slots), await waiting(slots, priority=9)
    served = []
    for _ in range(3):
        slots.give_back(1)
        await settled()
        served.append([task.done() for task in (first, second, urgent)])
    assert served == [[False, False, True], [True, False, True], [True, True, True]]


async def test_newcomer_does_not_pass_by_who_waits() -> None:
    slots = RequestSlots(2)
    assert await slots.take(2) == 2
    task = await waiting(slots, most=2)
    slots.give_back(1)
    assert slots.take_now(1) == 0 or task.done()
    assert await task == 1
    slots.give_back(1)
    assert slots.take_now(2) == 1


async def test_cancelled_wait_leaves_no_slot_behind() -> None:
    slots = RequestSlots(1)
    assert await slots.take(1) == 1
    gone, late, other = await waiting(slots), await waiting(slots), await waiting(slots)
    gone.cancel()
    await settled()
    slots.give_back(1)
    # It is granted, and cancelled before it has noticed.
    late.cancel()
    await settled()
    assert late.cancelled()
    assert await other == 1
    slots.give_back(1)
    assert slots.take_now(9) == 1
