"""Reads `Retry-After` (RFC 9110, section 10.2.3): a number of seconds, or an HTTP date."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

LONGEST_WAIT: Final = 24 * 3600.0
"""Seconds. A longer wait is shortened to this, so that a mistaken header cannot park an account for weeks."""

_SECONDS = re.compile(r"^\d{1,12}(\.\d{1,6})?$", re.ASCII)


def parse_retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds to wait from `now` (0 to 24 hours), or None where the header is missing or makes no sense.

    Decimals are taken although the RFC has none: some gateways send them. A date in the past means 0.
    """
    if value is None:
        return None
    value = value.strip()
    if _SECONDS.match(value):
        return clamp(float(value))
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return clamp((date - now).total_seconds())


def clamp(seconds: float) -> float:
    """A wait within the bounds that Hermod accepts from a provider."""
    return min(max(seconds, 0.0), LONGEST_WAIT)
