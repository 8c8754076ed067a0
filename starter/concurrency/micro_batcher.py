"""Brings calls of one tenant together that come within a few milliseconds, so that they share an insert."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, TypeVar

from starter.concurrency.background import Background

LINGER: Final = 0.02
"""Seconds that a call waits for company at the most."""

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


class MicroBatcher(Generic[Asked, Answer]):
    """`serve(tenant, calls)` answers calls that came together, in their order, at most `most` of them.

    An answer that is an error is raised to its caller.
    """

    def __init__(
        self,
        serve: Callable[[str, Sequence[Asked]], Awaitable[Sequence[Answer | Exception]]],
        background: Background,
        most: int,
        is_busy: Callable[[], bool] | None = None,
    ) -> None:
        """`is_busy` tells whether it is worth waiting for company; without one, the background does."""
        self._serve = serve
        self._background = background
        self._most = most
        self._is_busy = is_busy or (lambda: background.is_busy)
        self._calls: dict[str, list[tuple[Asked, asyncio.Future[Answer]]]] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}

    async def ask(self, tenant: str, asked: Asked) -> Answer:
        """Raises what serving raises, and the error that is this call's answer."""
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._calls.setdefault(tenant, []).append((asked, answer))
        self._arrange(tenant)
        return await answer

    def flush(self) -> bool:
        """Serve all that wait; whether there were any."""
        waiting = list(self._calls)
        for tenant in waiting:
            self._flush(tenant)
        return bool(waiting)

    def _arrange(self, tenant: str) -> None:
        if tenant not in self._timers:
            # Even "at once" lets the calls of this very moment come along.
            wait = LINGER if self._is_busy() else 0.0
            self._timers[tenant] = asyncio.get_running_loop().call_later(wait, self._flush, tenant)

    def _flush(self, tenant: str) -> None:
        if (timer := self._timers.pop(tenant, None)) is not None:
            timer.cancel()
        calls = self._calls.pop(tenant, [])
        if len(calls) > self._most:
            self._calls[tenant] = calls[self._most :]
            self._arrange(tenant)
        if calls:
            self._background.spawn(self._answer(tenant, calls[: self._most]))

    async def _answer(self, tenant: str, calls: Sequence[tuple[Asked, asyncio.Future[Answer]]]) -> None:
        try:
            answers = await self._serve(tenant, [asked for asked, _ in calls])
        except BaseException as error:
            for _, future in calls:
                if not future.done():
                    future.set_exception(error)
            if not isinstance(error, Exception):
                raise
            return
        for (_, future), answer in zip(calls, answers, strict=True):
            if future.done():
                continue
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)
