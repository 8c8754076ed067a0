"""The task queues: one for workflows and their bookkeeping, one per lane for the work itself.

A lane is a queue of its own so that it can be paused, throttled and scaled without touching the others.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Final

MOST_AT_ONCE: Final = 10_000
"""Requests of one lane in one worker."""

WORKFLOWS: Final = "hermod"
"""Workflow tasks, and the short ledger activities that must run even while a lane is paused."""


class Lane(StrEnum):
    """An activity queue. The value is the queue's name on the server."""

    EMAIL = "email"
    SMS = "sms"
    WHATSAPP = "whatsapp"
    PUSH = "push"
    WEBHOOKS = "webhooks"
    EVENTS = "events"
    SUBMISSIONS = "submissions"
    PARTIALS = "partials"


def lane_named(name: str) -> Lane:
    """Raises ValueError, which says what lanes there are."""
    try:
        return Lane(name.strip())
    except ValueError:
        raise ValueError(f"no lane {name.strip()!r}; there are {', '.join(Lane)}") from None


def lane_numbers(text: str) -> Mapping[Lane, int]:
    """`email=5,push=10` as numbers by lane. Raises ValueError."""
    numbers: dict[Lane, int] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, number = (word.strip() for word in part.partition("="))
        if not re.fullmatch(r"[0-9]{1,5}", number) or not 1 <= int(number) <= MOST_AT_ONCE:
            raise ValueError(f"{part!r} is not like email=5, with 1 to {MOST_AT_ONCE}")
        lane = lane_named(name)
        if lane in numbers:
            raise ValueError(f"{lane} is there twice")
        numbers[lane] = int(number)
    return numbers
