"""Calls that come together share one call of what serves them: a statement for many in place of one for each."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Generic, TypeVar

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


class MicroBatcher(Generic[Asked, Answer]):
    """`serve(key, calls)` answers calls of one key that came together, in their order, at most `most` of them.

    An answer that is an error is raised to its caller, and what serving raises to all whom it served. Serving goes on
    when a caller is cancelled: the others wait for it.
    """

    def __init__(
        self,
        serve: Callable[[str, Sequence[Asked]], Awaitable[Sequence[Answer | Exception]]],
        most: int | None = None,
        *,
        linger: Callable[[], float] = lambda: 0.0,
        at_once: int | None = None,
        patience: float | None = None,
    ) -> None:
        """`linger`: seconds that a call waits for company. `at_once`: of a key, so many are served at a time, and those
        who come meanwhile go together in the next one; what takes longer than `patience` seconds does not count.
        """
        self._serve = serve
        self._most = most
        self._linger = linger
        self._at_once = at_once
        self._patience = patience
        self._calls: dict[str, list[tuple[Asked, asyncio.Future[Answer]]]] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._served: set[asyncio.Task[None]] = set()
        self._turns: dict[str, set[asyncio.Task[None]]] = {}
        """Those of them that others of their key wait for."""

    async def ask(self, key: str, asked: Asked) -> Answer:
        """Raises what serving raises, and the error that is this call's answer."""
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._calls.setdefault(key, []).append((asked, answer))
        self._arrange(key)
        return await answer

    def flush(self) -> bool:
        """Serve all that wait, without more company; whether there were any."""
        waiting = list(self._calls)
        for key in waiting:
            self._begin(key)
        return bool(waiting)

    async def drain(self) -> bool:
        """Serve all that wait, and wait for the end of it; whether there was any."""
        had_any = False
        while self.flush() or self._served:
            had_any = True
            await asyncio.gather(*self._served, return_exceptions=True)
        return had_any

    def close(self) -> None:
        """Cut off what is being served; its callers, and those that wait, are cancelled."""
        for timer in self._timers.values():
            timer.cancel()
        for calls in self._calls.values():
            _cancel(calls)
        self._timers.clear()
        self._calls.clear()
        for task in self._served:
            task.cancel()

    def _arrange(self, key: str) -> None:
        if key not in self._timers and not self._is_behind(key):
            # Even "at once" lets the calls of this very moment come along.
            self._timers[key] = asyncio.get_running_loop().call_later(self._linger(), self._begin, key)

    def _is_behind(self, key: str) -> bool:
        """Whether calls of the key have to wait for the end of others."""
        return self._at_once is not None and len(self._turns.get(key, ())) >= self._at_once

    def _begin(self, key: str) -> None:
        if (timer := self._timers.pop(key, None)) is not None:
            timer.cancel()
        if self._is_behind(key) or not (calls := self._calls.pop(key, [])):
            return
        if self._most is not None and len(calls) > self._most:
            self._calls[key], calls = calls[self._most :], calls[: self._most]
        task = asyncio.create_task(self._answer(key, calls))
        self._served.add(task)
        task.add_done_callback(self._served.discard)
        if self._at_once is not None:
            self._turns.setdefault(key, set()).add(task)
            task.add_done_callback(partial(self._give_way, key))
            if self._patience is not None:
                asyncio.get_running_loop().call_later(self._patience, self._give_way, key, task)
        if key in self._calls:
            self._arrange(key)

    def _give_way(self, key: str, task: asyncio.Task[None]) -> None:
        """It has ended, or takes long: the first of both counts."""
        turns = self._turns.get(key, set())
        if task not in turns:
            return
        turns.discard(task)
        if not turns:
            del self._turns[key]
        if key in self._calls:
            self._begin(key)

    async def _answer(self, key: str, calls: Sequence[tuple[Asked, asyncio.Future[Answer]]]) -> None:
        try:
            answers = await self._serve(key, [asked for asked, _ in calls])
            for (_, future), answer in zip(calls, answers, strict=True):
                if future.done():
                    continue
                if isinstance(answer, Exception):
                    future.set_exception(answer)
                else:
                    future.set_result(answer)
        except asyncio.CancelledError:
            _cancel(calls)
            raise
        except BaseException as error:
            for _, future in calls:
                if not future.done():
                    future.set_exception(error)
            if not isinstance(error, Exception):
                raise


def _cancel(calls: Sequence[tuple[Asked, asyncio.Future[Answer]]]) -> None:
    for _, future in calls:
        future.cancel()
