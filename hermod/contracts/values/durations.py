"""Durations as people write them, `90s`, `24h`, `1h30m`, `500ms`, and as ISO 8601 does, `PT24H`."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Final

from pydantic import Field, PlainSerializer

_SHORT: Final = re.compile(
    r"(?=\d)(?:(\d{1,6})d)?(?:(\d{1,6})h)?(?:(\d{1,8})m)?(?:(\d{1,9}(?:\.\d{1,6})?)s)?(?:(\d{1,9})ms)?",
    re.IGNORECASE | re.ASCII,
)


def short_duration(text: str) -> timedelta | None:
    """None where it is not written so."""
    found = _SHORT.fullmatch(text.strip())
    if found is None:
        return None
    days, hours, minutes, seconds, milliseconds = (float(part or 0) for part in found.groups())
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds, milliseconds=milliseconds)


_ISO_DAYS: Final = r"([0-9]{1,4}Y)?([0-9]{1,5}M)?([0-9]{1,5}W)?([0-9]{1,6}D)?"
_SECONDS: Final = r"[0-9]{1,7}(\.[0-9]{1,6})?S"
_ISO_TIME: Final = rf"(T([0-9]{{1,6}}H([0-9]{{1,7}}M)?({_SECONDS})?|[0-9]{{1,7}}M({_SECONDS})?|{_SECONDS}))?"
_AS_SHORT: Final = (
    r"([0-9]{1,6}[dD])?([0-9]{1,6}[hH])?([0-9]{1,8}[mM])?([0-9]{1,9}(\.[0-9]{1,6})?[sS])?([0-9]{1,9}[mM][sS])?"
)
LONGEST_TEXT: Final = 40
"""Characters of a duration that is written as text."""
DURATION_PATTERN: Final = rf"^({_AS_SHORT}|P{_ISO_DAYS}{_ISO_TIME})$"
WrittenDuration = Annotated[
    str, Field(json_schema_extra={"pattern": DURATION_PATTERN, "minLength": 2, "maxLength": LONGEST_TEXT})
]
"""What the reference says of a duration in a string."""


def _iso(length: timedelta) -> str:
    """In days and seconds. A year has no fixed length, and RFC 3339 has no `P14Y252D` without its months."""
    seconds = f"{length.seconds}.{length.microseconds:06}".rstrip("0").rstrip(".")
    days = f"{length.days}D" if length.days else ""
    return f"P{days}T{seconds}S" if seconds != "0" or not days else f"P{days}"


IsoDuration = PlainSerializer(
    _iso, return_type=Annotated[str, Field(json_schema_extra={"format": "duration"})], when_used="json"
)
"""Writes a duration into JSON."""
