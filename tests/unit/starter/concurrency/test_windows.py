"""When calls share workflows: who joins a window, when it closes, and that nothing stored is started twice or not."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import pytest

from hermod.clock import SystemClock
from starter.concurrency import outbox, windows
from starter.concurrency.outbox import GroupingOutbox
from starter.concurrency.windows import ALONE_UNTIL, MEMORY, ArrivalRate, Window, Windows

LONG = 3600.0


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A window stays open until it is closed by hand, and a statement may take as long as it likes."""
    monkeypatch.setattr(windows, "OPEN_FOR", LONG)
    monkeypatch.setattr(outbox, "PATIENCE", LONG)


@dataclass
class Scene:
    behind: bool = False
    opened: list[str] = field(default_factory=list)
    started: list[list[int]] = field(default_factory=list)

    def windows(self) -> Windows[str, int]:
        return Windows(self._open, self._start, lambda: self.behind)

    def _open(self, tenant: str) -> str:
        self.opened.append(tenant)
        return f"group {len(self.opened)}"

    def _start(self, tenant: str, stored: Iterable[int]) -> None:
        self.started.append(list(stored))


def busy(some: Windows[str, int]) -> None:
    some.join("noise", 1000)


def joined(some: Windows[str, int], tenant: str = "shop") -> Window[str, int]:
    window = some.join(tenant, 1)
    assert window is not None
    return window


def test_rate_is_that_of_the_last_half_second() -> None:
    rate = ArrivalRate()
    assert rate.per_second(0.0) == 0
    for number in range(1000):
        rate.note(1, number / 100)
    assert rate.per_second(10.0) == pytest.approx(100, rel=0.05)
    assert rate.per_second(10.0 + 10 * MEMORY) < 1


async def test_calls_that_come_seldom_are_started_at_once() -> None:
    some = Scene().windows()
    assert [some.join("shop", 1) for _ in range(int(ALONE_UNTIL * MEMORY))] == [None] * int(ALONE_UNTIL * MEMORY)


async def test_calls_of_one_moment_are_known_to_each_other_and_wait_for_nobody() -> None:
    assert Scene().windows().join("shop", 300) is None


async def test_calls_that_come_quickly_share_a_window_and_start_together() -> None:
    scene = Scene()
    some = scene.windows()
    busy(some)
    for number in range(3):
        window = joined(some)
        assert window.group == "group 1"
        some.leave("shop", window, [number])
    assert scene.started == []
    assert some.flush()
    assert scene.started == [[0, 1, 2]]


async def test_tenants_share_no_window() -> None:
    some = Scene().windows()
    busy(some)
    assert joined(some, "a") is not joined(some, "b")


async def test_engine_that_is_behind_opens_a_window_whatever_the_rate() -> None:
    assert Scene(behind=True).windows().join("shop", 1) is not None


async def test_window_closes_by_itself_and_waits_for_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "OPEN_FOR", 0.001)
    scene = Scene(behind=True)
    some = scene.windows()
    window = joined(some)
    some.leave("shop", window, [1])
    await asyncio.sleep(0.05)
    assert scene.started == []
    scene.behind = False
    await asyncio.sleep(0.05)
    assert scene.started == [[1]]


async def test_engine_that_stays_behind_does_not_keep_a_window_open_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "OPEN_FOR", 0.001)
    monkeypatch.setattr(windows, "LONGEST", 0.01)
    scene = Scene(behind=True)
    some = scene.windows()
    window = joined(some)
    some.leave("shop", window, [1])
    await asyncio.sleep(0.05)
    assert scene.started == [[1]]


async def test_what_is_being_stored_when_the_window_closes_comes_along() -> None:
    scene = Scene()
    some = scene.windows()
    busy(some)
    first = joined(some)
    assert joined(some) is first
    some.leave("shop", first, [1])
    assert not some.flush()
    assert scene.started == []
    some.leave("shop", first, [2])
    assert scene.started == [[1, 2]]


