"""Questions to analytics, for the API and the command line alike: spans are filled in and kept within bounds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from hermod.contracts.analytics.queries import (
    LONGEST,
    MAX_POINTS,
    Funnel,
    FunnelAsked,
    Interval,
    RefusedEventsPage,
    Span,
    Timeseries,
    TimeseriesAsked,
    Top,
    TopAsked,
)
from hermod.contracts.errors import FieldError, InvalidInput
from hermod.storage.analytics.event_refusals import EventRefusals
from starter.client import Hermod

EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
AHEAD: Final = timedelta(days=2)
"""Events may be a day ahead of us, so that much is worth asking for."""
_USUAL: Final = {
    Interval.MINUTE: timedelta(hours=1),
    Interval.HOUR: timedelta(days=1),
    Interval.DAY: timedelta(days=30),
}
_USUAL_SPAN: Final = timedelta(days=7)
_OF_MESSAGES: Final = ("channel", "template", "campaign")
_OF_STEPS: Final = ("by", "within")


async def timeseries(hermod: Hermod, asked: TimeseriesAsked) -> Timeseries:
    """Events by time, with all points. Raises InvalidInput and Unavailable."""
    since, until = _span(asked, hermod.core.clock.now(), _USUAL[asked.interval])
    longest = MAX_POINTS * asked.interval.length
    if until - since > longest:
        raise InvalidInput.of(
            "since", f"at most {MAX_POINTS:,} points: {_words(longest)} by {asked.interval.value}, from since to until"
        )
    return await hermod.core.analytics.queries.timeseries(hermod.tenant, asked, since, until)


async def top(hermod: Hermod, asked: TopAsked) -> Top:
    """The most frequent values. Raises InvalidInput and Unavailable."""
    since, until = _span(asked, hermod.core.clock.now(), _USUAL_SPAN)
    return await hermod.core.analytics.queries.top(hermod.tenant, asked, since, until)


async def funnel(hermod: Hermod, asked: FunnelAsked) -> Funnel:
    """Of messages, or with `steps` of events. Raises InvalidInput and Unavailable."""
    queries = hermod.core.analytics.queries
    since, until = _span(asked, hermod.core.clock.now(), _USUAL_SPAN)
    if asked.steps is None:
        _refuse(asked, _OF_STEPS, "goes with steps")
        return await queries.messages(hermod.tenant, asked, since, until)
    _refuse(asked, _OF_MESSAGES, "is for messages, and does not go with steps")
    return await queries.steps(hermod.tenant, asked.steps, asked, since, until)


async def refused_events(hermod: Hermod, *, cursor: str | None = None, limit: int = 50) -> RefusedEventsPage:
    """What was accepted and ClickHouse cannot take, the newest first. Raises Unavailable."""
    storage = hermod.core.storage
    refusals = EventRefusals(storage.database, storage.contents)
    return await refusals.page(hermod.tenant, cursor=cursor, limit=limit)


def _refuse(asked: FunnelAsked, names: tuple[str, ...], why: str) -> None:
    wrong = [FieldError(name, why) for name in names if name in asked.model_fields_set and getattr(asked, name)]
    if wrong:
        raise InvalidInput(wrong)


def _span(asked: Span, now: datetime, usual: timedelta) -> tuple[datetime, datetime]:
    until = asked.until or now
    for name, at in (("since", asked.since), ("until", until)):
        if at is not None and at < EARLIEST:
            raise InvalidInput.of(name, f"must not be before {EARLIEST:%Y-%m-%d}")
    if until > now + AHEAD:
        raise InvalidInput.of("until", "must not be more than two days ahead")
    since = asked.since or until - usual
    if since < EARLIEST:
        raise InvalidInput.of("since", f"must not be before {EARLIEST:%Y-%m-%d}")
    if since >= until:
        raise InvalidInput.of("since", "must be before until")
    if until - since > LONGEST:
        raise InvalidInput.of("since", f"at most {_words(LONGEST)} from since to until")
    return since, until


def _words(span: timedelta) -> str:
    hours = span // timedelta(hours=1)
    return f"{hours} hours" if hours < 72 else f"{hours // 24} days"
