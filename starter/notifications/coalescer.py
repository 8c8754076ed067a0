"""Groups what arrives together. A call that comes alone is stored and started at once; where calls are many, those of a
moment share a workflow (`starter.concurrency.windows`), so that they are not bound to the engine's rate of starts.

An answer waits for the insert, never for Temporal: accepted means durable, and the sweeper starts what we could not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from hermod.contracts.errors import IdempotencyMismatch, MaybeStored, Unavailable
from hermod.contracts.ids import batch_id
from hermod.contracts.notifications.messages import MAX_BATCH, Receipt
from hermod.ports.clock import Clock
from hermod.storage.notifications.acceptance import Acceptance, Draft, Ready
from hermod.telemetry import ACCEPTED
from starter.concurrency.outbox import GroupingOutbox
from starter.notifications.grouping import Grouping
from starter.temporal.starts import WorkflowBatch, WorkflowStarter

_Answer = Receipt | IdempotencyMismatch
_IN_DOUBT: Final = "the others may be; only with idempotency keys is it safe to repeat the call"


@dataclass(frozen=True, slots=True)
class _Call:
    readies: tuple[Ready, ...]
    request_id: str | None


class Coalescer(GroupingOutbox[_Call, list[Draft], list[_Answer], Grouping]):
    """The outbox of messages. The answer to a call is that to its first message, with the ids of the others."""

    def __init__(self, acceptance: Acceptance, dispatcher: WorkflowStarter, clock: Clock) -> None:
        super().__init__(clock, MAX_BATCH)
        self._acceptance = acceptance
        self._dispatcher = dispatcher

    async def take(self, tenant: str, readies: tuple[Ready, ...], request_id: str | None) -> Receipt:
        """Store the messages of one call and have them started.

        Raises InvalidInput and Unavailable, with nothing stored, and MaybeStored.
        """
        answer = _joined(await self._calls.ask(tenant, _Call(readies, request_id)))
        if isinstance(answer, IdempotencyMismatch):
            raise answer
        return answer

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
                kept = await self._keep(tenant, _drafts(grouping, part))
            except Unavailable as error:
                if not at:
                    raise
                raise MaybeStored(f"the first {at} messages are stored, and {_IN_DOUBT}") from error
            for answer in kept:
                if isinstance(answer, Unavailable):
                    raise MaybeStored(f"some of the messages are stored, and {_IN_DOUBT}") from answer
            answers += [answer if isinstance(answer, Exception) else _joined(answer) for answer in kept]
        return answers

    def start(self, unit: WorkflowBatch) -> None:
        """Have a workflow started in the background."""
        self._relay.start(lambda: self._dispatcher.start(unit))

    def _group(self, tenant: str, *, shared: bool) -> Grouping:
        return Grouping(tenant, batch_id(), shared=shared)

    async def _grouped(self, tenant: str, calls: Sequence[_Call], group: Grouping) -> list[list[Draft]]:
        return _drafts(group, calls)

    async def _store(self, tenant: str, drafts: Sequence[list[Draft]], now: datetime) -> list[list[_Answer]]:
        taken = await self._acceptance.take(tenant, [draft for of_call in drafts for draft in of_call], now)
        return [[taken[draft.id] for draft in of_call] for of_call in drafts]

    def _start_stored(self, tenant: str, stored: Iterable[tuple[list[Draft], list[_Answer]]]) -> None:
        fresh = [draft for drafts, answers in stored for draft in _new(drafts, answers)]
        for draft in fresh:
            ACCEPTED.labels(draft.submission.content.channel.value).inc()
        for unit in Grouping.units(tenant, fresh):
            self.start(unit)


def _drafts(grouping: Grouping, calls: Sequence[_Call]) -> list[list[Draft]]:
    """The drafts of each call; those of a call that makes several messages know the first of them."""
    flat = iter(grouping.drafts([(ready, call.request_id) for call in calls for ready in call.readies]))
    by_call = [[next(flat) for _ in call.readies] for call in calls]
    return [
        [replace(one, group_id=drafts[0].id) for one in drafts] if len(drafts) > 1 else drafts for drafts in by_call
    ]


def _joined(answers: Sequence[_Answer]) -> _Answer:
    first, *others = answers
    if isinstance(first, Receipt) and others:
        return first.model_copy(update={"also": tuple(one.id for one in others if isinstance(one, Receipt))})
    return first


def _new(drafts: Sequence[Draft], answers: Sequence[_Answer]) -> Iterator[Draft]:
    """Those that were stored just now."""
    for draft, answer in zip(drafts, answers, strict=True):
        if isinstance(answer, Receipt) and answer.id == draft.id:
            yield draft
