"""Waves of requests: a bounded number under way at once, every one accounted for whatever happens to the worker."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, cast

from hermod.contracts.notifications.outcomes import AnyOutcome, MessageRejected, OutcomeUnknown, Transient
from hermod.contracts.tenants.accounts import Account
from hermod.ports.deadline import deadline_of
from hermod.ports.notifications.ledger import Item
from hermod.ports.notifications.sender import BatchSender, Outgoing, Sender
from hermod.telemetry import ATTEMPT_SECONDS, ATTEMPTS, IN_FLIGHT, fault, get_logger

CONCURRENCY: Final = 32
"""Requests under way at once for one account in one dispatch."""

FIRST_WAVE: Final = 20
"""A batch begins small, so that a halted account costs twenty requests and not five hundred."""

SAFE_WAVE: Final = 250
DOUBTFUL_WAVE: Final = 50
"""How many requests a dying worker may leave in doubt: more where the provider recognises a repeat."""

SENT_BY_SLOT: Final = 8
"""Requests of a wave that follow each other in one of its slots: more would have to wait too long after their intents
were committed, and others for the slot; fewer would cost a statement for a few."""

BEGIN_WITHIN: Final = timedelta(seconds=15)
"""After its intent was committed a request begins within so long, or not at all: from then on it can be told when it
has ended, whatever becomes of its worker (`ends_by`)."""
OVERTIME: Final = timedelta(seconds=5)
"""So long after its deadline an adapter that does not keep to it is cut off."""

SHARED_AT_ONCE: Final = 2
"""Requests of several messages each that are under way at once in one dispatch."""

NOT_STARTED: Final = Transient(error_code="not_started", error="the request was not made after all")

_log = get_logger(__name__)


@dataclass(slots=True)
class SendJob:
    """One granted request. `outcome` is None until it is known; `started` tells whether a byte may have left."""

    item: Item
    account: Account
    sender: Sender
    outgoing: Outgoing
    reason: str
    """Why this account."""
    shared: bool = False
    """It goes out in one request with others, so that a repeat of it would be another request."""
    refused_together: bool = False
    """The request was refused as a whole, so that nobody knows which of its messages was meant."""
    outcome: AnyOutcome | None = None
    started: bool = False
    begin_by: float = math.inf
    """In seconds of the monotonic clock: later it must not begin any more."""
    ends_by: datetime | None = None
    """Of its grant."""
    duration_ms: int = 0

    def settled(self) -> AnyOutcome:
        """The outcome, also for a request that was interrupted."""
        if self.outcome is not None:
            return self.outcome
        if self.started:
            return OutcomeUnknown(error_code="interrupted", error="the worker stopped while the request was on its way")
        return NOT_STARTED


def is_batchable(job: SendJob) -> bool:
    """Whether this message may go out with others. A repeat goes alone, where its own key or refusal counts."""
    if job.sender.capability.max_batch <= 1 or job.item.attempts:
        return False
    try:
        return cast(BatchSender, job.sender).batchable(job.outgoing.content)
    except Exception as error:  # noqa: BLE001 - alone, whatever it is, it is this message's
        _log.error("content_not_weighed", message_id=job.item.id, account=job.account.name, **fault(error))
        return False


def share(jobs: Sequence[SendJob]) -> None:
    """Decide which of the jobs of a wave share a request, before their intents are committed."""
    together = [job for job in jobs if is_batchable(job)]
    for job in together:
        job.shared = len(together) > 1


def group_into_requests(jobs: Sequence[SendJob]) -> list[list[SendJob]]:
    """The jobs request by request: those that can go together, as many as the provider takes, and the others alone."""
    together: list[SendJob] = []
    requests: list[list[SendJob]] = []
    for job in jobs:
        if is_batchable(job):
            together.append(job)
        else:
            requests.append([job])
    return _chunks(together) + requests


def wave_sizes(safe: bool, most: int = 1) -> Iterator[int]:
    """Twenty, then four times as many each, up to what may be left in doubt.

    `most`: messages in one request. A wave holds at least one request's, and no more than go at once.
    """
    largest = SAFE_WAVE if safe else DOUBTFUL_WAVE
    size = min(FIRST_WAVE, largest)
    if most > 1:
        size, largest = most, most * SHARED_AT_ONCE
    while True:
        yield size
        size = min(size * 4, largest)


def ends_by(sender: Sender, now: datetime) -> datetime:
    """When a request whose intent is committed now has ended, at the latest, on whichever clock `now` is read."""
    return now + BEGIN_WITHIN + sender.capability.deadline + 2 * OVERTIME


def slots_for(jobs: Sequence[SendJob]) -> int:
    """How many requests these jobs, which are all batchable or all not, may have under way at once."""
    if is_batchable(jobs[0]):
        return min(SHARED_AT_ONCE, math.ceil(len(jobs) / jobs[0].sender.capability.max_batch))
    return min(CONCURRENCY, len(jobs))


def jobs_for(slots: int, job: SendJob) -> int:
    """How many jobs like this one a wave with so many slots may have."""
    return slots * (job.sender.capability.max_batch if is_batchable(job) else SENT_BY_SLOT)


async def send_all(jobs: Sequence[SendJob], stopping: Callable[[], bool], at_once: int = CONCURRENCY) -> None:
    """Make the requests and note their outcomes in the jobs. Cancellation passes through; the jobs stay as they are,
    and so do those that were not come to before the worker was told to stop, or their time was over.
    """
    IN_FLIGHT.inc(len(jobs))
    try:
        if len(jobs) == 1 and not jobs[0].shared:
            await _work(iter([jobs]), stopping)
            return
        requests = _chunks([job for job in jobs if job.shared]) + [[job] for job in jobs if not job.shared]
        queue = iter(requests)
        async with asyncio.TaskGroup() as group:
            for _ in range(min(at_once, len(requests))):
                group.create_task(_work(queue, stopping))
    finally:
        IN_FLIGHT.dec(len(jobs))
        _measure(jobs)


def _chunks(jobs: Sequence[SendJob]) -> list[list[SendJob]]:
    size = jobs[0].sender.capability.max_batch if jobs else 1
    return [list(jobs[at : at + size]) for at in range(0, len(jobs), size)]


async def _work(queue: Iterator[Sequence[SendJob]], stopping: Callable[[], bool]) -> None:
    """Make one request after another, until none is left."""
    jobs = next(queue, None)
    while jobs is not None:
        try:
            # One limit for many requests: a timer for each would cost more than all else that is ours of a request.
            async with _cut_off(jobs[0]) as limit:
                while jobs is not None:
                    if _may_begin(jobs[0], stopping):
                        limit.restart()
                        await (_send_together(jobs) if jobs[0].shared else _send(jobs[0]))
                    jobs = next(queue, None)
        except TimeoutError as error:
            assert jobs is not None  # noqa: S101 - the limit strikes in the middle of a request
            for job in jobs:
                job.outcome = _mistake(job, error)
            jobs = next(queue, None)


def _may_begin(job: SendJob, stopping: Callable[[], bool]) -> bool:
    return not stopping() and time.monotonic() < job.begin_by


def _cut_off(job: SendJob) -> deadline_of:
    return deadline_of(job.sender.capability.deadline.total_seconds(), overtime=OVERTIME.total_seconds())


async def _send(job: SendJob) -> None:
    begun = time.perf_counter()
    job.started = True
    try:
        job.outcome = await job.sender.send(job.outgoing)
    except Exception as error:  # noqa: BLE001 - whatever an adapter does wrong, the request is accounted for
        job.outcome = _mistake(job, error)
    finally:
        job.duration_ms = round((time.perf_counter() - begun) * 1000)


async def _send_together(jobs: Sequence[SendJob]) -> None:
    begun = time.perf_counter()
    for job in jobs:
        job.started = True
    try:
        outcomes = await cast(BatchSender, jobs[0].sender).send_batch([job.outgoing for job in jobs])
        for job, outcome in zip(jobs, outcomes, strict=True):
            job.outcome = outcome
    except Exception as error:  # noqa: BLE001
        for job in jobs:
            job.outcome = _mistake(job, error)
    finally:
        took = round((time.perf_counter() - begun) * 1000)
        refused = len(jobs) > 1 and len({_refusal(job) for job in jobs}) == 1 and _refusal(jobs[0]) is not None
        for job in jobs:
            job.duration_ms = took
            job.refused_together = refused


def _refusal(job: SendJob) -> tuple[int | None, str | None, str | None] | None:
    """What a provider said that refused the content, or None."""
    outcome = job.outcome
    if isinstance(outcome, MessageRejected):
        return outcome.status_code, outcome.error_code, outcome.error
    return None


def _mistake(job: SendJob, error: Exception) -> OutcomeUnknown:
    """An adapter's own. Whether the request left is not known, so nobody may say that it did not."""
    names = {"provider": job.account.provider, "message_id": job.item.id, "tenant": job.account.tenant}
    _log.error("adapter_failed", **names, **fault(error))
    return OutcomeUnknown(error_code="adapter_error", error=f"the adapter failed: {type(error).__name__}")


def _measure(jobs: Sequence[SendJob]) -> None:
    """Metrics of a wave, which is of one account."""
    if not jobs:
        return
    channel, provider = jobs[0].item.channel.value, jobs[0].account.provider
    seconds = ATTEMPT_SECONDS.labels(provider)
    for job in jobs:
        seconds.observe(job.duration_ms / 1000)
    for kind, count in Counter(job.settled().kind.value for job in jobs).items():
        ATTEMPTS.labels(channel, provider, kind).inc(count)
