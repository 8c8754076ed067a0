"""What an event's properties may be: plain JSON, not too large, too deep or too wide."""

from __future__ import annotations

import math
from typing import Any, Final

from hermod.contracts.analytics.events import MAX_PROPERTIES, MAX_PROPERTIES_BYTES, MAX_PROPERTIES_DEPTH

NOT_PLAIN: Final = "must be plain JSON: no NaN or Infinity, no integers beyond 64 bits, no NUL characters, valid UTF-8"
TOO_LARGE: Final = f"must be at most {MAX_PROPERTIES_BYTES // 1024} KiB as JSON"
TOO_DEEP: Final = f"must be at most {MAX_PROPERTIES_DEPTH} levels deep"
TOO_MANY: Final = f"must have at most {MAX_PROPERTIES} keys, on all levels together"


def is_surely_fine(line: bytes) -> bool:
    """Whether a line of JSON with the properties in it tells that they need no closer look, as nearly all do.

    Counting bytes takes a hundredth of the time of a walk. NaN is written as null.
    """
    return (
        len(line) <= MAX_PROPERTIES_BYTES
        and line.count(b"{") + line.count(b"[") <= MAX_PROPERTIES_DEPTH
        and line.count(b'":') <= MAX_PROPERTIES
        and b"null" not in line
        and b"\\u0000" not in line
    )


def fault(properties: dict[str, Any], size: int) -> str | None:
    """What is wrong with properties that have so many bytes as JSON."""
    if size > MAX_PROPERTIES_BYTES:
        return TOO_LARGE
    level: list[Any] = [properties]
    keys = depth = 0
    while level:
        depth += 1
        if depth > MAX_PROPERTIES_DEPTH:
            return TOO_DEEP
        keys += sum(len(one) for one in level if isinstance(one, dict))
        if keys > MAX_PROPERTIES:
            return TOO_MANY
        values = [value for one in level for value in _inside(one)]
        if any(_is_not_plain(value) for value in values):
            return NOT_PLAIN
        level = [value for value in values if isinstance(value, dict | list | tuple)]
    return None


def _inside(one: Any) -> list[Any]:
    return [*one.keys(), *one.values()] if isinstance(one, dict) else list(one)


def _is_not_plain(value: Any) -> bool:
    if isinstance(value, float):
        return not math.isfinite(value)
    return isinstance(value, str) and "\0" in value
