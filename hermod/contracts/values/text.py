"""What a line may not hold: names, subjects and headers are lines, bodies are texts
(`hermod.contracts.values.scalars`).

A line goes where a line break would begin something else (a header, an SMTP command, a log line). What any reader takes
for a line break is refused in it, in every script, and so are the other control characters.
"""

from __future__ import annotations

import re
from typing import Final

LINE_PATTERN: Final = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$"
_NOT_IN_A_LINE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def is_line(value: str) -> bool:
    """Whether it is one line for everybody: no control character (C0, DEL, C1), no line or paragraph separator."""
    return _NOT_IN_A_LINE.search(value) is None


def line(value: str) -> str:
    if not is_line(value):
        raise ValueError("must be one line, without control characters")
    return value


def as_line(value: str) -> str:
    """The text on one line, for words that somebody else wrote: what a line may not hold becomes space."""
    return " ".join(_NOT_IN_A_LINE.sub(" ", value).split())
