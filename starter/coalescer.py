"""Groups what arrives together. A call that comes alone is stored and started at once; in a burst, calls that arrive
within a few milliseconds share one insert and one workflow, so that it is not bound to the engine's rate of starts.

An answer waits for the insert, never for Temporal: accepted means durable, and the sweeper starts what we could not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from hermod.contracts.errors import IdempotencyMismatch, MaybeStored, Unavailable
from hermod.contracts.ids import batch_id
from hermod.contracts.messages import MAX_BATCH, Receipt
from hermod.ports.clock import Clock
from hermod.storage.acceptance import Acceptance, Draft, Ready
from hermod.telemetry import ACCEPTED
from starter.background import Background
from starter.dispatching import Dispatcher, Unit
from starter.gathering import Gathering
from starter.grouping import Grouping

Answer = Receipt | IdempotencyMismatch
_IN_DOUBT: Final = "the others may be; only with idempotency keys is it safe to repeat the call"


@dataclass(frozen=True, slots=True)
class _Call:
    readies: tuple[Ready, ...]
    request_id: str | None


class Coalescer:
    def __init__(self, acceptance: Acceptance, dispatcher: Dispatcher, clock: Clock) -> None:
        self._acceptance = acceptance
        self._dispatcher = dispatcher
        self._clock = clock
        self._background = Background()
        self._calls = Gathering(self._serve, self._background, MAX_BATCH)

    async def take(self, tenant: str, readies: tuple[Ready, ...], request_id: str | None) -> Receipt:
        """Store the messages of one call and have them started.

        Raises IdempotencyMismatch and Unavailable, with nothing stored, and MaybeStored.
        """
        answer = await self._calls.ask(tenant, _Call(readies, request_id))
        if isinstance(answer, IdempotencyMismatch):
            raise answer
        return answer

    async def take_many(
        self, tenant: str, calls: Sequence[tuple[Ready, ...]], request_id: str | None, batch: str
    ) -> list[Answer]:
        """Store many, a few thousand a statement; the answers in the order of the calls.

        Raises Unavailable, with nothing stored, and MaybeStored when the database goes away on the way.
        """
        answers: list[Answer] = []
        grouping = Grouping(tenant, batch)
        for at in range(0, len(calls), MAX_BATCH):
            part = calls[at : at + MAX_BATCH]
            drafts = _grouped(grouping, [(readies, request_id) for readies in part])
            try:
                answers += _by_call(await self._store(tenant, drafts), part)
            except Unavailable as error:
                if not at:
                    raise
                raise MaybeStored(f"the first {at} messages are stored, and {_IN_DOUBT}") from error
        return answers

    def start(self, unit: Unit) -> None:
        """Have a workflow started in the background."""
        self._background.start(lambda: self._dispatcher.start(unit))

    async def drain(self) -> None:
        """Wait until everything accepted has been handed to Temporal, or left to the sweeper."""
        await self._background.drain(self._calls.flush)

    async def _serve(self, tenant: str, calls: Sequence[_Call]) -> list[Answer]:
        drafts = _grouped(Grouping(tenant, batch_id()), [(call.readies, call.request_id) for call in calls])
        return _by_call(await self._store(tenant, drafts), [call.readies for call in calls])

    async def _store(self, tenant: str, drafts: Sequence[Draft]) -> list[Answer]:
        taken = await self._acceptance.take(tenant, drafts, self._clock.now())
        answers = [taken[draft.id] for draft in drafts]
        fresh = [draft for draft, answer in zip(drafts, answers, strict=True) if _is_new(draft, answer)]
        for draft in fresh:
            ACCEPTED.labels(draft.submission.content.channel.value).inc()
        for unit in Grouping.units(tenant, fresh):
            self.start(unit)
        return answers


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
