"""Where the intervals of a series begin by the clock of a time zone.

A day begins with its first moment: it has 23 or 25 hours where the clock is changed, and begins at one o'clock where
midnight is left out. A date that a zone has left out is no day.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, tzinfo

from hermod.contracts.analytics.queries import Interval

_DAY = timedelta(days=1)


def starts_of(interval: Interval, since: datetime, until: datetime, zone: tzinfo) -> list[datetime]:
    """The beginnings of all intervals from the one with `since` in it, and the end of the last one: in UTC, rising."""
    found = [_down(since, interval, zone)]
    while found[-1] < until:
        found.append(_next(found[-1], interval, zone))
    return found


def _down(at: datetime, interval: Interval, zone: tzinfo) -> datetime:
    if interval is Interval.DAY:
        return _midnight(at.astimezone(zone).date(), zone)
    step = round(interval.length.total_seconds())
    offset = round((zone.utcoffset(at.astimezone(zone)) or timedelta(0)).total_seconds())
    return datetime.fromtimestamp((int(at.timestamp()) + offset) // step * step - offset, UTC)


def _next(start: datetime, interval: Interval, zone: tzinfo) -> datetime:
    if interval is Interval.DAY:
        following = start.astimezone(zone).date()
        while (begins := _midnight(following, zone)) <= start:
            following += _DAY
        return begins
    following_start = _down(start + interval.length, interval, zone)
    return following_start if following_start > start else start + interval.length


def _midnight(day: date, zone: tzinfo) -> datetime:
    return datetime.combine(day, time(), zone).astimezone(UTC)
