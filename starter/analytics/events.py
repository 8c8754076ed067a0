"""Events for analytics: checked one by one, stored many at a time, and soon in ClickHouse.

An answer waits for PostgreSQL, never for Temporal or ClickHouse. Calls that come within a few milliseconds share an
insert; the pauses between the starts of IngestEvents let more events share a workflow and its inserts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from temporalio.client import Client

from hermod.bootstrap import Storage
from hermod.contracts.analytics.events import EventsReceipt, RejectedEvent
from hermod.contracts.errors import FieldError, InvalidInput
from hermod.ports.clock import Clock
from hermod.storage.analytics.event_outbox import EventLine
from hermod.telemetry import EVENTS
from starter.analytics.ingest import EventIngest, Throttle
from starter.analytics.validation import validate
from starter.concurrency.outbox import SharedOutbox
from starter.concurrency.relay import LINGER
from starter.temporal.starts import Starts

SLICE: Final = 500
"""Events checked at a stretch, some milliseconds; then other calls have their turn."""
MOST_CALLS: Final = 1_000
"""In one insert, each of SMALL events at the most."""
SMALL: Final = 50
"""Calls with more events have an insert of their own."""
FREE_STORES: Final = 2
"""As long as fewer inserts into PostgreSQL are under way, nobody waits for company."""
_ACCEPTED: Final = EVENTS.labels("accepted")
_DUPLICATE: Final = EVENTS.labels("duplicate")
_REJECTED: Final = EVENTS.labels("rejected")


class Events(SharedOutbox[Sequence[EventLine], Sequence[EventLine], int]):
    """What the events of all tenants of one process share. The answer to a call is how many of its events are new."""

    def __init__(self, client: Client, storage: Storage, clock: Clock) -> None:
        super().__init__(clock, MOST_CALLS, lambda: LINGER if self._storing >= FREE_STORES else 0.0)
        self._acceptance = storage.event_acceptance
        self._storing = 0
        ingest = EventIngest(Starts(client, storage.limits), storage.event_outbox, clock)
        self._throttle = Throttle(ingest, self._relay)

    async def take(self, tenant: str, given: Sequence[object]) -> EventsReceipt:
        """Check and store events: `TrackedEvent`s, or what should become some.

        Raises Unavailable, with none stored, and MaybeStored.
        """
        now = self._clock.now()
        good: list[EventLine] = []
        rejected: list[RejectedEvent] = []
        for at in range(0, len(given), SLICE):
            if at:
                await asyncio.sleep(0)
            sifted = validate(tenant, given[at : at + SLICE], at, now)
            good += sifted.good
            rejected += sifted.rejected
        new = await self._stored(tenant, good) if good else 0
        _ACCEPTED.inc(new)
        if new < len(given):
            _DUPLICATE.inc(len(good) - new)
            _REJECTED.inc(len(rejected))
        return EventsReceipt(accepted=len(good), duplicates=len(good) - new, rejected=tuple(rejected))

    def look(self, tenant: str) -> None:
        """Have the tenant's stored events inserted soon. Call it after a commit that `event_outbox.add` was part of."""
        self._throttle.ask(tenant)

    def _flush(self) -> bool:
        return self._throttle.flush()

    async def _stored(self, tenant: str, lines: Sequence[EventLine]) -> int:
        """How many of them are new."""
        if len(lines) <= SMALL:
            return await self._calls.ask(tenant, lines)
        return await self._keep_one(tenant, lines)

    async def _drafts(self, tenant: str, calls: Sequence[Sequence[EventLine]]) -> Sequence[Sequence[EventLine]]:
        return calls

    async def _store(self, tenant: str, drafts: Sequence[Sequence[EventLine]], now: datetime) -> list[int]:
        self._storing += 1
        try:
            added = iter(await self._acceptance.take(tenant, [line for lines in drafts for line in lines], now))
        finally:
            self._storing -= 1
        return [sum(next(added) for _ in lines) for lines in drafts]

    def _start_stored(self, tenant: str, stored: Iterable[tuple[Sequence[EventLine], int]]) -> None:
        self.look(tenant)


def taken_alone(receipt: EventsReceipt) -> EventsReceipt:
    """The receipt of one event. Raises InvalidInput where it was rejected."""
    for rejected in receipt.rejected:
        raise InvalidInput([FieldError(**error) for error in rejected.errors])
    return receipt
