"""The deliveries of one endpoint on their way: as many at once as it takes, as fast as its rate lets them go.

Before each request leaves, the endpoint is looked at as it is by then (at most a second old, and
never older than when its deliveries were read): disabled, paused by its
receiver, resting behind its breaker, or slowed down. What cannot go now is held back, and has spent nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from activities.notifications.account_sender import TaskScope
from activities.webhooks.bulkheads import TURN, Bulkhead, BulkheadFull
from activities.webhooks.transitions import cancelled, parked, waits
from hermod.domain.webhooks.endpoint_health import FAILING, PAUSED, RESTING, is_half_open, is_paused
from hermod.ports.clock import Clock
from hermod.ports.notifications.limiter import Limiter, ReserveRequest
from hermod.ports.webhooks.ledger import DeliveryItem, Endpoint, EndpointHealth, Endpoints, WebhookChange

NAP: Final = 1.0
"""Seconds that a dispatch sleeps at the most before it looks at the endpoint again."""
SHORTEST_NAP: Final = 0.02
GATHER: Final = 0.01
"""Seconds between two waves: what has ended by then is followed by as many, with one statement for all of them."""
LONGEST: Final = timedelta(minutes=10)
"""A dispatch ends after so long, and the next one goes on: an activity has its time-out."""
BRIEFLY: Final = timedelta(seconds=5)
"""So long a dispatch to several endpoints begins requests to one of them."""
SPREAD: Final = 0.1
"""Of a pause, but not more than `MOST_SPREAD`: those who wait for the same moment do not come back in the same one."""
MOST_SPREAD: Final = timedelta(seconds=30)
BUSY: Final = "as many requests are under way as the endpoint takes"
RATE: Final = "the endpoint's rate is used up"


@dataclass(frozen=True, slots=True)
class Deferred:
    """Nothing may go now: why, and for how long."""

    reason: str
    wait: timedelta


class EndpointSender:
    """`send` makes the requests of a wave, each in a task of its own, and returns when all have been begun.

    `nonblocking`: nothing is waited for but the stream's own requests and, briefly, a slot of the lane, since others
    wait for it to end.
    """

    def __init__(
        self,
        tenant: str,
        endpoint: str,
        items: Sequence[DeliveryItem],
        door: Bulkhead,
        *,
        endpoints: Endpoints,
        health: EndpointHealth,
        limiter: Limiter,
        send: Callable[[Endpoint, Sequence[DeliveryItem], TaskScope, Bulkhead], Awaitable[None]],
        clock: Clock,
        stopping: Callable[[], bool],
        chance: Callable[[], float],
        nonblocking: bool = False,
    ) -> None:
        self.rest = list(items)
        """Deliveries for which no request was made."""
        self._tenant = tenant
        self._endpoint = endpoint
        self._revision = max((item.endpoint_revision for item in items), default=0)
        self._door = door
        self._endpoints = endpoints
        self._health = health
        self._limiter = limiter
        self._send = send
        self._clock = clock
        self._stopping = stopping
        self._chance = chance
        self._briefly = nonblocking
        self._turn_ends: float | None = None

    async def run(self) -> list[WebhookChange]:
        """Send what can go now. Returns what becomes of the rest; empty where it has just not been come to."""
        async with TaskScope() as requests:
            return await self._send_on(requests)

    async def _send_on(self, requests: TaskScope) -> list[WebhookChange]:
        crowded = self._door.is_overrun
        ends_at = self._clock.now() + (BRIEFLY if self._briefly else LONGEST)
        while self.rest and not (requests.errors or self._stopping() or self._clock.now() > ends_at):
            endpoint = await self._endpoints.endpoint(self._tenant, self._endpoint, self._revision)
            if endpoint is None:
                return [cancelled(item) for item in self.rest]
            if not endpoint.enabled:
                return [parked(item) for item in self.rest]
            if crowded:
                wait = self._door.crowded(self._door.bounded(endpoint.concurrency)).wait
                return self._hold_back(Deferred(BUSY, timedelta(seconds=wait)))
            held = await self._step(endpoint, requests)
            if held is not None and not requests.any:
                return self._hold_back(held)
            if held is not None:
                await requests.one_ends()
        return []

    async def _step(self, endpoint: Endpoint, requests: TaskScope) -> Deferred | None:
        """One wave, or a short rest; what stands in the way of more."""
        now = self._clock.now()
        if is_paused(endpoint.paused_until, now):
            return self._paused(endpoint, now)
        probe = is_half_open(endpoint.paused_until, endpoint.pause_reason, now)
        try:
            bulkheads = await self._bulkheads(1 if probe else len(self.rest), endpoint, requests)
        except BulkheadFull as crowded:
            return Deferred(BUSY, timedelta(seconds=crowded.wait))
        if not bulkheads:
            await requests.one_ends()
            await asyncio.sleep(GATHER)
            return None
        try:
            if not await self._still_goes(endpoint):
                self._door.give_back(bulkheads)
                return None
            if probe and not await self._health.claim_probe(endpoint, now):
                self._door.give_back(bulkheads)
                return Deferred(RESTING, endpoint.timeout * (1 + self._chance()))
            tokens, wait = await self._tokens(bulkheads, endpoint)
        except BaseException:
            self._door.give_back(bulkheads)
            raise
        self._door.give_back(bulkheads - tokens)
        if not tokens:
            return await self._rest(wait, endpoint)
        wave, self.rest = self.rest[:tokens], self.rest[tokens:]
        await self._send(endpoint, wave, requests, self._door)
        return None

    async def _bulkheads(self, most: int, endpoint: Endpoint, requests: TaskScope) -> int:
        """Places at the door, and as many slots; none where only our own requests make room. Raises BulkheadFull."""
        over = self._turn_ends is None or time.monotonic() > self._turn_ends
        limit = self._door.bounded(endpoint.concurrency)
        taken = self._door.take(most, limit, turn_is_over=over)
        if taken:
            self._turn_ends = self._turn_ends or time.monotonic() + TURN
        elif not (requests.any or self._briefly):
            await self._door.wait(limit)
            self._turn_ends, taken = time.monotonic() + TURN, 1
        if taken:
            taken = await self._slots(taken, requests)
        if not taken and self._briefly and not requests.any:
            raise BulkheadFull(0.0)
        return taken

    async def _slots(self, places: int, requests: TaskScope) -> int:
        """Slots of the lane for places at the door: they are short for a moment only, and no fault of the endpoint."""
        try:
            async with asyncio.timeout(BRIEFLY.total_seconds() if self._briefly else None):
                return await self._door.enter(places, waits=not requests.any)
        except TimeoutError:
            return 0

    async def _still_goes(self, endpoint: Endpoint) -> bool:
        """Whether nothing has come in the way while a place or a slot was waited for."""
        now = await self._endpoints.endpoint(self._tenant, self._endpoint, self._revision)
        return not self._stopping() and now is not None and now.enabled and now.paused_until == endpoint.paused_until

    async def _tokens(self, most: int, endpoint: Endpoint) -> tuple[int, float]:
        """How many requests the endpoint's rate lets go now, and after how many seconds it is worth asking again."""
        rate = endpoint.rate_per_second
        if rate is None:
            return most, 0.0
        bucket = f"endpoint/{self._tenant}/{self._endpoint}"
        ask = ReserveRequest(bucket=bucket, rate=rate, tenant=None, weight=1.0, most=most, wanted=len(self.rest))
        got = await self._limiter.reserve(ask, self._clock.now())
        return got.tokens, max(got.wait, SHORTEST_NAP)

    async def _rest(self, seconds: float, endpoint: Endpoint) -> Deferred | None:
        """Sleep until the rate has something again, where that is soon and few others sleep here."""
        if self._briefly or seconds > NAP or self._door.is_full:
            spacing = 1 / (endpoint.rate_per_second or 1.0)
            return Deferred(RATE, timedelta(seconds=max(seconds, self._door.appointment(spacing))))
        async with self._door.rests():
            await asyncio.sleep(seconds)
        return None

    def _paused(self, endpoint: Endpoint, now: datetime) -> Deferred:
        pause = (endpoint.paused_until or now) - now
        reason = RESTING if endpoint.pause_reason == FAILING else PAUSED
        return Deferred(reason, pause + min(pause * SPREAD, MOST_SPREAD) * self._chance())

    def _hold_back(self, held: Deferred) -> list[WebhookChange]:
        now = self._clock.now()
        return [waits(item, held.reason, held.wait, now) for item in self.rest]
