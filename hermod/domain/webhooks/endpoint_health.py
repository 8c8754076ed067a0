"""What requests to a webhook endpoint say about the endpoint, as opposed to the one delivery. Pure.

    a success             ends every trouble: the breaker closes, the count of failures and the failing time begin anew
    429, 502, 504         halve what may be under way at once; successes raise it again, by one a round at the most
    Retry-After           pauses the endpoint, for everybody, up to a day
    failures in a row     open the breaker: 30 s, doubling to 15 min, and then one request at a time tries
    410                   disables it at once
    days of failure       without one success disable it

Failures belong to one row while they are close to one another (`ROW_GAP`), so that the few retries of one delivery that
the receiver does not like never open the breaker, and to one time of failure (`SPELL_GAP`) while the endpoint is tried
at least every other day, so that a quiet endpoint is not judged by last month's outage. What our own side did (a lost
worker, an interrupted request) says nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from hermod.domain.backoff import MAX_RETRY_AFTER, probe_wait
from hermod.domain.webhooks.delivery import GONE_STATUS, OUR_OWN, Answer

ASKED: Final = "asked"
"""A pause that the receiver asked for. When it is over, everything goes on."""
FAILING: Final = "failing"
"""A pause that the breaker makes. When it is over, one request tries. Also why an endpoint was disabled."""
PAUSED: Final = "the receiver asked for a pause"
RESTING: Final = "the endpoint fails; it rests before the next try"
FOR_THE_ENDPOINT: Final = (PAUSED, RESTING)
"""Why a delivery waits that would be due if its endpoint took it: its wait is over when the endpoint's pause is."""
GONE: Final = "gone"
"""Why an endpoint was disabled: it answered 410."""

ROW: Final = 10
"""Failures in a row that open the breaker. More than any preset has attempts within `ROW_GAP` of one another."""
ROW_GAP: Final = timedelta(minutes=1)
SPELL_GAP: Final = timedelta(hours=48)
"""Twice the longest wait of a schedule, and of a pause."""
SLOWED_FOR: Final = timedelta(seconds=1)
"""Answers that ask for less within so long of one another are about the same load: it is halved once."""

SHORT_PAUSE: Final = timedelta(seconds=5)
"""A pause that whoever meets it waits for in its place."""

_ASKS_FOR_LESS: Final = frozenset({429, 502, 504})


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What the requests of a wave, or of several, came to. `a + b` has them in that order."""

    succeeded: int = 0
    failed: int = 0
    works: bool = False
    """At least one of them succeeded."""
    in_a_row: int = 0
    """Failures since the last success; none in a wave with a success, whose order nobody knows."""
    wants_less: bool = False
    pause_until: datetime | None = None
    gone: bool = False
    openings: int = 0
    """The highest `pause_count` that a failed request knew of: one that left before the breaker opened knows less."""

    def __add__(self, later: Tally) -> Tally:
        pauses = [until for until in (self.pause_until, later.pause_until) if until is not None]
        return Tally(
            succeeded=self.succeeded + later.succeeded,
            failed=self.failed + later.failed,
            works=self.works or later.works,
            in_a_row=later.in_a_row if later.works else self.in_a_row + later.in_a_row,
            wants_less=self.wants_less or later.wants_less,
            pause_until=max(pauses, default=None),
            gone=self.gone or later.gone,
            openings=max(self.openings, later.openings),
        )

    @property
    def is_urgent(self) -> bool:
        """Whether other workers should know of it before more requests leave."""
        return (
            self.gone
            or self.wants_less
            or self.pause_until is not None
            or self.in_a_row >= ROW
            or (self.in_a_row > 0 and self.openings > 0)
        )

    def counted(self) -> Tally:
        """The same, once its numbers are in the rolling window."""
        return replace(self, succeeded=0, failed=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """How an endpoint is, as far as its requests decide."""

    enabled: bool = True
    disabled_reason: str | None = None
    paused_until: datetime | None = None
    pause_reason: str | None = None
    pause_count: int = 0
    """Openings of the breaker in a row."""
    concurrency: float = 1.0
    max_concurrency: int
    slowed_at: datetime | None = None
    failing_since: datetime | None = None
    failed_at: datetime | None = None
    failures: int = 0
    """In a row, none of them more than `ROW_GAP` after the one before."""


def tally(answers: Sequence[Answer], openings: int, now: datetime) -> Tally:
    """One wave summed up. `openings`: the endpoint's `pause_count` as it was when the wave left."""
    told = [answer for answer in answers if answer.outcome not in OUR_OWN]
    succeeded = sum(answer.succeeded for answer in told)
    failed = len(told) - succeeded
    asked = max((_asked(answer) for answer in told), default=timedelta(0))
    return Tally(
        succeeded=succeeded,
        failed=failed,
        works=succeeded > 0,
        in_a_row=0 if succeeded else failed,
        wants_less=any(answer.status_code in _ASKS_FOR_LESS for answer in told),
        pause_until=now + asked if asked > timedelta(0) else None,
        gone=any(answer.status_code == GONE_STATUS for answer in told),
        openings=openings if failed else 0,
    )


