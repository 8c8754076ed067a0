"""What requests say about their endpoint: breaker, pauses, load, and when it is disabled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hermod.contracts.webhooks.deliveries import WEBHOOK_PRESETS
from hermod.domain.backoff import SCHEDULES
from hermod.domain.webhooks.endpoint_health import (
    ASKED,
    FAILING,
    GONE,
    ROW,
    ROW_GAP,
    SHORT_PAUSE,
    SPELL_GAP,
    Condition,
    Tally,
    after,
    is_half_open,
    is_in_trouble,
    is_paused,
    tally,
)
from hermod.ports.webhooks.ledger import SUCCESS, Exchange

NOW: Final = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
SECOND: Final = timedelta(seconds=1)
FIVE_DAYS: Final = timedelta(hours=120)
FINE: Final = Condition(concurrency=10.0, max_concurrency=10)
OK: Final = Exchange(outcome=SUCCESS, status_code=200)
DOWN: Final = Exchange(outcome="connect")

EXCHANGES = st.one_of(
    st.just(OK),
    st.just(DOWN),
    st.builds(
        Exchange,
        outcome=st.just("http_error"),
        status_code=st.sampled_from([400, 410, 429, 500, 502, 503, 504]),
        retry_after=st.one_of(st.none(), st.floats(0, 10**6)),
    ),
    st.just(Exchange(outcome="worker_lost")),
)
WAVES = st.lists(st.lists(EXCHANGES, min_size=1, max_size=20), max_size=30)


def answered(status: int, retry_after: float | None = None) -> Exchange:
    return Exchange(outcome="http_error", status_code=status, retry_after=retry_after)


def told(condition: Condition, *exchanges: Exchange, at: datetime = NOW, openings: int | None = None) -> Condition:
    known = condition.pause_count if openings is None else openings
    return after(condition, tally(exchanges, known, at), at, FIVE_DAYS)


def failing(times: int, *, condition: Condition = FINE, every: timedelta = SECOND) -> Condition:
    for number in range(times):
        condition = told(condition, DOWN, at=NOW + number * every)
    return condition


def test_success_of_a_healthy_endpoint_changes_nothing() -> None:
    assert told(FINE, OK, OK, OK) == FINE


def test_answer_of_our_own_making_says_nothing_about_the_endpoint() -> None:
    assert told(FINE, *[Exchange(outcome="worker_lost"), Exchange(outcome="interrupted")] * ROW) == FINE


def test_failures_fewer_than_a_row_leave_the_endpoint_open() -> None:
    condition = failing(ROW - 1)
    assert not is_paused(condition.paused_until, NOW)
    assert (condition.failures, condition.failing_since) == (ROW - 1, NOW)


def test_row_of_failures_opens_the_breaker_for_half_a_minute() -> None:
    condition = told(FINE, *[DOWN] * ROW)
    assert (condition.paused_until, condition.pause_reason) == (NOW + 30 * SECOND, FAILING)


def test_failures_far_from_one_another_are_no_row() -> None:
    assert failing(3 * ROW, every=ROW_GAP + SECOND).paused_until is None


@pytest.mark.parametrize("preset", sorted(WEBHOOK_PRESETS))
def test_one_delivery_that_fails_to_its_last_attempt_does_not_open_the_breaker(preset: str) -> None:
    schedule = next(schedule for name, schedule in SCHEDULES.items() if name == preset)
    condition, at = FINE, NOW
    for number in range(1, schedule.attempts + 1):
        condition = told(condition, answered(400), at=at)
        at += schedule.delay(number)
    assert condition.paused_until is None


def test_probe_that_fails_doubles_the_pause_up_to_a_quarter_of_an_hour() -> None:
    condition, at, pauses = told(FINE, *[DOWN] * ROW), NOW, []
    for _ in range(7):
        assert condition.paused_until is not None
        pauses.append((condition.paused_until - at).total_seconds())
        at = condition.paused_until
        assert is_half_open(condition.paused_until, condition.pause_reason, at)
        condition = told(condition, DOWN, at=at)
    assert pauses == [30, 60, 120, 240, 480, 900, 900]


def test_failure_that_left_before_the_breaker_opened_does_not_open_it_further() -> None:
    opened = told(FINE, *[DOWN] * ROW)
    later = told(opened, *[DOWN] * ROW, at=NOW + 5 * SECOND, openings=0)
    assert (later.paused_until, later.pause_count) == (opened.paused_until, 1)


def test_probe_that_succeeds_closes_the_breaker_and_forgets_the_row() -> None:
    opened = told(FINE, *[DOWN] * ROW)
    assert told(opened, OK, at=NOW + 30 * SECOND) == FINE


@pytest.mark.parametrize("status", [429, 502, 504])
def test_endpoint_that_asks_for_less_gets_half_and_one_at_least(status: int) -> None:
    condition, seen = FINE, []
    for number in range(5):
        condition = told(condition, answered(status), at=NOW + number * SECOND)
        seen.append(condition.concurrency)
    assert seen == [5, 2.5, 1.25, 1, 1]


def test_answers_about_the_same_load_halve_it_once() -> None:
    condition = told(FINE, *[answered(429)] * 8)
    assert told(condition, answered(429), at=NOW + SECOND / 2).concurrency == 5


@pytest.mark.parametrize("status", [400, 401, 404, 500, 503])
def test_failure_that_does_not_ask_for_less_leaves_the_load(status: int) -> None:
    assert told(FINE, answered(status)).concurrency == 10


def test_successes_raise_the_load_by_one_a_round_up_to_the_maximum() -> None:
    condition = replace(FINE, concurrency=8.0)
    raised = [condition := told(condition, *[OK] * count) for count in (4, 100, 100)]
    assert [each.concurrency for each in raised] == [8.5, 9.5, 10]


def test_maximum_that_was_lowered_counts_at_once() -> None:
    assert told(replace(FINE, max_concurrency=3), OK).concurrency == 3


@pytest.mark.parametrize("status", [429, 503, 500])
def test_retry_after_pauses_the_endpoint_and_not_for_more_than_a_day(status: int) -> None:
    hour = told(FINE, answered(status, 3600))
    assert (hour.paused_until, hour.pause_reason) == (NOW + timedelta(hours=1), ASKED)
    assert told(FINE, answered(status, 10**9)).paused_until == NOW + timedelta(days=1)


def test_retry_after_of_a_success_is_no_pause() -> None:
    assert told(FINE, Exchange(outcome=SUCCESS, status_code=200, retry_after=60)) == FINE


def test_longest_of_several_pauses_counts() -> None:
    condition = told(FINE, answered(429, 600), answered(429, 5))
    assert told(condition, answered(429, 60)).paused_until == NOW + timedelta(minutes=10)


def test_pause_that_was_asked_for_outlives_a_success_that_was_under_way() -> None:
    condition = told(told(FINE, answered(429, 600)), OK)
    assert (condition.paused_until, condition.pause_reason) == (NOW + timedelta(minutes=10), ASKED)


def test_pause_that_was_asked_for_needs_no_probe() -> None:
    condition = told(FINE, answered(503, 60))
    assert not is_half_open(condition.paused_until, condition.pause_reason, NOW + timedelta(minutes=2))


def test_breaker_that_is_open_stays_one_when_the_receiver_asks_for_more() -> None:
    condition = told(told(FINE, *[DOWN] * ROW), answered(503, 600))
    assert (condition.paused_until, condition.pause_reason) == (NOW + timedelta(minutes=10), FAILING)


def test_gone_disables_at_once() -> None:
    condition = told(FINE, OK, answered(410))
    assert (condition.enabled, condition.disabled_reason) == (False, GONE)


def test_days_of_failure_disable() -> None:
    condition, at = FINE, NOW
    while condition.enabled:
        assert at <= NOW + FIVE_DAYS
        condition = told(condition, DOWN, at=at)
        at += timedelta(hours=6)
    assert (condition.disabled_reason, condition.failing_since) == (FAILING, NOW)
    assert at > NOW + FIVE_DAYS


def test_days_of_failure_end_with_one_success_and_begin_anew() -> None:
    condition = replace(FINE, failing_since=NOW - FIVE_DAYS, failed_at=NOW - timedelta(hours=6), failures=3)
    assert told(condition, OK) == FINE
    assert told(condition, DOWN, OK).enabled
    assert told(told(condition, OK), DOWN).failing_since == NOW


def test_quiet_endpoint_is_not_judged_by_an_outage_of_long_ago() -> None:
    condition = replace(FINE, failing_since=NOW - 30 * timedelta(days=1), failed_at=NOW - SPELL_GAP - SECOND)
    later = told(condition, DOWN)
    assert (later.enabled, later.failing_since) == (True, NOW)


def test_disabled_endpoint_is_left_as_it_is() -> None:
    disabled = replace(FINE, enabled=False, disabled_reason="manual")
    assert told(disabled, OK, answered(410), answered(429, 60)) == disabled


def fold(waves: Sequence[Sequence[Exchange]]) -> list[tuple[Condition, Tally]]:
    """The condition after each wave, a second from one another, and what the wave said."""
    condition, course = FINE, []
    for number, wave in enumerate(waves):
        news = tally(wave, condition.pause_count, NOW + number * SECOND)
        condition = after(condition, news, NOW + number * SECOND, FIVE_DAYS)
        course.append((condition, news))
    return course


@given(waves=WAVES)
def test_load_stays_within_one_and_the_maximum_whatever_comes(waves: list[list[Exchange]]) -> None:
    assert all(1 <= condition.concurrency <= 10 for condition, _ in fold(waves))


@given(waves=WAVES)
def test_nothing_but_gone_disables_within_seconds(waves: list[list[Exchange]]) -> None:
    gone = any(exchange.status_code == 410 for wave in waves for exchange in wave)
    course = fold(waves)
    assert (course[-1][0].enabled if course else True) is not gone


@given(waves=WAVES)
def test_success_always_ends_the_failing_time(waves: list[list[Exchange]]) -> None:
    for condition, news in fold(waves):
        if news.works and condition.enabled:
            assert (condition.failing_since, condition.pause_count, condition.failures) == (None, 0, 0)
            assert condition.pause_reason in (None, ASKED)


@given(waves=WAVES)
def test_pause_is_never_longer_than_a_day_and_without_success_never_shorter(waves: list[list[Exchange]]) -> None:
    course = fold(waves)
    for number, (condition, _) in enumerate(course):
        assert (condition.paused_until or NOW) - (NOW + number * SECOND) <= timedelta(days=1)
    for (before, _), (then, news) in pairwise(course):
        if before.paused_until is not None and not news.works and before.pause_reason == ASKED:
            assert then.paused_until is not None
            assert then.paused_until >= before.paused_until


@given(waves=WAVES, last=st.lists(EXCHANGES, min_size=1, max_size=20))
def test_news_taken_in_twice_opens_slows_and_disables_as_once(
    waves: list[list[Exchange]], last: list[Exchange]
) -> None:
    course = fold(waves)
    before = course[-1][0] if course else FINE
    at = NOW + len(waves) * SECOND
    news = tally(last, before.pause_count, at)
    once = after(before, news, at, FIVE_DAYS)
    twice = after(once, news.counted(), at, FIVE_DAYS)
    assert (twice.enabled, twice.concurrency) == (once.enabled, once.concurrency)
    if once.pause_reason == FAILING:
        assert (twice.paused_until, twice.pause_count) == (once.paused_until, once.pause_count)


@given(waves=st.lists(st.lists(EXCHANGES, max_size=5), max_size=8))
def test_tallies_add_up_to_what_their_waves_say(waves: list[list[Exchange]]) -> None:
    parts = [tally(wave, 0, NOW) for wave in waves]
    whole = sum(parts, Tally())
    assert (whole.succeeded, whole.failed) == (sum(p.succeeded for p in parts), sum(p.failed for p in parts))
    assert whole.gone is any(part.gone for part in parts)
    last_success = max((number for number, part in enumerate(parts) if part.works), default=-1)
    assert whole.in_a_row == sum(part.failed for part in parts[last_success + 1 :])


def test_trouble_is_a_pause_that_is_worth_handing_over_for() -> None:
    assert not is_in_trouble(None, NOW)
    assert not is_in_trouble(NOW - timedelta(minutes=1), NOW)
    assert not is_in_trouble(NOW + SHORT_PAUSE, NOW)
    assert is_in_trouble(NOW + SHORT_PAUSE + timedelta(seconds=1), NOW)
