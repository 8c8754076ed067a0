"""Times as a person types them: `2030-05-01T12:00:00Z`, or `+90s`, `+10m`, `+2h`, `+3d` from now."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

import typer

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


def ahead(text: str | None) -> datetime | None:
    """What an option says, where there is one. Raises BadParameter."""
    try:
        return None if text is None else moment(text, datetime.now(UTC))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def past(text: str | None) -> datetime | None:
    """The same of an option about what has been: `-2h` is two hours ago. Raises BadParameter."""
    if text is None:
        return None
    now = datetime.now(UTC)
    try:
        if text.startswith("-"):
            return now - (moment(f"+{text[1:]}", now) - now)
        return moment(text, now)
    except (ValueError, OverflowError):
        raise typer.BadParameter("write a time like 2030-05-01T12:00:00Z, or -90s, -10m, -2h, -3d") from None
