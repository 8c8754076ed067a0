"""The transactional outbox: what is accepted is stored, which is the answer, and has its workflow started after that.

Accepted means durable. An answer waits for the database, never for Temporal: starts are made in the background, and
what could not be started, since Temporal or the process was away, is found by the sweeper
(`starter.housekeeping.sweep_table`). A kind of record says how it is stored, how it is grouped, and how it is started.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Final, Generic, TypeVar

from hermod.micro_batcher import MicroBatcher
from hermod.ports.clock import Clock
from hermod.storage.database.apart import store_apart
from starter.concurrency.relay import Relay
from starter.concurrency.windows import Windows

Asked = TypeVar("Asked")
Draft = TypeVar("Draft")
Stored = TypeVar("Stored")
Group = TypeVar("Group")

STATEMENTS_AT_ONCE: Final = 4
"""Of one tenant."""
PATIENCE: Final = 0.1
"""Seconds. A statement that takes longer waits for another transaction, and must not hold up those behind it."""


class Outbox(ABC, Generic[Draft, Stored]):
    """Of one kind of record, for all tenants of one process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._relay = Relay()

    @abstractmethod
    async def _store(self, tenant: str, drafts: Sequence[Draft], now: datetime) -> Sequence[Stored | Exception]:
        """Store all of them or none, and answer each, also with an error of its own. The ids are made before, so that
        a statement that is made again stores nothing twice.
        """

    @abstractmethod
    def _start_stored(self, tenant: str, stored: Iterable[tuple[Draft, Stored]]) -> None:
        """Have what was stored started, by the relay."""

    async def drain(self) -> bool:
        """Wait until everything accepted has been handed to Temporal, or left to the sweeper; whether there was any."""
        return await self._relay.drain(self._flush)

    def _flush(self) -> bool:
        """Begin what waits to be started; whether there was any."""
        return False

    async def _keep(self, tenant: str, drafts: Sequence[Draft]) -> list[Stored | Exception]:
        """Store them with one statement, or with several where one of them spoils it, and have them started.

        For each its answer, or the error that is its own. Raises Unavailable where nothing was stored.
        """
        answers = await self._answers(tenant, drafts)
        self._start_stored(tenant, _good(drafts, answers))
        return answers

    async def _answers(self, tenant: str, drafts: Sequence[Draft]) -> list[Stored | Exception]:
        now = self._clock.now()
        return await store_apart(lambda some: self._store(tenant, some, now), drafts)

    async def _keep_one(self, tenant: str, draft: Draft) -> Stored:
        """Raises what `_keep` raises, and the error that is the answer."""
        (answer,) = await self._keep(tenant, [draft])
        if isinstance(answer, Exception):
            raise answer
        return answer


class SharedOutbox(Outbox[Draft, Stored], Generic[Asked, Draft, Stored]):
    """Calls of a tenant share a statement: those that come within a few milliseconds, or that would wait for one.

    A call that comes alone is stored at once: `linger` are the seconds that are worth waiting for company.
    """

    def __init__(
        self, clock: Clock, most: int, linger: Callable[[], float] | None = None, *, at_once: int | None = None
    ) -> None:
        """`most` calls share a statement, and `at_once` statements of a tenant are under way."""
        super().__init__(clock)
        self._calls: MicroBatcher[Asked, Stored] = MicroBatcher(
            self._serve, most, linger=linger or self._relay.linger, at_once=at_once, patience=PATIENCE
        )

    @abstractmethod
    async def _drafts(self, tenant: str, calls: Sequence[Asked]) -> Sequence[Draft]:
        """One for each call, with its ids and the workflow that it shares with others."""

    async def drain(self) -> bool:
        had_any = False
        while await self._calls.drain() | await super().drain():
            had_any = True
        return had_any

    async def _serve(self, tenant: str, calls: Sequence[Asked]) -> Sequence[Stored | Exception]:
        return await self._keep(tenant, await self._drafts(tenant, calls))


class GroupingOutbox(SharedOutbox[Asked, Draft, Stored], Generic[Asked, Draft, Stored, Group]):
    """Calls of a tenant share workflows where they are many (`starter.concurrency.windows`), and a statement only where
    they would wait for one.
    """

    def __init__(self, clock: Clock, most: int) -> None:
        """`most` calls share a statement."""
        super().__init__(clock, most, lambda: 0.0, at_once=STATEMENTS_AT_ONCE)
        self._windows: Windows[Group, tuple[Draft, Stored]] = Windows(
            lambda tenant: self._group(tenant, shared=True), self._start_stored, lambda: self._relay.is_busy
        )

    @abstractmethod
    def _group(self, tenant: str, *, shared: bool) -> Group:
        """What says which records share a workflow. `shared`: more of them will come than are known yet."""

    @abstractmethod
    async def _grouped(self, tenant: str, calls: Sequence[Asked], group: Group) -> Sequence[Draft]:
        """One for each call, with its ids and its workflow."""

    def _flush(self) -> bool:
        return self._windows.flush()

    async def _drafts(self, tenant: str, calls: Sequence[Asked]) -> Sequence[Draft]:
        return await self._grouped(tenant, calls, self._group(tenant, shared=False))

    async def _serve(self, tenant: str, calls: Sequence[Asked]) -> Sequence[Stored | Exception]:
        window = self._windows.join(tenant, len(calls))
        if window is None:
            return await super()._serve(tenant, calls)
        stored: list[tuple[Draft, Stored]] = []
        try:
            drafts = await self._grouped(tenant, calls, window.group)
            answers = await self._answers(tenant, drafts)
            stored += _good(drafts, answers)
        finally:
            self._windows.leave(tenant, window, stored)
        return answers


def _good(drafts: Sequence[Draft], answers: Sequence[Stored | Exception]) -> Iterator[tuple[Draft, Stored]]:
    """Those that were stored, with their answers."""
    for draft, answer in zip(drafts, answers, strict=True):
        if not isinstance(answer, Exception):
            yield draft, answer
