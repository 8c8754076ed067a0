"""The filters of `hermod.domain.webhooks.event_types` in SQL."""

from __future__ import annotations

from typing import Final

from hermod.domain.webhooks.event_types import BELOW, EVERYTHING

_BELOW: Final = ", ".join(f"'{end}'" for end in BELOW)


def asks_for(wanted: str, event_type: str) -> str:
    """A condition: whether the filter asks for the type. Both are expressions of SQL."""
    return (
        f"({wanted} IN ('{EVERYTHING}', {event_type})"
        f" OR (right({wanted}, 2) IN ({_BELOW}) AND starts_with({event_type}, left({wanted}, -1))))"
    )
