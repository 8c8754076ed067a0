"""What an endpoint's `retry` comes to: the waits between its attempts, and how long one attempt may take. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from hermod.contracts.notifications.retries import Preset
from hermod.domain.backoff import schedule

USUAL_TIMEOUT: Final = 15.0
"""Seconds for one exchange, the least that the standard suggests."""
FAST_TIMEOUT: Final = 10.0


def waits(retry: Preset | Sequence[float]) -> tuple[timedelta, ...]:
    """After the first attempt, after the second, and so on, without jitter; one more attempt than there are waits."""
    plan = schedule(retry)
    return tuple(plan.delay(number) for number in range(1, plan.attempts))


def jitter(retry: Preset | Sequence[float]) -> float:
    """The largest share of a wait that is added by chance."""
    return schedule(retry).jitter


def timeout(retry: Preset | Sequence[float], given: float | None) -> float:
    """Seconds for a whole exchange: what the endpoint asks for, or as usual for its schedule."""
    if given is not None:
        return given
    return FAST_TIMEOUT if retry == Preset.WEBHOOK_FAST else USUAL_TIMEOUT
