"""How urgent work is: one scale, from 1 to 10, for everything that is started, and what Temporal makes of it."""

from __future__ import annotations

from typing import Final

DEFAULT_PRIORITY: Final = 5
"""Of a message that names none, and of all that has no priority of its own."""
HIGHEST_PRIORITY: Final = 10
_SUM: Final = 11


def priority_key(priority: int) -> int:
    """Temporal's key of a priority. It counts the other way round: key 1 is dispatched first."""
    return _SUM - priority


def priority_of(key: int | None) -> int:
    """The priority that Temporal's key stands for; None is what carries no key."""
    return DEFAULT_PRIORITY if key is None else _SUM - key
