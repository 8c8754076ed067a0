"""The transactional outbox: what is accepted is stored, which is the answer, and has its workflow started after that.

Accepted means durable. An answer waits for the database, never for Temporal: starts are made in the background, and
what could not be started, since Temporal or the process was away, is found by the sweeper
(`starter.housekeeping.sweep_table`). A kind of record says how it is stored, how it is grouped, and how it is started.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Generic, TypeVar

from hermod.micro_batcher import MicroBatcher
from hermod.ports.clock import Clock
from hermod.storage.database.apart import store_apart
from starter.concurrency.relay import Relay

Asked = TypeVar("Asked")
Draft = TypeVar("Draft")
Stored = TypeVar("Stored")


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
        now = self._clock.now()
        answers = await store_apart(lambda some: self._store(tenant, some, now), drafts)
        pairs = zip(drafts, answers, strict=True)
        self._start_stored(tenant, ((draft, one) for draft, one in pairs if not isinstance(one, Exception)))
        return answers

    async def _keep_one(self, tenant: str, draft: Draft) -> Stored:
        """Raises what `_keep` raises, and the error that is the answer."""
        (answer,) = await self._keep(tenant, [draft])
        if isinstance(answer, Exception):
            raise answer
        return answer


class SharedOutbox(Outbox[Draft, Stored], Generic[Asked, Draft, Stored]):
    """Calls of a tenant that come within a few milliseconds share a statement, and what they are grouped into.

    A call that comes alone is stored at once: `linger` are the seconds that are worth waiting for company.
    """

    def __init__(self, clock: Clock, most: int, linger: Callable[[], float] | None = None) -> None:
        """`most` calls share a statement."""
        super().__init__(clock)
        self._calls: MicroBatcher[Asked, Stored] = MicroBatcher(self._serve, most, linger=linger or self._relay.linger)

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
