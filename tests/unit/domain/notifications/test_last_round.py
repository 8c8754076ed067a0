"""The last round of a message: how it ends, and neither early nor late."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from hermod.contracts.notifications.messages import Guarantee, Status
from hermod.contracts.notifications.outcomes import OutcomeUnknown, Transient
from hermod.domain.notifications.delivery import End, FailOver, Retry, RetryState, after, after_lost_worker

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TWO_ROUNDS = RetryState(
    guarantee=Guarantee.AT_LEAST_ONCE, retry=(7.0,), spent=0, not_after=None, spending=False, idempotent=False
)
LAST = replace(TWO_ROUNDS, spent=1)
AT_MOST_ONCE = Guarantee.AT_MOST_ONCE


def test_lost_worker_in_the_last_round_leaves_at_most_once_unknown() -> None:
    step = after_lost_worker(replace(LAST, guarantee=AT_MOST_ONCE, idempotent=True), NOW)
    assert isinstance(step, End)
    assert step.status is Status.UNKNOWN


def test_lost_worker_in_the_last_round_fails_at_least_once() -> None:
    step = after_lost_worker(LAST, NOW)
    assert isinstance(step, End)
    assert step.status is Status.FAILED


def test_lost_worker_before_the_last_round_sends_again_and_spends_one() -> None:
    step = after_lost_worker(TWO_ROUNDS, NOW)
    assert isinstance(step, Retry)
    assert (step.delay, step.spent) == (timedelta(0), 1)


@pytest.mark.parametrize("guarantee", list(Guarantee))
def test_not_taken_in_the_last_round_is_failed_and_never_unknown(guarantee: Guarantee) -> None:
    step = after(Transient(), replace(LAST, guarantee=guarantee, idempotent=True), NOW, 0)
    assert isinstance(step, FailOver)
    assert isinstance(step.otherwise, End)
    assert step.otherwise.status is Status.FAILED


def test_unknown_in_the_last_round_of_at_most_once_stays_unknown() -> None:
    step = after(OutcomeUnknown(), replace(LAST, guarantee=AT_MOST_ONCE, idempotent=True), NOW, 0)
    assert isinstance(step, End)
    assert step.status is Status.UNKNOWN


def test_not_taken_with_a_round_left_is_tried_again() -> None:
    step = after(Transient(), TWO_ROUNDS, NOW, 0)
    assert isinstance(step, FailOver)
    assert isinstance(step.otherwise, Retry)
    assert step.otherwise.spent == 1


def test_passing_fault_asks_for_a_longer_wait_it_is_kept() -> None:
    step = after(Transient(retry_after=90), TWO_ROUNDS, NOW, 0)
    assert isinstance(step, FailOver)
    assert isinstance(step.otherwise, Retry)
    assert step.otherwise.delay == timedelta(seconds=90)


def test_next_attempt_at_the_very_end_of_its_time_is_made() -> None:
    lost = after_lost_worker(replace(TWO_ROUNDS, not_after=NOW), NOW)
    assert isinstance(lost, Retry)
    late = after_lost_worker(replace(TWO_ROUNDS, not_after=NOW - timedelta(microseconds=1)), NOW)
    assert isinstance(late, End)
    assert late.status is Status.EXPIRED
