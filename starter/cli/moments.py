"""Times as a person types them: `2030-05-01T12:00:00Z`, or `+90s`, `+10m`, `+2h`, `+3d` from now."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

_FROM_NOW: Final = re.compile(r"\+(\d{1,6})([smhd])")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def moment(text: str, now: datetime) -> datetime:
    """Raises ValueError. A time without a zone would mean different things on different machines, so it is refused."""
    relative = _FROM_NOW.fullmatch(text)
    if relative is not None:
        return now + timedelta(**{_UNITS[relative[2]]: int(relative[1])})
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("write a time like 2030-05-01T12:00:00Z, or +10m for ten minutes from now") from None
    if found.tzinfo is None:
        raise ValueError(f"say in which time zone: {text}Z for UTC")
    try:
        return found.astimezone(UTC)
    except OverflowError:
        raise ValueError("write a time within the years 1 to 9999 in UTC") from None
