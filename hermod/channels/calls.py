"""What the readers of receipts have in common: headers that come once, signed times, and the times and ids of
events."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime, timedelta
from typing import Final

from hermod.ports.notifications.receipts import Callback, SignatureInvalid

PATIENCE: Final = timedelta(minutes=5)
"""How far a signed time may be off, both ways: clocks differ, and calls take their time."""

_SECONDS: Final = re.compile(r"^[0-9]{1,11}$")
_SEPARATOR: Final = "\x1f"


def only_header(call: Callback, name: str) -> str:
    """The value of a header that must come exactly once and holds no comma. Raises SignatureInvalid."""
    value = call.headers.get(name, "")
    if not value:
        raise SignatureInvalid(f"the header {name} is missing")
    if "," in value:
        raise SignatureInvalid(f"the header {name} came more than once")
    return value


def check_time(seconds: str, now: datetime, *, oldest: timedelta = PATIENCE) -> None:
    """Raise SignatureInvalid for a signed unix time that is unreadable, older than `oldest`, or ahead of us."""
    if not _SECONDS.match(seconds):
        raise SignatureInvalid("the signed time is not a unix time")
    age = now.timestamp() - int(seconds)
    if not -PATIENCE.total_seconds() <= age <= oldest.total_seconds():
        raise SignatureInvalid("the signed time is too far from ours")


def unix_time(seconds: object) -> datetime | None:
    """A time in unix seconds, or None for what is none."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < 1e11:
        return None
    return datetime.fromtimestamp(seconds, UTC)  # year 5138 at the latest


def rfc3339(text: object) -> datetime | None:
    """A time as text, UTC where it names no zone, or None for what is none."""
    if not isinstance(text, str):
        return None
    try:
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def id_of(*parts: object) -> str:
    """An event's id made of what identifies it, for vendors that give it none. Missing parts count as empty."""
    text = _SEPARATOR.join("" if part is None else str(part) for part in parts)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
