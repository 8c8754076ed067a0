"""Waves of requests: a bounded number under way at once, every one accounted for whatever happens to the worker."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from hermod.contracts.accounts import Account
from hermod.contracts.outcomes import AnyOutcome, OutcomeUnknown, Transient
from hermod.ports.ledger import Item
from hermod.ports.sender import Outgoing, Sender
from hermod.telemetry import ATTEMPT_SECONDS, ATTEMPTS, IN_FLIGHT, get_logger

CONCURRENCY: Final = 32
"""Requests under way at once for one account in one dispatch."""

FIRST_WAVE: Final = 20
"""A batch begins small, so that a halted account costs twenty requests and not five hundred."""

SAFE_WAVE: Final = 250
DOUBTFUL_WAVE: Final = 50
"""How many requests a dying worker may leave in doubt: more where the provider recognises a repeat."""

_log = get_logger(__name__)


@dataclass(slots=True)
class Job:
    """One granted request. `outcome` is None until it is known; `started` tells whether a byte may have left."""

    item: Item
    account: Account
    sender: Sender
    outgoing: Outgoing
    reason: str
    """Why this account."""
    outcome: AnyOutcome | None = None
    started: bool = False
    duration_ms: int = 0

    def settled(self) -> AnyOutcome:
        """The outcome, also for a request that was interrupted."""
        if self.outcome is not None:
            return self.outcome
        if self.started:
            return OutcomeUnknown(error_code="interrupted", error="the worker stopped while the request was on its way")
        return Transient(error_code="not_started", error="the worker stopped before the request was made")


def wave_sizes(safe: bool) -> Iterator[int]:
    """Twenty, then four times as many each, up to what may be left in doubt."""
    largest = SAFE_WAVE if safe else DOUBTFUL_WAVE
    size = min(FIRST_WAVE, largest)
    while True:
        yield size
        size = min(size * 4, largest)


async def send_all(jobs: Sequence[Job]) -> None:
    """Make the requests and note their outcomes in the jobs. Cancellation passes through; the jobs stay as they are."""
    IN_FLIGHT.inc(len(jobs))
    try:
        if len(jobs) == 1:
            await _send(jobs[0])
            return
        queue = iter(jobs)
        async with asyncio.TaskGroup() as group:
            for _ in range(min(CONCURRENCY, len(jobs))):
                group.create_task(_work(queue))
    finally:
        IN_FLIGHT.dec(len(jobs))
        _measure(jobs)


async def _work(queue: Iterator[Job]) -> None:
    for job in queue:
        await _send(job)


async def _send(job: Job) -> None:
    begun = time.perf_counter()
    job.started = True
    try:
        job.outcome = await job.sender.send(job.outgoing)
    except Exception as error:  # noqa: BLE001 - whatever an adapter does wrong, the request is accounted for
        # An adapter's own mistake. Whether the request left is not known, so nobody may say that it did not.
        provider = job.account.provider
        _log.exception("adapter_failed", provider=provider, message_id=job.item.id, tenant=job.account.tenant)
        job.outcome = OutcomeUnknown(error_code="adapter_error", error=f"the adapter failed: {type(error).__name__}")
    finally:
        job.duration_ms = round((time.perf_counter() - begun) * 1000)


def _measure(jobs: Sequence[Job]) -> None:
    """Metrics of a wave, which is of one account."""
    if not jobs:
        return
    channel, provider = jobs[0].item.channel.value, jobs[0].account.provider
    seconds = ATTEMPT_SECONDS.labels(provider)
    for job in jobs:
        seconds.observe(job.duration_ms / 1000)
    for kind, count in Counter(job.settled().kind.value for job in jobs).items():
        ATTEMPTS.labels(channel, provider, kind).inc(count)