async def test_what_is_stored_too_late_is_left_to_the_sweeper(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its workflow may run already, and would not know it."""
    monkeypatch.setattr(windows, "STRAGGLERS", 0.001)
    scene = Scene()
    some = scene.windows()
    busy(some)
    first = joined(some)
    assert joined(some) is first
    some.leave("shop", first, [1])
    some.flush()
    await asyncio.sleep(0.05)
    some.leave("shop", first, [2])
    assert scene.started == [[1]]
    assert not some.flush()


async def test_window_in_which_nothing_was_stored_starts_nothing() -> None:
    scene = Scene()
    some = scene.windows()
    busy(some)
    window = joined(some)
    some.leave("shop", window, [])
    some.flush()
    assert scene.started == []


class Letters(GroupingOutbox[int, tuple[int, str], str, str]):
    """Stores numbers under the group that each is in."""

    def __init__(self) -> None:
        super().__init__(SystemClock(), 100)
        self.statements: list[list[int]] = []
        self.started: list[list[tuple[int, str]]] = []
        self.groups = 0
        self.away: Exception | None = None
        self.database = asyncio.Event()
        self.database.set()
        self.hangs = asyncio.Event()
        """Temporal, until it is set."""
        self.hangs.set()

    async def take(self, number: int) -> str:
        return await self._calls.ask("shop", number)

    def _group(self, tenant: str, *, shared: bool) -> str:
        self.groups += 1
        return f"{'shared' if shared else 'own'} {self.groups}"

    async def _grouped(self, tenant: str, calls: Sequence[int], group: str) -> Sequence[tuple[int, str]]:
        return [(number, group) for number in calls]

    async def _store(self, tenant: str, drafts: Sequence[tuple[int, str]], now: datetime) -> Sequence[str]:
        self.statements.append([number for number, _ in drafts])
        await self.database.wait()
        if self.away is not None:
            raise self.away
        return [group for _, group in drafts]

    def _start_stored(self, tenant: str, stored: Iterable[tuple[tuple[int, str], str]]) -> None:
        self.started.append([draft for draft, _ in stored])
        self._relay.start(self.hangs.wait)


async def test_answers_do_not_wait_for_the_window() -> None:
    letters = Letters()
    assert await asyncio.gather(*map(letters.take, range(100))) == ["own 1"] * 100
    assert [await letters.take(number) for number in (100, 101)] == ["shared 2"] * 2
    assert letters.started == [[(number, "own 1") for number in range(100)]]
    await letters.drain()
    assert letters.started[1:] == [[(100, "shared 2"), (101, "shared 2")]]


async def test_statements_are_shared_only_where_they_would_wait() -> None:
    letters = Letters()
    letters.database.clear()
    tasks = []
    for number in range(10):
        tasks.append(asyncio.create_task(letters.take(number)))
        for _ in range(5):
            await asyncio.sleep(0.001)
    assert letters.statements == [[0], [1], [2], [3]]
    letters.database.set()
    await asyncio.gather(*tasks)
    assert letters.statements == [[0], [1], [2], [3], [4, 5, 6, 7, 8, 9]]


async def test_statement_that_fails_takes_nothing_of_its_window_with_it() -> None:
    letters = Letters()
    await asyncio.gather(*map(letters.take, range(100)))
    await letters.take(1)
    letters.away = RuntimeError("away")
    with pytest.raises(RuntimeError):
        await letters.take(2)
    letters.away = None
    await letters.take(3)
    await letters.drain()
    assert [number for number, _ in letters.started[-1]] == [1, 3]


async def test_draining_while_a_call_is_being_stored_waits_for_it_and_lets_the_loop_go_on() -> None:
    letters = Letters()
    await asyncio.gather(*map(letters.take, range(100)))
    letters.hangs.clear()
    await letters.take(1)
    draining = asyncio.create_task(letters.drain())
    await asyncio.sleep(0.01)  # the first window has been closed, and its start hangs
    letters.database.clear()
    late = asyncio.create_task(letters.take(2))
    await asyncio.sleep(0.01)
    letters.hangs.set()
    await asyncio.sleep(0.01)
    assert not draining.done()
    letters.database.set()
    assert await late == "shared 3"
    await draining
    assert [number for started in letters.started[1:] for number, _ in started] == [1, 2]
