"""Ids sort by the time they were made, also those of one millisecond."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import pairwise

import pytest

from hermod.contracts.ids import new_id, since


def test_many_ids_of_one_millisecond_sort_as_they_were_made(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time_ns() // 1_000_000 * 1_000_000 + 500_000
    monkeypatch.setattr(time, "time_ns", lambda: now)
    made = [new_id("msg") for _ in range(1000)]
    assert made == sorted(made)
    assert len(set(made)) == len(made)
    at = datetime.fromtimestamp(now / 1e9, UTC)
    assert all(one > since("msg", at) for one in made)
    assert {len(one) for one in made} == {len("msg_") + 28}


def test_clock_is_set_back_ids_still_count_up(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time_ns() // 1_000_000 * 1_000_000 + 500_000
    made = []
    for moved in (0, -5_000_000, -3_000_000_000, 1_000_000):
        monkeypatch.setattr(time, "time_ns", lambda moved=moved: now + moved)
        made += [new_id("msg") for _ in range(3)]
    assert made == sorted(made)


def test_ids_of_many_threads_are_different() -> None:
    with ThreadPoolExecutor(4) as pool:
        made = [one for some in pool.map(lambda _: [new_id("evt") for _ in range(500)], range(8)) for one in some]
    assert len(set(made)) == len(made)


def test_next_id_of_a_millisecond_cannot_be_guessed(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time_ns() // 1_000_000 * 1_000_000 + 500_000
    monkeypatch.setattr(time, "time_ns", lambda: now)
    numbers = [int(new_id("msg")[4:], 16) for _ in range(100)]
    steps = {after - before for before, after in pairwise(numbers)}
    assert len(steps) == len(numbers) - 1
    assert max(steps) > 2**40
