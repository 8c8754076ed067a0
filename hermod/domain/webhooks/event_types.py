"""Which events an endpoint asked for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

EVERYTHING: Final = "*"
BELOW: Final = (".*", "/*")
"""How a filter ends that asks for all below."""


def matches(filters: Iterable[str], event_type: str) -> bool:
    """Whether one of the filters asks for the type: `*`, `order.*` or `orders/*` (all below, not itself), or a
    type.

    Types are compared by case.
    """
    return any(_asks_for(each, event_type) for each in filters)


def _asks_for(wanted: str, event_type: str) -> bool:
    if wanted.endswith(BELOW):
        return event_type.startswith(wanted.removesuffix(EVERYTHING))
    return wanted in (EVERYTHING, event_type)
