"""Durations: what the reference says of them is what is taken, and they are answered as RFC 3339 writes them."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from pydantic import TypeAdapter, ValidationError

from hermod.contracts.forms.forms import FormDuration
from hermod.contracts.tenants.retention import Age
from hermod.contracts.values.durations import DURATION_PATTERN

AGES: TypeAdapter[timedelta] = TypeAdapter(Age)


@pytest.mark.parametrize(
    ("given", "length"),
    [
        ("24h", timedelta(days=1)),
        ("1h30m", timedelta(minutes=90)),
        ("2d500ms", timedelta(days=2, milliseconds=500)),
        ("PT24H", timedelta(days=1)),
        ("P766W", timedelta(weeks=766)),
        ("P1Y2M", timedelta(days=425)),
        ("P1DT1H1M1.5S", timedelta(days=1, hours=1, minutes=1, seconds=1.5)),
    ],
)
def test_duration_is_written_as_the_reference_says_it_is_taken(given: str, length: timedelta) -> None:
    assert re.fullmatch(DURATION_PATTERN, given)
    assert AGES.validate_python(given) == length


@pytest.mark.parametrize("given", ["", "P", "PT", "5", "h", "yesterday", "1.5h"])
def test_duration_is_not_written_so_it_is_refused(given: str) -> None:
    assert len(given) < 2 or not re.fullmatch(DURATION_PATTERN, given)
    with pytest.raises(ValidationError):
        AGES.validate_python(given)


@pytest.mark.parametrize(
    ("length", "written"),
    [
        (timedelta(weeks=766), "P5362D"),
        (timedelta(hours=24), "P1D"),
        (timedelta(minutes=90), "PT5400S"),
        (timedelta(days=400, seconds=10.25), "P400DT10.25S"),
    ],
)
def test_duration_is_answered_without_years(length: timedelta, written: str) -> None:
    assert AGES.dump_python(length, mode="json") == written
    assert AGES.validate_python(written) == length
    assert TypeAdapter(FormDuration).dump_python(timedelta(days=366), mode="json") == "P366D"
