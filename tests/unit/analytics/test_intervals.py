"""Where hours and days begin by the clock of a time zone, also where it is put forward or back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from hermod.analytics.intervals import starts_of
from hermod.contracts.analytics.queries import Interval

DAY, HOUR, MINUTE = Interval.DAY, Interval.HOUR, Interval.MINUTE


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def starts(interval: Interval, since: str, until: str, zone: str) -> list[str]:
    found = starts_of(interval, at(since), at(until), ZoneInfo(zone))
    return [one.isoformat().removesuffix("+00:00") for one in found]


def test_days_begin_at_midnight_of_the_zone_and_cover_the_whole_span() -> None:
    assert starts(DAY, "2026-11-28T12:00:00Z", "2026-11-29T22:30:00Z", "Europe/Berlin") == [
        "2026-11-27T23:00:00",
        "2026-11-28T23:00:00",
        "2026-11-29T23:00:00",
    ]


def test_days_of_the_time_change_have_23_and_25_hours() -> None:
    spring = starts_of(DAY, at("2026-03-28T23:00:00Z"), at("2026-03-29T22:00:00Z"), ZoneInfo("Europe/Berlin"))
    autumn = starts_of(DAY, at("2026-10-24T22:00:00Z"), at("2026-10-25T23:00:00Z"), ZoneInfo("Europe/Berlin"))
    assert [(later - earlier) // timedelta(hours=1) for earlier, later in pairwise(spring)] == [23]
    assert [(later - earlier) // timedelta(hours=1) for earlier, later in pairwise(autumn)] == [25]


def test_day_without_a_midnight_begins_when_the_clock_is_put_forward() -> None:
    assert starts(DAY, "2023-04-27T12:00:00Z", "2023-04-28T12:00:00Z", "Africa/Cairo") == [
        "2023-04-26T22:00:00",
        "2023-04-27T22:00:00",
        "2023-04-28T21:00:00",
    ]


def test_date_that_a_zone_left_out_is_no_day() -> None:
    found = starts(DAY, "2011-12-29T10:00:00Z", "2011-12-31T10:00:00Z", "Pacific/Apia")
    assert found == ["2011-12-29T10:00:00", "2011-12-30T10:00:00", "2011-12-31T10:00:00"]


def test_hours_of_a_zone_of_half_hours_begin_by_its_clock() -> None:
    assert starts(HOUR, "2026-11-28T12:00:00Z", "2026-11-28T13:00:00Z", "Asia/Kolkata") == [
        "2026-11-28T11:30:00",
        "2026-11-28T12:30:00",
        "2026-11-28T13:30:00",
    ]


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Asia/Kolkata", "Australia/Lord_Howe", "America/St_Johns"])
@pytest.mark.parametrize("interval", [HOUR, DAY])
def test_every_interval_follows_the_one_before_and_begins_on_a_whole_one(interval: Interval, zone: str) -> None:
    found = starts_of(interval, at("2026-01-01T00:10:00Z"), at("2026-02-15T00:10:00Z"), ZoneInfo(zone))
    assert found[0] <= at("2026-01-01T00:10:00Z") < found[1]
    assert found[-2] < at("2026-02-15T00:10:00Z") <= found[-1]
    for earlier, later in pairwise(found):
        assert later - earlier == interval.length
        local = earlier.astimezone(ZoneInfo(zone))
        assert (local.minute, local.second) == (0, 0)
        assert interval is HOUR or local.hour == 0


def test_hours_around_a_change_of_half_an_hour_leave_nothing_out() -> None:
    found = starts_of(HOUR, at("2026-04-04T10:00:00Z"), at("2026-04-04T20:00:00Z"), ZoneInfo("Australia/Lord_Howe"))
    lengths = {later - earlier for earlier, later in pairwise(found)}
    assert lengths <= {timedelta(hours=1), timedelta(minutes=30), timedelta(minutes=90)}
    assert found == sorted(set(found))
