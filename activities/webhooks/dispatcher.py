"""One dispatch of webhook deliveries, for one as for five hundred: intents, requests, outcomes.

An intent is committed before its request leaves, the outcome after, and what the outcomes say about the endpoint after
that. A request that a living worker still makes is left to it (docs/protocols.md). Outcomes are recorded as they come,
all that came while the last ones were written in one statement, so that a receiver that takes its time with one
delivery does not keep the others from being known.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from activities.dispatch.progress import FENCED_WAIT, DispatchProgress, WorkItem, due, leave_to_others
from activities.dispatch.recording import finish_despite_cancellation, record_on_shutdown, record_uninterrupted
from activities.notifications.account_sender import TaskScope
from activities.notifications.heartbeat_details import OutcomesNotPersisted, told_of
from activities.notifications.requests import BEGIN_WITHIN, OVERTIME
from activities.webhooks.bulkheads import Bulkhead, Bulkheads
from activities.webhooks.endpoint_sender import EndpointSender
from activities.webhooks.handoff import at_rest, by_endpoint, hand_off, in_trouble, is_waiter
from activities.webhooks.heartbeat_details import HeartbeatDetails
from activities.webhooks.transitions import INTERRUPTED, LOST, NOT_MADE, cancelled, parked, settled
from hermod.contracts.errors import Unavailable
from hermod.contracts.webhooks.deliveries import OPEN_DELIVERIES, DeliveryStatus
from hermod.domain.webhooks.endpoint_health import FOR_THE_ENDPOINT
from hermod.micro_batcher import MicroBatcher
from hermod.ports.clock import Clock
from hermod.ports.notifications.ledger import Ending, InFlight
from hermod.ports.notifications.limiter import Limiter
from hermod.ports.webhooks.ledger import (
    DeliveryItem,
    Endpoint,
    EndpointHealth,
    Endpoints,
    Exchange,
    Poster,
    Requests,
    WebhookChange,
    WebhookIntent,
    WebhookLedger,
    WebhookResult,
)
from hermod.ports.webhooks.lines import Waiters
from hermod.telemetry import ATTEMPT_SECONDS, ATTEMPTS, FINISHED, IN_FLIGHT, fault, get_logger

CHANNEL: Final = "webhook"

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookDependencies:
    """What a dispatch works with; the same for all dispatches of a worker."""

    ledger: WebhookLedger
    endpoints: Endpoints
    health: EndpointHealth
    poster: Poster
    requests: Requests
    limiter: Limiter
    waiters: Waiters
    bulkheads: Bulkheads = field(default_factory=Bulkheads)


@dataclass(slots=True, eq=False)
class _Job:
    """A granted request; `exchange` is None until it has come to its end, `result` until that was weighed."""

    item: DeliveryItem
    endpoint: Endpoint
    begin_by: float
    """In seconds of the monotonic clock: later it must not begin any more."""
    exchange: Exchange | None = None
    result: WebhookResult | None = None


class WebhookDispatcher:
    """`stopping` tells that no new request should begin; `superseded`, that another dispatch has the work."""

    def __init__(
        self,
        work: WorkItem,
        ways: WebhookDependencies,
        *,
        clock: Clock,
        stopping: Callable[[], bool],
        superseded: Callable[[], bool] = lambda: False,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._work = work
        self._ways = ways
        self._clock = clock
        self._stopping = stopping
        self._superseded = superseded
        self._chance = chance
        self._progress = DispatchProgress()
        self._away: list[_Job] = []
        """Granted, and not recorded yet."""
        self._recording = False
        self._items: dict[str, DeliveryItem] = {}
        self._fenced: set[str] = set()
        """Of what the ledger did not take a step: it has turned out to be in other hands."""
        self._recovered: set[str] = set()
        """Endpoints whose breaker a request has closed."""
        self._grants: MicroBatcher[Sequence[WebhookIntent], set[str]] = MicroBatcher(self._grant_all, at_once=1)

    async def run(self, carried: HeartbeatDetails) -> DispatchProgress:
        """Bring the deliveries as far as they can go now. Raises Unavailable, and OutcomesNotPersisted with what must
        be kept.
        """
        work, now = self._work, self._clock.now()
        items = await self._ways.ledger.open_items(work.tenant, work.owner, work.run, work.messages, now)
        self._items = {item.id: item for item in items}
        await self._settle_in_flight(items, carried)
        busy = leave_to_others(items, self._progress, self._clock.now())
        ready = self._ready([item for item in at_rest(items) if item.id not in self._fenced], busy=busy)
        several = len(by_endpoint(items)) > 1
        try:
            with closing(self._grants):
                async with TaskScope() as endpoints:
                    for endpoint, group in by_endpoint(ready).items():
                        endpoints.begin(self._send_to(endpoint, group, nonblocking=several))
        except asyncio.CancelledError:
            await self._last_words()
            raise
        except OutcomesNotPersisted as unrecorded:
            # Where it was cancelled as well, there are requests that nobody else tells of.
            known = {(one.delivery, one.number) for one in unrecorded.results}
            rest = [job for job in self._away if (job.item.id, job.item.attempts) not in known]
            raise OutcomesNotPersisted([*unrecorded.results, *map(self._result, rest)]) from None
        return await self._conclude(items)

    def _ready(self, free: Sequence[DeliveryItem], *, busy: bool) -> list[DeliveryItem]:
        waiter = is_waiter(self._work.owner)
        for item in free:
            if waiter and item.wait_reason in FOR_THE_ENDPOINT:
                # The waiter comes when the pause is over, or was ended early.
                item.next_attempt_at = None
        asked_now = not (busy or waiter or self._fenced)
        return sorted(due(free, self._clock.now(), asked_now=asked_now), key=lambda item: item.id)

    async def _settle_in_flight(self, items: Sequence[DeliveryItem], carried: HeartbeatDetails) -> None:
        """Requests that an earlier dispatch made and did not record: what it passed on, or that its worker was lost.

        One that another worker still makes is neither: it stays in flight.
        """
        ended: list[tuple[DeliveryItem, Exchange]] = []
        for item in items:
            if (asked := item.in_flight) is None:
                continue
            told = told_of(carried, item.id, item.attempts, asked)
            if told is not None or asked.lost:
                ended.append((item, told or LOST))
        if not ended:
            return
        now = self._clock.now()
        known: dict[str, Endpoint | None] = {}
        for endpoint in {item.endpoint_id for item, _ in ended}:
            known[endpoint] = await self._ways.endpoints.endpoint(self._work.tenant, endpoint)
        await self._record([self._settled(item, exchange, known[item.endpoint_id]) for item, exchange in ended])
        for endpoint, found in known.items():
            if found is not None:
                exchanges = [exchange for item, exchange in ended if item.endpoint_id == endpoint]
                await self._ways.health.note(found, exchanges, now)

    async def _send_to(self, endpoint: str, items: Sequence[DeliveryItem], *, nonblocking: bool) -> None:
        work, ways = self._work, self._ways
        async with ways.bulkheads.at(f"{work.tenant}/{endpoint}") as door:
            stream = EndpointSender(
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
                nonblocking=nonblocking,
            )
            changes = await stream.run()
        if changes:
            self._progress.reason = changes[0].wait_reason or self._progress.reason
            await self._change(changes)

    async def _change(self, changes: Sequence[WebhookChange]) -> None:
        taken = await self._ways.ledger.change(self._work.tenant, self._work.owner, changes, self._clock.now())
        for change in changes:
            if change.delivery not in taken:
                self._lose(self._items[change.delivery])

    async def _send_wave(
        self, endpoint: Endpoint, items: Sequence[DeliveryItem], under_way: TaskScope, door: Bulkhead
    ) -> None:
        """Commit the intents and begin the requests. A place is taken for each; they are given back one by one."""
        granted: list[_Job] = []
        ends_by = self._clock.now() + BEGIN_WITHIN + endpoint.timeout + 2 * OVERTIME
        try:
            begun = self._begin_attempts(endpoint, items, ends_by, granted)
            await finish_despite_cancellation(
                begun, lambda: [self._never_made(item, endpoint, ends_by) for item in items]
            )
        except BaseException:
            door.give_back(len(items))
            raise
        door.give_back(len(items) - len(granted))
        for job in granted:
            under_way.begin(self._request(job, door))

    async def _begin_attempts(
        self, endpoint: Endpoint, items: Sequence[DeliveryItem], ends_by: datetime, granted: list[_Job]
    ) -> None:
        """Commit the intents; what may be sent is added to `granted`, and is under way from then on.

        What is not granted was cancelled, or is in other hands: the next dispatch will see. Raises OutcomesNotPersisted
        where no answer came: the intents may be committed, and the requests are not made.
        """
        begin_by = time.monotonic() + BEGIN_WITHIN.total_seconds()
        intents = [WebhookIntent(delivery=item.id, number=item.attempts + 1, ends_by=ends_by) for item in items]
        try:
            allowed = await self._grants.ask(self._work.owner, intents)
        except Unavailable:
            raise OutcomesNotPersisted([self._never_made(item, endpoint, ends_by) for item in items]) from None
        for item in items:
            if item.id in allowed:
                _begin(item, ends_by)
                item.status, item.next_attempt_at, item.wait_reason = DeliveryStatus.SENDING, None, None
                granted.append(_Job(item, endpoint, begin_by))
            else:
                self._lose(item)
        self._away += granted

    async def _grant_all(self, owner: str, waves: Sequence[Sequence[WebhookIntent]]) -> list[set[str]]:
        """One statement for the waves that come together, and its answer for each of them."""
        intents = [intent for wave in waves for intent in wave]
        allowed = await self._ways.ledger.grant(self._work.tenant, owner, intents, self._clock.now())
        return [allowed] * len(waves)

    def _never_made(self, item: DeliveryItem, endpoint: Endpoint, ends_by: datetime) -> WebhookResult:
        _begin(item, ends_by)
        return self._settled(item, NOT_MADE, endpoint)

    def _lose(self, item: DeliveryItem) -> None:
        self._fenced.add(item.id)
        item.status, item.next_attempt_at = DeliveryStatus.RETRYING, self._clock.now() + FENCED_WAIT

    async def _request(self, job: _Job, door: Bulkhead) -> None:
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
        if time.monotonic() > job.begin_by:
            return NOT_MADE
        try:
            order = self._ways.requests(job.endpoint, job.item, job.item.attempts, self._clock.now())
            return await self._ways.poster.post(order)
        except Exception as error:  # noqa: BLE001 - whatever we do wrong, the request is accounted for
            names = {"tenant": self._work.tenant, "delivery_id": job.item.id, "endpoint": job.endpoint.id}
            _log.error("poster_failed", **names, **fault(error))
            return Exchange(outcome="protocol", error=f"the request failed on our side ({type(error).__name__})")

    async def _record_what_came(self) -> None:
        """One task at a time writes; what comes meanwhile it takes along with its next statement."""
        if self._recording:
            return
        self._recording = True
        try:
            while came := self._came():
                await self._record_jobs(came)
        except OutcomesNotPersisted:
            # What came meanwhile was left to this task, so it is handed on with what could not be recorded.
            raise OutcomesNotPersisted([self._result(job) for job in self._came()]) from None
        finally:
            self._recording = False

    def _came(self) -> list[_Job]:
        return [job for job in self._away if job.exchange is not None]

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
            endpoint = of_endpoint[0].endpoint
            if endpoint.pause_count and any(exchange.succeeded for exchange in exchanges):
                self._recovered.add(endpoint.id)
            await self._ways.health.note(endpoint, exchanges, self._clock.now())

    def _result(self, job: _Job) -> WebhookResult:
        if job.result is None:
            job.result = self._settled(job.item, job.exchange or INTERRUPTED, job.endpoint)
        return job.result

    def _settled(self, item: DeliveryItem, exchange: Exchange, endpoint: Endpoint | None) -> WebhookResult:
        ending, now = Ending("", exchange.outcome, exchange.status_code), self._clock.now()
        self._progress.note(ending, item.attempts, exchange.duration_ms, now, alone=self._work.is_alone)
        return settled(item, exchange, endpoint, now, self._chance())

    async def _record(self, results: Sequence[WebhookResult]) -> None:
        work = self._work
        moved = await record_uninterrupted(
            lambda: self._ways.ledger.record(work.tenant, work.run, results, self._clock.now()),
            results,
            stopping=self._stopping,
            superseded=self._superseded,
        )
        ended = [one.status for one in results if one.delivery in moved and one.status not in OPEN_DELIVERIES]
        for status, count in Counter(ended).items():
            FINISHED.labels(CHANNEL, status.value).inc(count)
        for result in results:
            if result.delivery not in moved:
                self._lose(self._items[result.delivery])

    async def _last_words(self) -> None:
        work, results = self._work, [self._result(job) for job in self._away]
        await record_on_shutdown(
            lambda: self._ways.ledger.record(work.tenant, work.run, results, self._clock.now()), results
        )

    async def _conclude(self, items: Sequence[DeliveryItem]) -> DispatchProgress:
        progress, work = self._progress, self._work
        endpoints = await self._endpoints_of(at_rest(items))
        await self._close(items, endpoints)
        await progress.count(work, items, OPEN_DELIVERIES, self._ways.ledger)
        if is_waiter(work.owner):
            # It looks again by itself; only for a request that somebody else makes it has to wait here.
            progress.open = [item for item in progress.open if item.id not in {one.id for one in at_rest(items)}]
            return progress
        await progress.load_history(work, items, self._ways.ledger)
        now = self._clock.now()
        for item in await hand_off(work, self._ways.ledger, items, progress, now, in_trouble(endpoints, now)):
            self._lose(item)
        for endpoint, deliveries in progress.with_waiter.items():
            await self._ways.waiters.wake(work.tenant, endpoint, deliveries)
        for endpoint in self._recovered:
            await self._ways.waiters.look_again(work.tenant, endpoint)
        return progress

    async def _endpoints_of(self, items: Sequence[DeliveryItem]) -> dict[str, Endpoint | None]:
        tenant, endpoints = self._work.tenant, self._ways.endpoints
        return {
            endpoint: await endpoints.endpoint(tenant, endpoint, max(item.endpoint_revision for item in group))
            for endpoint, group in by_endpoint(items).items()
        }

    async def _close(self, items: Sequence[DeliveryItem], endpoints: Mapping[str, Endpoint | None]) -> None:
        """What came to rest after its endpoint was disabled, or deleted, waits for nothing any more."""
        changes = []
        for item in at_rest(items):
            endpoint = endpoints[item.endpoint_id]
            if endpoint is None:
                changes.append(cancelled(item))
            elif not endpoint.enabled:
                changes.append(parked(item))
        await self._change(changes)


def _begin(item: DeliveryItem, ends_by: datetime) -> None:
    item.attempts, item.in_flight = item.attempts + 1, InFlight(ends_by=ends_by, lost=False)
