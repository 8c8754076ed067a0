"""Times as a person types them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from starter.cli.moments import moment

NOW = datetime(2030, 5, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("+90s", NOW + timedelta(seconds=90)),
        ("+10m", NOW + timedelta(minutes=10)),
        ("+2h", NOW + timedelta(hours=2)),
        ("+3d", NOW + timedelta(days=3)),
        ("2030-05-01T12:00:00Z", NOW),
        ("2030-05-01T14:00+02:00", NOW),
    ],
)
def test_time_is_typed_is_understood(text: str, expected: datetime) -> None:
    assert moment(text, NOW) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "soon",
        "+",
        "+5",
        "+5w",
        "10m",
        "2030-05-01",
        "2030-05-01T12:00:00",
        "+9999999d",
        "9999-12-31T23:59:59-14:00",
        "0001-01-01T00:00+14:00",
    ],
)
def test_time_is_unclear_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"write a time|time zone"):
        moment(text, NOW)