def after(condition: Condition, news: Tally, now: datetime, disable_after: timedelta) -> Condition:
    """The condition once the news is taken in; the same one where it says nothing new.

    `disable_after`: so long a time of failure disables the endpoint. The same news twice makes the row of failures
    longer, but the breaker's pause, and what may be under way, are what they are after once.
    """
    if not condition.enabled:
        return condition
    after_load = _after_load(condition, news, now)
    after_row = _after_row(_works(after_load) if news.works else after_load, news, now)
    paused = _paused(after_row, news)
    if news.gone:
        return replace(paused, enabled=False, disabled_reason=GONE)
    if news.in_a_row and not news.works and _failed_for(paused, now) >= disable_after:
        return replace(paused, enabled=False, disabled_reason=FAILING)
    return paused


def is_half_open(paused_until: datetime | None, pause_reason: str | None, now: datetime) -> bool:
    """Whether the endpoint's breaker waits for somebody to try it (`EndpointHealth.claim_probe`)."""
    return pause_reason == FAILING and paused_until is not None and paused_until <= now


def is_paused(paused_until: datetime | None, now: datetime) -> bool:
    return paused_until is not None and paused_until > now


def is_in_trouble(paused_until: datetime | None, now: datetime) -> bool:
    """Whether the pause is so long that deliveries wait for its end together, and not each by itself."""
    return paused_until is not None and paused_until - now > SHORT_PAUSE


def _asked(answer: Answer) -> timedelta:
    if answer.succeeded or answer.retry_after is None:
        return timedelta(0)
    return min(timedelta(seconds=max(answer.retry_after, 0.0)), MAX_RETRY_AFTER)


def _after_load(condition: Condition, news: Tally, now: datetime) -> Condition:
    """Additive increase, multiplicative decrease. One at a time is the least."""
    if news.wants_less:
        if condition.slowed_at is not None and now - condition.slowed_at < SLOWED_FOR:
            return condition
        return replace(condition, concurrency=max(condition.concurrency / 2, 1.0), slowed_at=now)
    more = min(news.succeeded / max(condition.concurrency, 1.0), 1.0)
    raised = min(condition.concurrency + more, float(condition.max_concurrency))
    # A maximum that was lowered meanwhile counts at once, too.
    return condition if raised == condition.concurrency else replace(condition, concurrency=raised)


def _works(condition: Condition) -> Condition:
    """A success closes the breaker. What the receiver asked for stands: the success may have left before it asked."""
    breaker = condition.pause_reason == FAILING
    return replace(
        condition,
        paused_until=None if breaker else condition.paused_until,
        pause_reason=None if breaker else condition.pause_reason,
        pause_count=0,
        failing_since=None,
        failed_at=None,
        failures=0,
    )


def _after_row(condition: Condition, news: Tally, now: datetime) -> Condition:
    if not news.in_a_row:
        return condition
    since, at = condition.failing_since, condition.failed_at
    goes_on = at is not None and now - at <= ROW_GAP
    spell = since is not None and at is not None and now - at <= SPELL_GAP
    failing = replace(
        condition,
        failing_since=since if spell else now,
        failed_at=now,
        failures=(condition.failures if goes_on else 0) + news.in_a_row,
    )
    is_probe = condition.pause_reason == FAILING
    if news.openings != condition.pause_count or not (is_probe or failing.failures >= ROW):
        # It left before the breaker opened, or there are too few of them.
        return failing
    until = now + probe_wait(condition.pause_count + 1)
    return replace(
        failing,
        paused_until=max(until, condition.paused_until or until) if not is_probe else until,
        pause_reason=FAILING,
        pause_count=condition.pause_count + 1,
    )


def _paused(condition: Condition, news: Tally) -> Condition:
    """The longer pause counts. An open breaker stays one: after the pause one request tries."""
    if news.pause_until is None or (condition.paused_until is not None and condition.paused_until >= news.pause_until):
        return condition
    reason = FAILING if condition.pause_reason == FAILING else ASKED
    return replace(condition, paused_until=news.pause_until, pause_reason=reason)


def _failed_for(condition: Condition, now: datetime) -> timedelta:
    return now - condition.failing_since if condition.failing_since is not None else timedelta(0)
