"""One dispatch of webhook deliveries, for one as for five hundred: intents, requests, outcomes.

An intent is committed before its request leaves, the outcome after, and what the outcomes say about the endpoint after
that. Outcomes are recorded as they come, all that came while the last ones were written in one statement, so that a
receiver that takes its time with one delivery does not keep the others from being known.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from activities.delivery.progress import Progress, Work, due
from activities.delivery.recording import record_in_the_end, record_last_words
from activities.delivery.stream import UnderWay
from activities.webhook_delivery.carried import Carried
from activities.webhook_delivery.places import Door, Places
from activities.webhook_delivery.settling import INTERRUPTED, LOST, settled
from activities.webhook_delivery.stream import EndpointStream
from activities.webhook_delivery.together import Together
from hermod.contracts.delivery import Apart
from hermod.contracts.webhooks import OPEN_DELIVERIES, DeliveryStatus
from hermod.ports.clock import Clock
from hermod.ports.limiter import Limiter
from hermod.ports.webhooks import (
    DeliveryItem,
    Endpoint,
    EndpointHealth,
    Endpoints,
    Exchange,
    Poster,
    Requests,
    WebhookIntent,
    WebhookLedger,
    WebhookResult,
)
from hermod.telemetry import ATTEMPT_SECONDS, ATTEMPTS, FINISHED, IN_FLIGHT, get_logger

CHANNEL: Final = "webhook"
FENCED_WAIT: Final = timedelta(seconds=2)

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ways:
    """What a dispatch works with; the same for all dispatches of a worker."""

    ledger: WebhookLedger
    endpoints: Endpoints
    health: EndpointHealth
    poster: Poster
    requests: Requests
    limiter: Limiter
    places: Places = field(default_factory=Places)


@dataclass(slots=True, eq=False)
class _Job:
    """A granted request; `exchange` is None until it has come to its end, `result` until that was weighed."""

    item: DeliveryItem
    endpoint: Endpoint
    exchange: Exchange | None = None
    result: WebhookResult | None = None


class WebhookDispatch:
    """`stopping` tells that this worker is being shut down, so that no new request should begin."""

    def __init__(
        self,
        work: Work,
        ways: Ways,
        *,
        clock: Clock,
        stopping: Callable[[], bool],
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._work = work
        self._ways = ways
        self._clock = clock
        self._stopping = stopping
        self._chance = chance
        self._progress = Progress()
        self._away: list[_Job] = []
        """Granted, and not recorded yet."""
        self._recording = False
        self._grants: Together[Sequence[DeliveryItem], set[str]] = Together(self._grant_all)

    async def run(self, carried: Carried) -> Progress:
        """Bring the deliveries as far as they can go now. Raises Unavailable, and Unrecorded with what must be kept."""
        work, now = self._work, self._clock.now()
        items = await self._ways.ledger.open_items(work.tenant, work.owner, work.run, work.messages, now)
        await self._settle_in_flight([item for item in items if item.in_flight], carried)
        ready = due([item for item in items if item.status in OPEN_DELIVERIES], self._clock.now())
        several = len(_by_endpoint(items)) > 1
        try:
            async with UnderWay() as endpoints:
                for endpoint, group in _by_endpoint(ready).items():
                    endpoints.begin(self._send_to(endpoint, group, briefly=several))
        except asyncio.CancelledError:
            await self._last_words()
            raise
        return await self._conclude(items)

    async def _settle_in_flight(self, items: Sequence[DeliveryItem], carried: Carried) -> None:
        """Requests that an earlier dispatch made and did not record: what it passed on, or that its worker was lost."""
        if not items:
            return
        now = self._clock.now()
        known: dict[str, Endpoint | None] = {}
        for endpoint in {item.endpoint_id for item in items}:
            known[endpoint] = await self._ways.endpoints.endpoint(self._work.tenant, endpoint)
        exchanges = [carried.get((item.id, item.attempts), LOST) for item in items]
        await self._record(
            [
                self._settled(item, exchange, known[item.endpoint_id])
                for item, exchange in zip(items, exchanges, strict=True)
            ]
        )
        for endpoint, found in known.items():
            told = [exchange for item, exchange in zip(items, exchanges, strict=True) if item.endpoint_id == endpoint]
            if found is not None:
                await self._ways.health.note(found, told, now)

    async def _send_to(self, endpoint: str, items: Sequence[DeliveryItem], *, briefly: bool) -> None:
        work, ways = self._work, self._ways
        async with ways.places.at(f"{work.tenant}/{endpoint}") as door:
            stream = EndpointStream(
                work.tenant,
                endpoint,
                items,
                door,
                endpoints=ways.endpoints,
                health=ways.health,
                limiter=ways.limiter,
                send=self._send_wave,
                clock=self._clock,
                stopping=self._stopping,
                chance=self._chance,
                briefly=briefly,
            )
            changes = await stream.run()
        if changes:
            self._progress.reason = changes[0].wait_reason or self._progress.reason
            await ways.ledger.change(work.tenant, work.owner, changes, self._clock.now())

    async def _send_wave(
        self, endpoint: Endpoint, items: Sequence[DeliveryItem], under_way: UnderWay, door: Door
    ) -> None:
        """Commit the intents and begin the requests. A place is taken for each; they are given back one by one."""
        try:
            granted = await self._grant(items)
        except BaseException:
            door.give_back(len(items))
            raise
        door.give_back(len(items) - len(granted))
        for item in granted:
            job = _Job(item, endpoint)
            self._away.append(job)
            under_way.begin(self._request(job, door))

    async def _grant(self, items: Sequence[DeliveryItem]) -> list[DeliveryItem]:
        """What is not granted was cancelled, or is in other hands: the next dispatch will see."""
        allowed = await self._grants.ask(items)
        now = self._clock.now()
        for item in items:
            if item.id in allowed:
                item.attempts += 1
                item.status, item.next_attempt_at, item.wait_reason = DeliveryStatus.SENDING, None, None
            else:
                item.status, item.next_attempt_at = DeliveryStatus.RETRYING, now + FENCED_WAIT
        return [item for item in items if item.id in allowed]

    async def _grant_all(self, waves: Sequence[Sequence[DeliveryItem]]) -> set[str]:
        work = self._work
        intents = [WebhookIntent(delivery=item.id, number=item.attempts + 1) for items in waves for item in items]
        return await self._ways.ledger.grant(work.tenant, work.owner, intents, self._clock.now())

    async def _request(self, job: _Job, door: Door) -> None:
        begun = time.perf_counter()
        IN_FLIGHT.inc()
        try:
            job.exchange = await self._exchange(job)
        finally:
            IN_FLIGHT.dec()
            door.give_back(1, seconds=time.perf_counter() - begun)
        ATTEMPTS.labels(CHANNEL, CHANNEL, job.exchange.outcome).inc()
        ATTEMPT_SECONDS.labels(CHANNEL).observe(job.exchange.duration_ms / 1000)
        await self._record_what_came()

    async def _exchange(self, job: _Job) -> Exchange:
        try:
            order = self._ways.requests(job.endpoint, job.item, job.item.attempts, self._clock.now())
            return await self._ways.poster.post(order)
        except Exception as error:  # noqa: BLE001 - whatever we do wrong, the request is accounted for
            names = {"tenant": self._work.tenant, "delivery_id": job.item.id, "endpoint": job.endpoint.id}
            _log.error("poster_failed", exc_info=error, **names)
            return Exchange(outcome="protocol", error=f"the request failed on our side ({type(error).__name__})")

    async def _record_what_came(self) -> None:
        """One task at a time writes; what comes meanwhile it takes along with its next statement."""
        if self._recording:
            return
        self._recording = True
        try:
            while came := [job for job in self._away if job.exchange is not None]:
                await self._record_jobs(came)
        finally:
            self._recording = False

    async def _record_jobs(self, jobs: Sequence[_Job]) -> None:
        await self._record([self._result(job) for job in jobs])
        recorded = {id(job) for job in jobs}
        self._away = [job for job in self._away if id(job) not in recorded]
        # Only what is recorded counts: recording hands its outcomes on when the database is away.
        told: dict[str, list[_Job]] = {}
        for job in jobs:
            told.setdefault(job.endpoint.id, []).append(job)
        for of_endpoint in told.values():
            exchanges = [job.exchange for job in of_endpoint if job.exchange is not None]
            await self._ways.health.note(of_endpoint[0].endpoint, exchanges, self._clock.now())

    def _result(self, job: _Job) -> WebhookResult:
        if job.result is None:
            job.result = self._settled(job.item, job.exchange or INTERRUPTED, job.endpoint)
        return job.result

    def _settled(self, item: DeliveryItem, exchange: Exchange, endpoint: Endpoint | None) -> WebhookResult:
        if not exchange.succeeded:
            self._progress.reason = " ".join(str(part) for part in (exchange.outcome, exchange.status_code) if part)
        return settled(item, exchange, endpoint, self._clock.now(), self._chance())

    async def _record(self, results: Sequence[WebhookResult]) -> None:
        work = self._work
        await record_in_the_end(
            lambda: self._ways.ledger.record(work.tenant, work.run, results, self._clock.now()), results, self._stopping
        )
        for status, count in Counter(one.status for one in results if one.status not in OPEN_DELIVERIES).items():
            FINISHED.labels(CHANNEL, status.value).inc(count)

    async def _last_words(self) -> None:
        results = [self._result(job) for job in self._away]
        if results:
            work = self._work
            record = self._ways.ledger.record(work.tenant, work.run, results, self._clock.now())
            await record_last_words(record, len(results))

    async def _conclude(self, items: Sequence[DeliveryItem]) -> Progress:
        progress = self._progress
        still_open = [item for item in items if item.status in OPEN_DELIVERIES]
        if len(_by_endpoint(items)) > 1:
            now = self._clock.now()
            progress.apart = tuple(
                _apart(endpoint, group, now) for endpoint, group in sorted(_by_endpoint(still_open).items())
            )
        else:
            progress.open = list(still_open)
        if len(self._work.messages) == 1 and items:
            progress.request_id = items[0].request_id
        if len(items) == len(self._work.messages):
            progress.ended.update(item.status for item in items if item.status not in OPEN_DELIVERIES)
        else:
            counted = await self._ways.ledger.counts(self._work.tenant, self._work.messages)
            progress.ended.update({status: count for status, count in counted.items() if status not in OPEN_DELIVERIES})
        return progress


def _by_endpoint(items: Sequence[DeliveryItem]) -> dict[str, list[DeliveryItem]]:
    groups: dict[str, list[DeliveryItem]] = {}
    for item in items:
        groups.setdefault(item.endpoint_id, []).append(item)
    return groups


def _apart(endpoint: str, items: Sequence[DeliveryItem], now: datetime) -> Apart:
    due_at = min(item.next_attempt_at or now for item in items)
    return Apart(endpoint=endpoint, due_at=due_at, deliveries=tuple(item.id for item in items))
