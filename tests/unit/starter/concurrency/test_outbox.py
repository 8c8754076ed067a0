"""What is accepted is stored before it is answered, started after that, and handed over before closing."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import partial

import pytest

from hermod.clock import SystemClock
from hermod.contracts.errors import InvalidInput, Unavailable
from hermod.ports.clock import Clock
from starter.concurrency import relay
from starter.concurrency.outbox import SharedOutbox

SPOILT = 13
REFUSED = 7


class Numbers(SharedOutbox[int, int, str]):
    """Stores numbers; `SPOILT` fails the statement that it is in, `REFUSED` has an error for its answer."""

    def __init__(self, *, most: int = 100, clock: Clock | None = None) -> None:
        super().__init__(clock or SystemClock(), most)
        self.statements: list[list[int]] = []
        self.times: list[datetime] = []
        self.stored: list[int] = []
        self.started: list[int] = []
        self.database = asyncio.Event()
        self.temporal = asyncio.Event()
        self.database.set()
        self.temporal.set()
        self.away: Exception | None = None

    async def take(self, number: int) -> str:
        return await self._calls.ask("shop", number)

    async def take_alone(self, number: int) -> str:
        return await self._keep_one("shop", number)

    async def _drafts(self, tenant: str, calls: Sequence[int]) -> Sequence[int]:
        return calls

    async def _store(self, tenant: str, drafts: Sequence[int], now: datetime) -> Sequence[str | Exception]:
        self.statements.append(list(drafts))
        self.times.append(now)
        await self.database.wait()
        if self.away is not None:
            raise self.away
        if SPOILT in drafts:
            raise ValueError("the statement fails")
        self.stored += [number for number in drafts if number != REFUSED]
        return [f"{number}" if number != REFUSED else InvalidInput.of("number", "is refused") for number in drafts]

    def _start_stored(self, tenant: str, stored: Iterable[tuple[int, str]]) -> None:
        for number, answer in stored:
            assert answer == f"{number}"
            self._relay.start(partial(self._begin, number))

    async def _begin(self, number: int) -> None:
        await self.temporal.wait()
        self.started.append(number)


def taking(numbers: Numbers, given: Sequence[int]) -> list[asyncio.Task[str]]:
    return [asyncio.create_task(numbers.take(number)) for number in given]


async def turns(count: int = 8) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_answer_waits_for_the_database_and_nothing_is_started_before_it() -> None:
    numbers = Numbers()
    numbers.database.clear()
    (asked,) = taking(numbers, [1])
    await turns()
    assert (asked.done(), numbers.started) == (False, [])
    numbers.database.set()
    assert await asked == "1"
    await numbers.drain()
    assert numbers.started == [1]


async def test_answer_does_not_wait_for_temporal() -> None:
    numbers = Numbers()
    numbers.temporal.clear()
    assert await numbers.take(1) == "1"
    assert (numbers.stored, numbers.started) == ([1], [])
    numbers.temporal.set()
    await numbers.drain()
    assert numbers.started == [1]


async def test_calls_of_one_moment_share_a_statement() -> None:
    numbers = Numbers()
    assert await asyncio.gather(*taking(numbers, range(5))) == ["0", "1", "2", "3", "4"]
    assert numbers.statements == [list(range(5))]
    await numbers.drain()


async def test_statement_is_spoilt_by_one_the_others_are_stored_once_and_started_once() -> None:
    numbers = Numbers()
    answers = await asyncio.gather(*taking(numbers, [11, 12, SPOILT, 14, 15]), return_exceptions=True)
    assert [str(answer) for answer in answers] == ["11", "12", "the statement fails", "14", "15"]
    await numbers.drain()
    assert Counter(numbers.stored) == Counter(numbers.started) == Counter([11, 12, 14, 15])
    assert len(set(numbers.times)) == 1, "a part is stored as of the moment of the whole"


async def test_answer_of_one_is_an_error_it_is_raised_to_its_caller_and_not_started() -> None:
    numbers = Numbers()
    answers = await asyncio.gather(*taking(numbers, [1, REFUSED, 2]), return_exceptions=True)
    assert isinstance(answers[1], InvalidInput)
    await numbers.drain()
    assert sorted(numbers.started) == [1, 2]


async def test_database_is_away_every_caller_is_told_and_nothing_is_started() -> None:
    numbers = Numbers()
    numbers.away = Unavailable("away")
    answers = await asyncio.gather(*taking(numbers, [1, 2]), return_exceptions=True)
    assert [type(answer) for answer in answers] == [Unavailable, Unavailable]
    assert not await numbers.drain()
    assert numbers.started == []


async def test_stored_alone_has_a_statement_of_its_own_and_is_started() -> None:
    numbers = Numbers()
    assert await numbers.take_alone(1) == "1"
    with pytest.raises(ValueError, match="the statement fails"):
        await numbers.take_alone(SPOILT)
    with pytest.raises(InvalidInput):
        await numbers.take_alone(REFUSED)
    await numbers.drain()
    assert (numbers.statements, numbers.started) == ([[1], [SPOILT], [REFUSED]], [1])


async def test_caller_goes_away_what_it_asked_for_is_stored_and_started() -> None:
    numbers = Numbers()
    numbers.database.clear()
    (asked,) = taking(numbers, [1])
    await turns()
    asked.cancel()
    numbers.database.set()
    await numbers.drain()
    assert (numbers.stored, numbers.started) == ([1], [1])


async def test_drained_what_waits_for_company_is_stored_and_started() -> None:
    numbers = Numbers(most=2)
    numbers.temporal.clear()
    for number in range(relay.FREE_STARTS):
        await numbers.take(number)
    asked = taking(numbers, range(20, 25))
    await turns()
    assert not any(one.done() for one in asked), "with so many starts under way it is worth waiting for company"
    numbers.temporal.set()
    assert await numbers.drain()
    assert await asyncio.gather(*asked) == ["20", "21", "22", "23", "24"]
    assert Counter(numbers.started) == Counter([*range(relay.FREE_STARTS), *range(20, 25)])
    assert max(map(len, numbers.statements)) == 2


async def test_engine_is_far_behind_the_rest_is_stored_and_left_to_the_sweeper(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(relay, "MOST_STARTS", 3)
    numbers = Numbers()
    numbers.temporal.clear()
    assert len(await asyncio.gather(*taking(numbers, range(5)))) == 5
    numbers.temporal.set()
    await numbers.drain()
    assert (sorted(numbers.stored), sorted(numbers.started)) == ([0, 1, 2, 3, 4], [0, 1, 2])
