"""Starts of IngestEvents: soon after events were stored, and by the sweeper for what nobody has taken."""

from __future__ import annotations

import asyncio
from typing import Final

from hermod.contracts.analytics.events import IngestEventsInput
from hermod.contracts.errors import Unavailable
from hermod.contracts.ids import events_workflow, new_id
from hermod.contracts.notifications.delivery import SweepReport
from hermod.ports.clock import Clock
from hermod.storage.analytics.event_claims import SqlEventOutbox
from starter.concurrency.relay import Relay
from starter.housekeeping.sweep_table import EVENTS
from starter.temporal.starts import Start, Starts

CHANNEL: Final = "events"
PAUSE: Final = 0.25
"""Seconds between two starts for one tenant."""


class EventIngest:
    def __init__(self, starts: Starts, outbox: SqlEventOutbox, clock: Clock) -> None:
        self._starts = starts
        self._outbox = outbox
        self._clock = clock

    async def begin(self, tenant: str) -> bool:
        """Have the tenant's events inserted; False where Temporal is away, and the sweeper will do it.

        Call it after the commit. Where enough inserts are under way nothing is done: they look for more when they end.
        """
        try:
            if await self._outbox.is_crowded(tenant):
                return True
        except Unavailable:
            return False
        return await self._start(tenant, new_id("evb"))

    async def sweep(self) -> SweepReport:
        """Start inserts of what nobody has taken, one for each tenant, and those again whose workflow may be gone."""
        now, row = self._clock.now(), EVENTS
        waiting = await self._outbox.waiting(now, older_than=row.unstarted_after, limit=row.at_most)
        found = [(tenant, new_id("evb")) for tenant in waiting]
        for still in await self._outbox.still(now, older_than=row.stalled_after, limit=row.at_most):
            await self._outbox.touch(still, now)
            found.append((still.tenant, still.insert))
        return SweepReport(restarted=len(await row.wake(lambda one: self._start(*one), found)))

    async def _start(self, tenant: str, insert: str) -> bool:
        return await self._starts.begin(
            Start(
                name="IngestEvents",
                order=IngestEventsInput(tenant=tenant, batch=insert),
                workflow_id=events_workflow(tenant, insert),
                tenant=tenant,
                channel=CHANNEL,
                request_id=None,
                summary="events",
            )
        )


class Throttle:
    """A start at once where there was none lately, else one at the end of the pause, whoever asked in between."""

    def __init__(self, ingest: EventIngest, relay: Relay) -> None:
        self._ingest = ingest
        self._relay = relay
        self._asked: dict[str, bool] = {}
        """By tenants whose pause is not over: whether anybody asked in it."""
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def ask(self, tenant: str) -> None:
        if tenant in self._asked:
            self._asked[tenant] = True
        else:
            self._begin(tenant)

    def flush(self) -> bool:
        """Begin at once what waits for the end of a pause; whether there was any."""
        waiting = [tenant for tenant, asked in self._asked.items() if asked]
        for tenant in list(self._timers):
            self._timers.pop(tenant).cancel()
            self._over(tenant)
        return bool(waiting)

    def _begin(self, tenant: str) -> None:
        self._asked[tenant] = False
        self._relay.start(lambda: self._ingest.begin(tenant))
        self._timers[tenant] = asyncio.get_running_loop().call_later(PAUSE, self._over, tenant)

    def _over(self, tenant: str) -> None:
        self._timers.pop(tenant, None)
        if self._asked.pop(tenant):
            self._begin(tenant)
