"""Presets and lists of waits: how often, and how long to wait in between. Pure: chance is a number from 0 to 1."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from hermod.contracts.notifications.retries import Preset

MAX_RETRY_AFTER: Final = timedelta(hours=24)
"""The longest wait that a provider's Retry-After can ask of us."""

LISTED_JITTER: Final = 0.2
"""Of every wait of a webhook, and of every listed one: what failed together would come back together, wave after
wave."""

UNASKED_THROTTLE: Final = timedelta(seconds=2)
"""How long to leave a provider alone that throttled us without naming a time."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """`attempts` rounds in all; `delay(n)` is the wait after the n-th of them (from 1), without jitter."""

    attempts: int
    delay: Callable[[int], timedelta]
    jitter: float = 0.0
    """The largest share of the delay that is added by chance."""
    limit: timedelta = timedelta.max
    """The longest wait, jitter included."""


def _doubling(first: float) -> Callable[[int], timedelta]:
    return lambda number: timedelta(seconds=first * 2 ** min(number - 1, 30))


def _listed(*seconds: float) -> Callable[[int], timedelta]:
    return lambda number: timedelta(seconds=seconds[min(number, len(seconds)) - 1])


_MINUTE, _HOUR = 60.0, 3600.0

SCHEDULES: Final[dict[Preset, Schedule]] = {
    Preset.NOTIFICATION: Schedule(6, _doubling(2), jitter=0.3, limit=timedelta(minutes=5)),
    Preset.SMS: Schedule(5, _listed(1, 2, 4, 8, 16)),
    Preset.FALLBACK: Schedule(3, _listed(2, 4, 8)),
    Preset.WEBHOOK_FAST: Schedule(6, _listed(1, 2, 4, 8, 16), jitter=LISTED_JITTER),
    Preset.WEBHOOK: Schedule(
        7, _listed(30, 2 * _MINUTE, 10 * _MINUTE, _HOUR, 6 * _HOUR, 24 * _HOUR), jitter=LISTED_JITTER
    ),
    Preset.WEBHOOK_STANDARD: Schedule(
        10,
        _listed(5, 5 * _MINUTE, 30 * _MINUTE, *(hours * _HOUR for hours in (2, 5, 10, 14, 20, 24))),
        jitter=LISTED_JITTER,
    ),
}


def schedule(retry: Preset | Sequence[float]) -> Schedule:
    """What a preset, or a list of waits in seconds, comes to."""
    if isinstance(retry, Preset):
        return SCHEDULES[retry]
    return Schedule(len(retry) + 1, _listed(*retry), jitter=LISTED_JITTER)


def next_delay(
    retry: Preset | Sequence[float], spent: int, chance: float, retry_after: float | None = None
) -> timedelta | None:
    """The wait after `spent` rounds, or None when all are used up.

    `chance` is from 0 to 1. `retry_after` (seconds) lengthens the wait, never shortens it.
    """
    plan = schedule(retry)
    if spent >= plan.attempts:
        return None
    delay = min(plan.delay(spent) * (1 + plan.jitter * chance), plan.limit)
    return delay if retry_after is None else max(delay, asked_wait(retry_after))


def asked_wait(retry_after: float | None) -> timedelta:
    """What a throttling provider asked for, within bounds."""
    if retry_after is None:
        return UNASKED_THROTTLE
    return min(timedelta(seconds=max(retry_after, 0.0)), MAX_RETRY_AFTER)


def probe_wait(failures: int) -> timedelta:
    """How long a halted account is left alone before the next probe: 30 s, doubling, up to 15 minutes."""
    return timedelta(seconds=min(30 * 2 ** min(max(failures - 1, 0), 10), 900))
