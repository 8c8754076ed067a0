"""When an account's provider counts as away."""

from __future__ import annotations

from datetime import timedelta

import pytest

from hermod.contracts.notifications.outcomes import (
    Accepted,
    AccountHalted,
    AnyOutcome,
    MessageRejected,
    OutcomeUnknown,
    RecipientRejected,
    Throttled,
    Transient,
)
from hermod.domain.notifications.account_health import FailuresInARow, away_wait, says_away, says_there


@pytest.mark.parametrize(
    "outcome",
    [
        Transient(error_code="connect"),
        Transient(status_code=503),
        OutcomeUnknown(error_code="timeout"),
        OutcomeUnknown(status_code=500),
        Transient(error_code="dns"),
    ],
)
def test_request_that_failed_as_all_would_speaks_of_the_provider(outcome: AnyOutcome) -> None:
    assert says_away(outcome)
    assert not says_there(outcome)


@pytest.mark.parametrize(
    "outcome",
    [
        Transient(status_code=450, error_code="4.7.1"),
        Transient(status_code=552, error_code="5.2.2"),
        Transient(error_code="not_started"),
        Transient(error_code="closed"),
        OutcomeUnknown(error_code="interrupted"),
        OutcomeUnknown(error_code="adapter_error"),
        OutcomeUnknown(error_code="worker_lost"),
        AccountHalted(status_code=401),
        Accepted(),
    ],
)
def test_what_is_about_one_message_or_about_us_does_not(outcome: AnyOutcome) -> None:
    assert not says_away(outcome)


def test_refusals_show_that_the_provider_is_there() -> None:
    assert all(says_there(outcome) for outcome in (Accepted(), RecipientRejected(), MessageRejected(), Throttled()))


def test_message_that_never_left_shows_nothing_of_the_provider() -> None:
    assert not says_there(MessageRejected(error_code="not_composed"))


def test_five_failures_of_three_messages_are_enough_and_those_of_two_are_not() -> None:
    row = FailuresInARow()
    assert [row.add(1, [name]) for name in "ababababc"] == [False] * 8 + [True]
    row = FailuresInARow()
    assert [row.add(1, [name]) for name in "abcd"] == [False] * 4
    assert row.add(1, ["a"])


def test_one_request_with_many_messages_is_one_failure() -> None:
    row = FailuresInARow()
    assert [row.add(1, [f"{at}" for at in range(100)]) for _ in range(5)] == [False] * 4 + [True]


def test_wait_doubles_from_ten_seconds_to_a_quarter_of_an_hour() -> None:
    waits = [away_wait(times) for times in (1, 2, 3, 50)]
    assert waits == [timedelta(seconds=10), timedelta(seconds=20), timedelta(seconds=40), timedelta(minutes=15)]
