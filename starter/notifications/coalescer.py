"""Groups what arrives together. A call that comes alone is stored and started at once; in a burst, calls that arrive
within a few milliseconds share one insert and one workflow, so that it is not bound to the engine's rate of starts.

An answer waits for the insert, never for Temporal: accepted means durable, and the sweeper starts what we could not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from hermod.contracts.errors import IdempotencyMismatch, MaybeStored, Unavailable
from hermod.contracts.ids import batch_id
from hermod.contracts.notifications.messages import MAX_BATCH, Receipt
from hermod.micro_batcher import MicroBatcher
from hermod.ports.clock import Clock
from hermod.storage.database.apart import store_apart
from hermod.storage.notifications.acceptance import Acceptance, Draft, Ready
from hermod.telemetry import ACCEPTED
from starter.concurrency.background import Background
from starter.notifications.grouping import Grouping
from starter.temporal.starts import WorkflowBatch, WorkflowStarter

_IN_DOUBT: Final = "the others may be; only with idempotency keys is it safe to repeat the call"


@dataclass(frozen=True, slots=True)
class _Call:
    readies: tuple[Ready, ...]
    request_id: str | None


class Coalescer:
    def __init__(self, acceptance: Acceptance, dispatcher: WorkflowStarter, clock: Clock) -> None:
        self._acceptance = acceptance
        self._dispatcher = dispatcher
        self._clock = clock
        self._background = Background()
        self._calls: MicroBatcher[_Call, Receipt] = MicroBatcher(self._serve, MAX_BATCH, linger=self._background.linger)

    async def take(self, tenant: str, readies: tuple[Ready, ...], request_id: str | None) -> Receipt:
        """Store the messages of one call and have them started.

        Raises InvalidInput and Unavailable, with nothing stored, and MaybeStored.
        """
        return await self._calls.ask(tenant, _Call(readies, request_id))

    async def take_many(
        self, tenant: str, calls: Sequence[tuple[Ready, ...]], request_id: str | None, batch: str
    ) -> list[Receipt | Exception]:
        """Store many, a few thousand a statement; the answers in the order of the calls, or why one was not stored.

        Raises Unavailable, with nothing stored, and MaybeStored when the database goes away on the way.
        """
        answers: list[Receipt | Exception] = []
        grouping = Grouping(tenant, batch)
        for at in range(0, len(calls), MAX_BATCH):
            part = [_Call(readies, request_id) for readies in calls[at : at + MAX_BATCH]]
            try:
                answers += await self._store(tenant, _drafts(grouping, part))
            except Unavailable as error:
                if not at:
                    raise
                raise MaybeStored(f"the first {at} messages are stored, and {_IN_DOUBT}") from error
            for answer in answers[at:]:
                if isinstance(answer, Unavailable):
                    raise MaybeStored(f"some of the messages are stored, and {_IN_DOUBT}") from answer
        return answers

    def start(self, unit: WorkflowBatch) -> None:
        """Have a workflow started in the background."""
        self._background.start(lambda: self._dispatcher.start(unit))

    async def drain(self) -> None:
        """Wait until everything accepted has been handed to Temporal, or left to the sweeper."""
        await self._calls.drain()
        await self._background.drain()

    async def _serve(self, tenant: str, calls: Sequence[_Call]) -> list[Receipt | Exception]:
        return await self._store(tenant, _drafts(Grouping(tenant, batch_id()), calls))

    async def _store(self, tenant: str, calls: Sequence[Sequence[Draft]]) -> list[Receipt | Exception]:
        """One answer for each call: that of its first message, with the ids of the others."""

        async def store(some: Sequence[Sequence[Draft]]) -> list[list[Receipt | IdempotencyMismatch]]:
            taken = await self._acceptance.take(tenant, [draft for drafts in some for draft in drafts], now)
            return [[taken[draft.id] for draft in drafts] for drafts in some]

        now = self._clock.now()
        answers = await store_apart(store, calls)
        fresh = [draft for drafts, answer in zip(calls, answers, strict=True) for draft in _new(drafts, answer)]
        for draft in fresh:
            ACCEPTED.labels(draft.submission.content.channel.value).inc()
        for unit in Grouping.units(tenant, fresh):
            self.start(unit)
        return [answer if isinstance(answer, Exception) else _joined(answer) for answer in answers]


def _drafts(grouping: Grouping, calls: Sequence[_Call]) -> list[list[Draft]]:
    """The drafts of each call; those of a call that makes several messages know the first of them."""
    flat = iter(grouping.drafts([(ready, call.request_id) for call in calls for ready in call.readies]))
    by_call = [[next(flat) for _ in call.readies] for call in calls]
    return [
        [replace(one, group_id=drafts[0].id) for one in drafts] if len(drafts) > 1 else drafts for drafts in by_call
    ]


def _joined(answers: Sequence[Receipt | IdempotencyMismatch]) -> Receipt | IdempotencyMismatch:
    first, *others = answers
    if isinstance(first, Receipt) and others:
        return first.model_copy(update={"also": tuple(one.id for one in others if isinstance(one, Receipt))})
    return first


def _new(drafts: Sequence[Draft], answers: Sequence[Receipt | IdempotencyMismatch] | Exception) -> Iterator[Draft]:
    """Those that were stored just now."""
    if isinstance(answers, Exception):
        return
    for draft, answer in zip(drafts, answers, strict=True):
        if isinstance(answer, Receipt) and answer.id == draft.id:
            yield draft
