"""What the housekeeping of an idle product costs."""

from __future__ import annotations

from datetime import timedelta

from starter.temporal.schedules import SCHEDULES

_BYTES = 25_000
"""In the database of Temporal, for each workflow that has run."""


def test_idle_product_makes_some_hundred_megabytes_a_day_at_the_most() -> None:
    runs = sum(timedelta(days=1) / housekeeping.every for housekeeping in SCHEDULES)
    assert runs * _BYTES < 225e6


def test_what_was_accepted_and_not_started_is_still_looked_for_every_fifteen_seconds() -> None:
    [sweep] = [housekeeping for housekeeping in SCHEDULES if housekeeping.name == "sweep-stranded"]
    assert sweep.every == timedelta(seconds=15)
