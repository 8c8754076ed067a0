"""What follows from one request to a receiver, for its delivery. Pure: time and chance are handed in.

    any 2xx                       delivered, on the last attempt too
    410                           given up; the endpoint is disabled by `hermod.domain.webhooks.endpoint_health`
    our own side (lost worker)    again at once; it says nothing about the receiver and spends nothing
    everything else               again after the endpoint's next wait, and given up when there is none left

`Retry-After` lengthens a wait, never shortens it. An answer that asks for one is an attempt like any other: otherwise
a receiver that always answers 429 would keep a delivery for ever. What is free is the waiting: deliveries that find
their endpoint paused make no request and spend nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Protocol

from hermod.contracts.webhooks.deliveries import DeliveryStatus
from hermod.domain.backoff import MAX_RETRY_AFTER

OUR_OWN: Final = frozenset({"worker_lost", "interrupted", "not_made"})
"""Outcomes of requests whose answer we did not wait for, or that were not made after all."""
GONE_STATUS: Final = 410


class Answer(Protocol):
    """What is looked at of a request: a `hermod.ports.webhooks.ledger.Exchange`, for one."""

    @property
    def outcome(self) -> str: ...

    @property
    def succeeded(self) -> bool: ...

    @property
    def status_code(self) -> int | None: ...

    @property
    def retry_after(self) -> float | None:
        """Seconds that the receiver asked for."""
        ...


@dataclass(frozen=True, slots=True)
class RetryState:
    """A delivery's place in its endpoint's schedule."""

    spent: int
    """Attempts that the schedule has counted, without the one at hand."""
    waits: Sequence[timedelta]
    """After the first attempt, after the second, and so on, without jitter."""
    jitter: float
    skip_after: int | None = None
    """Where the endpoint keeps order and passes over what fails: after so many attempts."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Where the delivery stands now: `delay` until its next attempt, None where it has ended."""

    status: DeliveryStatus
    spent: int
    delay: timedelta | None = None


def after(answer: Answer, standing: RetryState, chance: float) -> Verdict:
    """The verdict on one attempt. `chance` is from 0 to 1."""
    if answer.outcome in OUR_OWN:
        return Verdict(DeliveryStatus.RETRYING, standing.spent, timedelta(0))
    spent = standing.spent + 1
    if answer.succeeded:
        return Verdict(DeliveryStatus.DELIVERED, spent)
    skips = standing.skip_after is not None
    given_up = DeliveryStatus.SKIPPED if skips else DeliveryStatus.FAILED
    if (
        answer.status_code == GONE_STATUS
        or spent > len(standing.waits)
        or (skips and spent >= (standing.skip_after or 0))
    ):
        return Verdict(given_up, spent)
    delay = standing.waits[spent - 1] * (1 + standing.jitter * chance)
    return Verdict(DeliveryStatus.RETRYING, spent, max(delay, _asked(answer.retry_after)))


def _asked(seconds: float | None) -> timedelta:
    """What the receiver asked for, within bounds."""
    return min(timedelta(seconds=max(seconds or 0.0, 0.0)), MAX_RETRY_AFTER)
