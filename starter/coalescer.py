"""Groups what arrives together. A call that comes alone is stored and started at once; in a burst, calls that arrive
within a few milliseconds share one insert and one workflow, so that it is not bound to the engine's rate of starts.

An answer waits for the insert, never for Temporal: accepted means durable, and the sweeper starts what we could not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from hermod.contracts.errors import IdempotencyMismatch
from hermod.contracts.ids import batch_id
from hermod.contracts.messages import MAX_BATCH, Receipt
from hermod.ports.clock import Clock
from hermod.storage.acceptance import Acceptance, Draft, Ready
from hermod.telemetry import ACCEPTED
from starter.dispatching import Dispatcher, Unit
from starter.grouping import Grouping

LINGER: Final = 0.02
"""Seconds that a call waits for company at the most."""
FREE_STARTS: Final = 4
"""As long as fewer starts are under way, nobody waits for company."""
MOST_STARTS: Final = 500
"""With so many starts under way the engine is far behind; the rest is left to the sweeper."""
STARTS_AT_ONCE: Final = 16

Answer = Receipt | IdempotencyMismatch


@dataclass(slots=True)
class _Call:
    readies: tuple[Ready, ...]
    request_id: str | None
    answer: asyncio.Future[Answer]


class Coalescer:
    def __init__(self, acceptance: Acceptance, dispatcher: Dispatcher, clock: Clock) -> None:
        self._acceptance = acceptance
        self._dispatcher = dispatcher
        self._clock = clock
        self._calls: dict[str, list[_Call]] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._starts = 0
        self._turns = asyncio.Semaphore(STARTS_AT_ONCE)

    async def take(self, tenant: str, readies: tuple[Ready, ...], request_id: str | None) -> Receipt:
        """Store the messages of one call and have them started. Raises IdempotencyMismatch and Unavailable."""
        call = _Call(readies, request_id, asyncio.get_running_loop().create_future())
        self._calls.setdefault(tenant, []).append(call)
        self._arrange(tenant)
        answer = await call.answer
        if isinstance(answer, IdempotencyMismatch):
            raise answer
        return answer

    async def take_many(
        self, tenant: str, calls: Sequence[tuple[Ready, ...]], request_id: str | None, batch: str
    ) -> list[Answer]:
        """Store many, a few thousand a statement; the answers in the order of the calls.

        Raises Unavailable when the database goes away; statements that came before are stored, and repeating the call
        with idempotency keys is safe.
        """
        answers: list[Answer] = []
        grouping = Grouping(tenant, batch)
        for at in range(0, len(calls), MAX_BATCH):
            part = calls[at : at + MAX_BATCH]
            drafts = _grouped(grouping, [(readies, request_id) for readies in part])
            answers += _by_call(await self._store(tenant, drafts), part)
        return answers

    def start(self, unit: Unit) -> None:
        """Have a workflow started in the background."""
        if self._starts >= MOST_STARTS:
            return
        self._starts += 1
        self._spawn(self._start(unit))

    async def drain(self) -> None:
        """Wait until everything accepted has been handed to Temporal, or left to the sweeper."""
        while self._tasks or self._calls:
            for tenant in list(self._calls):
                self._flush(tenant)
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _arrange(self, tenant: str) -> None:
        if tenant not in self._timers:
            # Even "at once" lets the calls of this very moment come along.
            wait = 0.0 if self._starts < FREE_STARTS else LINGER
            self._timers[tenant] = asyncio.get_running_loop().call_later(wait, self._flush, tenant)

    def _flush(self, tenant: str) -> None:
        if (timer := self._timers.pop(tenant, None)) is not None:
            timer.cancel()
        calls = self._calls.pop(tenant, [])
        if len(calls) > MAX_BATCH:
            self._calls[tenant] = calls[MAX_BATCH:]
            self._arrange(tenant)
        if calls:
            self._spawn(self._serve(tenant, calls[:MAX_BATCH]))

    async def _serve(self, tenant: str, calls: Sequence[_Call]) -> None:
        drafts = _grouped(Grouping(tenant, batch_id()), [(call.readies, call.request_id) for call in calls])
        try:
            answers = _by_call(await self._store(tenant, drafts), [call.readies for call in calls])
        except BaseException as error:
            for call in calls:
                if not call.answer.done():
                    call.answer.set_exception(error)
            if not isinstance(error, Exception):
                raise
            return
        for call, answer in zip(calls, answers, strict=True):
            if not call.answer.done():
                call.answer.set_result(answer)

    async def _store(self, tenant: str, drafts: Sequence[Draft]) -> list[Answer]:
        taken = await self._acceptance.take(tenant, drafts, self._clock.now())
        answers = [taken[draft.id] for draft in drafts]
        fresh = [draft for draft, answer in zip(drafts, answers, strict=True) if _is_new(draft, answer)]
        for draft in fresh:
            ACCEPTED.labels(draft.submission.content.channel.value).inc()
        for unit in Grouping.units(tenant, fresh):
            self.start(unit)
        return answers

    async def _start(self, unit: Unit) -> None:
        try:
            async with self._turns:
                await self._dispatcher.start(unit)
        finally:
            self._starts -= 1

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            asyncio.get_running_loop().call_exception_handler(
                {"message": "a start in the background failed; the sweeper will repeat it", "exception": error}
            )


def _grouped(grouping: Grouping, calls: Sequence[tuple[tuple[Ready, ...], str | None]]) -> list[Draft]:
    """The drafts of all calls; those of a call that makes several messages know the first of them."""
    drafts = grouping.drafts([(ready, request_id) for readies, request_id in calls for ready in readies])
    at = 0
    for readies, _ in calls:
        if len(readies) > 1:
            first = drafts[at].id
            drafts[at : at + len(readies)] = [replace(one, group_id=first) for one in drafts[at : at + len(readies)]]
        at += len(readies)
    return drafts


def _by_call(answers: Sequence[Answer], calls: Sequence[tuple[Ready, ...]]) -> list[Answer]:
    """One answer for each call: that of its first message, with the ids of the others."""
    joined: list[Answer] = []
    at = 0
    for readies in calls:
        first, *others = answers[at : at + len(readies)]
        at += len(readies)
        if isinstance(first, Receipt) and others:
            also = tuple(one.id for one in others if isinstance(one, Receipt))
            first = first.model_copy(update={"also": also})
        joined.append(first)
    return joined


def _is_new(draft: Draft, answer: Answer) -> bool:
    return isinstance(answer, Receipt) and answer.id == draft.id
