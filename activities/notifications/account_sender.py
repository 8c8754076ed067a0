"""The jobs of one account on their way, wave after wave, as fast as their limits let them go.

Without a limit the next wave begins when the one before it has ended. With one, waves overlap, so that a slow provider
does not make the rate smaller: as many messages are under way as may be left in doubt (`wave_sizes`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Final, Protocol, Self

from activities.notifications.batch_slots import Slot
from activities.notifications.heartbeat_details import OutcomesNotPersisted
from activities.notifications.rate_limits import Limit, Permit, RateLimitGate, RateWaiters
from activities.notifications.request_slots import RequestSlots
from activities.notifications.requests import SendJob, jobs_for, slots_for
from hermod.ports.clock import Clock

NAP: Final = 1.0
"""Seconds that a delivery sleeps at the most before it looks up again; a single message not longer in all."""
LONGEST_SLEEP: Final = 10.0
"""A batch whose rate allows nothing for longer than these seconds ends, and the server runs it again."""
REFRESH: Final = timedelta(seconds=2)
"""After so long behind a rate, accounts and limits are read again: somebody may have changed them."""


class RateWait(Protocol):
    async def wait(self, limit: Limit, job: SendJob, seconds: float) -> float | None:
        """Sleep a while, or say after how many seconds the delivery should come again instead."""
        ...


class SingleMessageWait:
    """A single message sleeps where few others do; else its place in the lane is of more use to others."""

    def __init__(self, waiters: RateWaiters) -> None:
        self._waiters = waiters

    async def wait(self, limit: Limit, job: SendJob, seconds: float) -> float | None:
        key = f"{limit.bucket}/{job.account.tenant}"
        if seconds > NAP or not self._waiters.has_room(key, job.item.priority):
            return self._waiters.retry_after(key, limit.rate, seconds)
        async with self._waiters.sleeping(key):
            await asyncio.sleep(seconds)
        return None


class BatchWait:
    """A batch sleeps while nobody has a better claim to its turn."""

    def __init__(self, turn: Slot) -> None:
        self._turn = turn

    async def wait(self, limit: Limit, job: SendJob, seconds: float) -> float | None:
        self._turn.is_slow()
        if self._turn.should_yield():
            return 0.0
        if seconds > LONGEST_SLEEP:
            return seconds
        await asyncio.sleep(min(seconds, NAP))
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Deferred:
    """Jobs that a limit holds back. `wait`: seconds after which the delivery comes again, None where it goes on."""

    limit: Limit
    wait: float | None


class TaskScope:
    """Work that is done at once. Leaving waits for all of it, and raises what went wrong; cancellation reaches all.

    A body that fails, because a database is away, waits as well: requests under way may have arrived.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self.errors: list[BaseException] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, asyncio.CancelledError) or _is_cancelled():
            self._cancel()
        try:
            await self._all_end()
        except asyncio.CancelledError:
            self._cancel()
            await self._all_end()
            self._raise_unrecorded(error)
            raise
        self._raise_unrecorded(error)
        if error is None and self.errors:
            raise self.errors[0]

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    @property
    def any(self) -> bool:
        return bool(self._tasks)

    async def one_ends(self) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)

    async def _all_end(self) -> None:
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _cancel(self) -> None:
        for task in self._tasks:
            task.cancel()

    def _raise_unrecorded(self, error: BaseException | None) -> None:
        """What must reach the next dispatch, of the body as of its tasks, goes before all else that went wrong."""
        unrecorded = [
            one for each in (error, *self.errors) if isinstance(each, OutcomesNotPersisted) for one in each.results
        ]
        if unrecorded:
            raise OutcomesNotPersisted(unrecorded)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.errors.append(error)


def _is_cancelled() -> bool:
    """Whether the running task was cancelled, also where what it had to hand on went before that."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class AccountSender:
    """`send` makes one wave's requests, so many at once, and tells whether the account turned out to be in trouble.

    A wave has its slots of the lane before anything of it is reserved or committed, and until it is recorded.
    """

    def __init__(
        self,
        jobs: Sequence[SendJob],
        rate_gate: RateLimitGate,
        sizes: Iterator[int],
        *,
        send: Callable[[Sequence[SendJob], int], Awaitable[bool]],
        slots: RequestSlots,
        rate_wait: RateWait,
        clock: Clock,
        stopping: Callable[[], bool],
    ) -> None:
        self.rest = list(jobs)
        """Jobs that were not sent."""
        self._rate_gate = rate_gate
        self._sizes = sizes
        self._window = next(sizes)
        self._away = 0
        self._send = send
        self._slots = slots
        self._rate_wait = rate_wait
        self._clock = clock
        self._stopping = stopping
        self._troubled = False
        self._waiting_since: datetime | None = None

    async def run(self) -> Deferred | None:
        """Send until nothing is left, the account is in trouble, the worker stops, or a limit takes too long."""
        async with TaskScope() as waves:
            while self.rest and not self._is_over(waves):
                room = self._window - self._away
                if self._away and (room <= 0 or not self._rate_gate.limited):
                    await waves.one_ends()
                    continue
                allowed = await self._next_wave(room, waves)
                if allowed.limit is not None:
                    held = await self._wait(allowed.limit, allowed.wait)
                    if held is not None:
                        return held
        return None

    def _is_over(self, waves: TaskScope) -> bool:
        return self._troubled or bool(waves.errors) or self._stopping()

    async def _next_wave(self, room: int, waves: TaskScope) -> Permit:
        """Begin a wave as large as room, slots and limits allow, once there is a slot. What stood in its way."""
        slots = await self._slots.take(slots_for(self.rest[:room]), max(job.item.priority for job in self.rest))
        begun = False
        try:
            if self._is_over(waves):
                return Permit()
            allowed = await self._rate_gate.allow(
                self.rest, min(room, jobs_for(slots, self.rest[0])), self._clock.now()
            )
            if allowed.jobs:
                begun = await self._begin(allowed, slots, waves)
            return allowed
        finally:
            if not begun:
                self._slots.give_back(slots)

    async def _begin(self, allowed: Permit, slots: int, waves: TaskScope) -> bool:
        if allowed.delay:
            await asyncio.sleep(allowed.delay)
            if self._stopping():
                return False
        # Few may be allowed, or they may go in few requests.
        kept = min(slots, slots_for(allowed.jobs))
        self._slots.give_back(slots - kept)
        going = {id(job) for job in allowed.jobs}
        self.rest = [job for job in self.rest if id(job) not in going]
        self._away += len(going)
        waves.begin(self._wave(allowed.jobs, kept))
        return True

    async def _wave(self, jobs: Sequence[SendJob], slots: int) -> None:
        try:
            self._troubled = await self._send(jobs, slots) or self._troubled
        finally:
            self._slots.give_back(slots)
            self._away -= len(jobs)
        self._window = next(self._sizes)

    async def _wait(self, limit: Limit, seconds: float) -> Deferred | None:
        now = self._clock.now()
        self._waiting_since = self._waiting_since or now
        if now - self._waiting_since > REFRESH:
            return Deferred(limit=limit, wait=None)
        wait = await self._rate_wait.wait(limit, self.rest[0], seconds)
        return None if wait is None else Deferred(limit=limit, wait=wait)
