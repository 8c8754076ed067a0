"""Calls that share what serves them: everybody is answered, nobody twice, and nobody suffers from another's end."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

import pytest

from hermod.contracts.errors import InvalidInput, Unavailable
from hermod.micro_batcher import MicroBatcher


class Server:
    """Answers numbers with their doubles when it is let; a negative number has an error for its answer."""

    def __init__(self, *, is_open: bool = True, error: BaseException | None = None) -> None:
        self.served: list[tuple[str, list[int]]] = []
        self.ended: list[list[int]] = []
        self.gate = asyncio.Event()
        self.error = error
        if is_open:
            self.gate.set()

    async def serve(self, key: str, numbers: Sequence[int]) -> list[int | Exception]:
        self.served.append((key, list(numbers)))
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        self.ended.append(list(numbers))
        return [2 * number if number >= 0 else InvalidInput.of("number", f"is {number}") for number in numbers]

    @property
    def sizes(self) -> list[int]:
        return [len(numbers) for _, numbers in self.served]


def asking(batcher: MicroBatcher[int, int], key: str, numbers: Sequence[int]) -> list[asyncio.Task[int]]:
    return [asyncio.create_task(batcher.ask(key, number)) for number in numbers]


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_calls_come_at_one_moment_share_a_batch_and_each_has_its_answer() -> None:
    server = Server()
    batcher = MicroBatcher(server.serve)
    assert await asyncio.gather(*asking(batcher, "a", range(10))) == [2 * number for number in range(10)]
    assert server.served == [("a", list(range(10)))]


async def test_calls_of_several_keys_are_served_apart() -> None:
    server = Server()
    batcher = MicroBatcher(server.serve)
    await asyncio.gather(*asking(batcher, "a", [1, 2]), *asking(batcher, "b", [3]))
    assert server.served == [("a", [1, 2]), ("b", [3])]


async def test_answer_is_an_error_it_is_raised_to_its_caller_alone() -> None:
    batcher = MicroBatcher(Server().serve)
    answers = await asyncio.gather(*asking(batcher, "a", [1, -2, 3]), return_exceptions=True)
    assert (answers[0], answers[2]) == (2, 6)
    assert isinstance(answers[1], InvalidInput)


async def test_serving_fails_every_caller_of_the_batch_is_told_and_the_next_ones_are_served() -> None:
    server = Server(error=Unavailable("away"))
    batcher = MicroBatcher(server.serve)
    answers = await asyncio.gather(*asking(batcher, "a", [1, 2]), return_exceptions=True)
    assert [type(answer) for answer in answers] == [Unavailable, Unavailable]
    server.error = None
    assert await batcher.ask("a", 3) == 6


async def test_server_has_too_few_answers_nobody_waits_for_ever() -> None:
    async def serve(key: str, numbers: Sequence[int]) -> list[int]:
        return list(numbers[1:])

    batcher = MicroBatcher(serve)
    answers = await asyncio.gather(*asking(batcher, "a", [1, 2]), return_exceptions=True)
    assert isinstance(answers[1], ValueError)


async def test_more_calls_come_than_a_batch_takes_each_is_served_once() -> None:
    server = Server()
    batcher = MicroBatcher(server.serve, 3)
    assert await asyncio.gather(*asking(batcher, "a", range(8))) == [2 * number for number in range(8)]
    assert server.sizes == [3, 3, 2]
    assert Counter(number for _, numbers in server.served for number in numbers) == Counter(range(8))


async def test_more_calls_come_while_the_overflow_waits_each_is_served_once() -> None:
    server = Server(is_open=False)
    batcher = MicroBatcher(server.serve, 2)
    asked = asking(batcher, "a", range(3))
    await turns(1)
    asked += asking(batcher, "a", range(3, 6))
    batcher.flush()
    server.gate.set()
    assert await asyncio.gather(*asked) == [2 * number for number in range(6)]
    assert max(server.sizes) == 2
    assert Counter(number for _, numbers in server.served for number in numbers) == Counter(range(6))


async def test_batches_of_one_key_are_served_side_by_side() -> None:
    server = Server(is_open=False)
    batcher = MicroBatcher(server.serve)
    first = asking(batcher, "a", [1])
    await turns()
    second = asking(batcher, "a", [2])
    await turns()
    assert server.sizes == [1, 1]
    server.gate.set()
    assert await asyncio.gather(*first, *second) == [2, 4]


async def test_in_turn_those_who_come_meanwhile_go_together_in_the_next() -> None:
    server = Server(is_open=False)
    batcher = MicroBatcher(server.serve, at_once=1)
    asked = asking(batcher, "a", [1])
    await turns()
    asked += asking(batcher, "a", [2, 3]) + asking(batcher, "b", [4])
    await turns()
    assert server.served == [("a", [1]), ("b", [4])]
    server.gate.set()
    assert await asyncio.gather(*asked) == [2, 4, 6, 8]
    assert server.served == [("a", [1]), ("b", [4]), ("a", [2, 3])]


async def test_what_takes_long_does_not_hold_up_those_behind_it() -> None:
    server = Server(is_open=False)
    batcher = MicroBatcher(server.serve, at_once=2, patience=0.01)
    slow = []
    for number in range(2):
        slow += asking(batcher, "a", [number])
        await turns()
    behind = asking(batcher, "a", [2, 3])
    while server.sizes != [1, 1, 2]:
        await asyncio.sleep(0.005)
    server.gate.set()
    assert await asyncio.gather(*slow, *behind) == [0, 2, 4, 6]


async def test_in_turn_a_batch_fails_those_who_came_meanwhile_are_served() -> None:
    server = Server(is_open=False, error=Unavailable("away"))
    batcher = MicroBatcher(server.serve, at_once=1)
    first = asking(batcher, "a", [1])
    await turns()
    second = asking(batcher, "a", [2])
    await turns()
    server.gate.set()
    with pytest.raises(Unavailable):
        await first[0]
    server.error = None
    assert await second[0] == 4


@pytest.mark.parametrize("at_once", [None, 1])
@pytest.mark.parametrize("while_served", [False, True])
async def test_caller_is_cancelled_the_others_have_their_answers(at_once: int | None, while_served: bool) -> None:
    server = Server(is_open=False)
    batcher = MicroBatcher(server.serve, at_once=at_once)
    asked = asking(batcher, "a", [1, 2, 3])
    await turns(5 if while_served else 1)
    asked[0].cancel()
    server.gate.set()
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert isinstance(answers[0], asyncio.CancelledError)
    assert answers[1:] == [4, 6]


async def test_every_caller_is_cancelled_what_is_being_served_comes_to_its_end() -> None:
    server = Server(is_open=False)
    batcher = MicroBatcher(server.serve)
    (asked,) = asking(batcher, "a", [1])
    await turns()
    asked.cancel()
    await turns()
    server.gate.set()
    await batcher.drain()
    assert server.ended == [[1]]


async def test_calls_wait_for_company_until_they_are_flushed() -> None:
    server = Server()
    batcher = MicroBatcher(server.serve, linger=lambda: 3600.0)
    asked = asking(batcher, "a", [1]) + asking(batcher, "b", [2])
    await turns()
    assert server.served == []
    assert batcher.flush()
    assert await asyncio.gather(*asked) == [2, 4]
    assert not batcher.flush()
    assert server.sizes == [1, 1]


async def test_drained_everything_that_waits_is_served_whatever_it_waits_for() -> None:
    server = Server()
    batcher = MicroBatcher(server.serve, 2, linger=lambda: 3600.0)
    asked = asking(batcher, "a", range(5))
    await turns()
    await batcher.drain()
    assert await asyncio.gather(*asked) == [0, 2, 4, 6, 8]
    assert server.sizes == [2, 2, 1]


async def test_closed_what_is_served_is_cut_off_and_everybody_is_cancelled() -> None:
    server = Server(is_open=False)
    batcher = MicroBatcher(server.serve, at_once=1)
    asked = asking(batcher, "a", [1])
    await turns()
    asked += asking(batcher, "a", [2])
    await turns()
    batcher.close()
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(answer) for answer in answers] == [asyncio.CancelledError] * 2
    assert (server.sizes, server.ended) == ([1], [])
