"""Every form of Retry-After, and what makes no sense."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from hermod.outbound.http.retry_after import LONGEST_WAIT, parse_retry_after

NOW = datetime(1994, 11, 6, 8, 49, 37, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (" 120 ", 120.0),
        ("1.5", 1.5),
        ("3600", 3600.0),
        ("86400", LONGEST_WAIT),
        ("86401", LONGEST_WAIT),
        ("999999999999", LONGEST_WAIT),
        ("Sun, 06 Nov 1994 08:50:37 GMT", 60.0),
        ("Sunday, 06-Nov-94 08:50:37 GMT", 60.0),
        ("Sun Nov  6 08:50:37 1994", 60.0),
        ("Sun, 06 Nov 1994 09:50:37 +0100", 60.0),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 0.0),
        ("Sun, 06 Nov 1994 08:00:00 GMT", 0.0),
        ("Fri, 06 Nov 2099 08:49:37 GMT", LONGEST_WAIT),
    ],
)
def test_retry_after_is_seconds_from_now(value: str, seconds: float) -> None:
    assert parse_retry_after(value, NOW) == seconds


@pytest.mark.parametrize(
    "value", [None, "", "soon", "-1", "1e3", "NaN", "inf", "1,000", "٣", "Sun, 99 Nov 1994 08:49:37 GMT", "9" * 400]
)
def test_retry_after_without_sense_is_none(value: str | None) -> None:
    assert parse_retry_after(value, NOW) is None
