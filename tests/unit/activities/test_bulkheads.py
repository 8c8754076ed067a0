"""Places at an endpoint's door: no more than its limit, first come first served, and a short line."""

from __future__ import annotations

import asyncio

import pytest

from activities.notifications.request_slots import RequestSlots
from activities.webhooks.bulkheads import LINE, QUICK_LINE, BulkheadFull, Bulkheads


async def test_no_more_are_let_in_than_the_limit_says_at_that_moment() -> None:
    async with Bulkheads().at("e") as door:
        assert door.take(5, 3) == 3
        assert door.take(5, 3) == 0
        door.give_back(1)
        assert door.take(5, 3) == 1
        assert door.take(5, 1) == 0
        assert door.take(5, 10) == 5


async def test_who_stands_in_line_comes_before_who_would_like_more() -> None:
    async with Bulkheads().at("e") as door:
        door.take(1, 1)
        waiting = asyncio.create_task(door.wait(1))
        await asyncio.sleep(0)
        door.give_back(1)
        assert door.take(1, 1) == 0
        await waiting
        assert door.under_way == 1


async def test_who_has_places_takes_more_until_its_turn_is_over() -> None:
    async with Bulkheads().at("e") as door:
        door.take(1, 1)
        waiting = asyncio.create_task(door.wait(2))
        await asyncio.sleep(0)
        assert door.take(1, 2) == 0
        assert door.take(1, 2, turn_is_over=False) == 1
        door.give_back(1)
        await waiting


async def test_line_is_longer_where_the_endpoint_is_quick() -> None:
    async with Bulkheads().at("e") as door:
        for _ in range(50):
            door.give_back(0, seconds=0.005)
        door.take(10, 10)
        line = [asyncio.create_task(door.wait(10)) for _ in range(QUICK_LINE - 1)]
        await asyncio.sleep(0)
        while_quick = door.is_full
        door.give_back(0, seconds=15.0)
        assert (while_quick, door.is_full) == (False, True)
        for task in line:
            task.cancel()
        await asyncio.gather(*line, return_exceptions=True)


async def test_long_line_sends_away_for_later_one_after_another() -> None:
    async with Bulkheads().at("e") as door:
        door.take(1, 1)
        door.give_back(1, seconds=15.0)
        door.take(1, 1)
        line = [asyncio.create_task(door.wait(1)) for _ in range(LINE)]
        await asyncio.sleep(0)
        waits = []
        for _ in range(200):
            with pytest.raises(BulkheadFull) as crowded:
                await door.wait(1)
            waits.append(crowded.value.wait)
        assert waits[-1] > 5 * waits[0]
        for task in line:
            task.cancel()
        await asyncio.gather(*line, return_exceptions=True)
        assert not door.is_full
        door.give_back(1)
        assert door.under_way == 0


async def test_place_that_comes_to_one_who_has_just_left_goes_on_to_the_next() -> None:
    async with Bulkheads().at("e") as door:
        door.take(1, 1)
        first, second = asyncio.create_task(door.wait(1)), asyncio.create_task(door.wait(1))
        await asyncio.sleep(0)
        door.give_back(1)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        await asyncio.wait_for(second, 1)
        assert door.under_way == 1


async def test_dispatches_that_rest_count_as_a_line() -> None:
    places = Bulkheads()
    async with places.at("e") as door, places.at("e") as same, places.at("other") as other:
        assert same is door
        door.give_back(0, seconds=15.0)
        async with door.rests(), door.rests(), door.rests(), door.rests():
            assert door.is_full
            assert not other.is_full
        assert not door.is_full


async def test_door_with_too_many_dispatches_says_so_to_the_last_of_them() -> None:
    places = Bulkheads(2)
    async with places.at("e"), places.at("e") as second:
        assert not second.is_overrun
        async with places.at("e") as third:
            assert third.is_overrun
        assert not second.is_overrun


async def test_all_doors_share_the_slots_of_the_lane_and_none_takes_more_than_half() -> None:
    places = Bulkheads(lane=RequestSlots(5))
    async with places.at("a") as one, places.at("b") as other, places.at("c") as third:
        assert one.bounded(10) == 2
        assert await one.enter(one.take(10, one.bounded(10)), waits=True) == 2
        assert await other.enter(other.take(10, 10), waits=False) == 3
        assert other.under_way == 3
        assert await third.enter(third.take(10, 10), waits=False) == 0
        assert third.under_way == 0
        waiting = asyncio.create_task(third.enter(third.take(10, 10), waits=True))
        await asyncio.sleep(0)
        other.give_back(1)
        assert await waiting == 1
        assert (one.under_way, other.under_way, third.under_way) == (2, 2, 1)


async def test_wait_for_a_slot_of_the_lane_is_cut_off_no_place_is_lost() -> None:
    places = Bulkheads(lane=RequestSlots(1))
    async with places.at("a") as one, places.at("b") as other:
        assert await one.enter(one.take(1, 1), waits=True) == 1
        waiting = asyncio.create_task(other.enter(other.take(1, 1), waits=True))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert other.under_way == 0
        one.give_back(1)
        assert await other.enter(other.take(1, 1), waits=False) == 1
