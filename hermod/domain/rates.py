"""How fast, and who first: the arithmetic of rates that needs no database.

A rate is a bucket of tokens that fills at so many a second. Its *slice* is what it holds at the most, and so what may
leave at one instant after a pause. Urgent messages may reserve tokens that are not there yet, and wait until they are.
"""

from __future__ import annotations

from math import isfinite
from typing import Final

from hermod.contracts.values.scalars import LEAST_RATE, MOST_RATE

SLICE: Final = 0.25
"""Seconds of a rate that may leave at once."""

URGENT: Final = 8
"""The priority from which on a message may reserve ahead of those that wait already."""
MOST_URGENT: Final = 10
FURTHEST_AHEAD: Final = 1.0
"""Seconds that the most urgent messages may reserve ahead."""
SLOWEST_AHEAD: Final = 0.2
"""Below this rate (a second) nobody reserves ahead: a single token would be waited for too long."""


def burst(rate: float) -> float:
    """Tokens that a bucket of this rate holds: a quarter of a second's, at least one."""
    return max(1.0, rate * SLICE)


def borrow_ahead(priority: int, rate: float) -> float:
    """Tokens that a message of this priority (1 to 10) may reserve beyond those that are there.

    Nobody else goes beyond the slice, so whoever does is next.
    """
    if priority < URGENT or rate < SLOWEST_AHEAD:
        return 0.0
    share = (priority - URGENT + 1) / (MOST_URGENT - URGENT + 1)
    return max(1.0, rate * FURTHEST_AHEAD * share)


def effective(own: float | None, usual: float | None) -> float | None:
    """The rate that applies to an account: the one that it names, else its provider's usual one; None: no limit."""
    return own if own is not None else usual


def countable(rate: float) -> float:
    """A rate as it was stored, within the bounds of today: one that was taken before there were any."""
    return min(max(rate, LEAST_RATE), MOST_RATE) if isfinite(rate) else MOST_RATE


def domain_of(address: str) -> str:
    """The part of a bare, lower-case email address that is limited; empty where there is none."""
    _, at, domain = address.rpartition("@")
    return domain if at else ""
