"""What follows each outcome: the two guarantees, failover, and attempts that an outage does not cost."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from hermod.contracts.notifications.messages import Guarantee, Status
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
from hermod.contracts.notifications.retries import Preset
from hermod.domain.notifications.delivery import End, FailOver, Retry, RetryState, after, after_lost_worker

NOW = datetime(2026, 1, 1, tzinfo=UTC)
FRESH = RetryState(
    guarantee=Guarantee.AT_LEAST_ONCE, retry=Preset.SMS, spent=0, not_after=None, spending=False, idempotent=False
)
AT_MOST_ONCE = replace(FRESH, guarantee=Guarantee.AT_MOST_ONCE)


def test_accepted_is_sent() -> None:
    assert after(Accepted(provider_id="x"), FRESH, NOW, 0) == End(Status.SENT, "accepted by the provider")


@pytest.mark.parametrize("outcome", [RecipientRejected(), MessageRejected()])
def test_rejection_is_final_and_asks_no_other_account(outcome: AnyOutcome) -> None:
    step = after(outcome, FRESH, NOW, 0)
    assert isinstance(step, End)
    assert step.status is Status.FAILED


def test_content_refused_together_with_others_goes_alone_and_spends_nothing() -> None:
    together = replace(FRESH, together=True)
    step = after(MessageRejected(), together, NOW, 0)
    assert step == Retry(timedelta(0), 0, "refused together with others; it goes alone now")
    assert isinstance(after(RecipientRejected(), together, NOW, 0), End)


def test_transient_tries_the_next_account_and_else_waits_for_a_counted_round() -> None:
    step = after(Transient(), FRESH, NOW, 0)
    assert isinstance(step, FailOver)
    assert step.spending
    assert isinstance(step.otherwise, Retry)
    assert (step.otherwise.delay, step.otherwise.spent) == (timedelta(seconds=1), 1)


def test_transient_in_the_last_round_is_a_dead_letter() -> None:
    step = after(Transient(), replace(FRESH, spent=4), NOW, 0)
    assert isinstance(step, FailOver)
    assert isinstance(step.otherwise, End)
    assert step.otherwise.status is Status.FAILED


def test_throttled_spends_no_attempt_and_waits_as_asked() -> None:
    step = after(Throttled(retry_after=90), replace(FRESH, spent=4), NOW, 0)
    assert isinstance(step, FailOver)
    assert not step.spending
    assert step.otherwise == Retry(timedelta(seconds=90), 4, "the provider asks us to wait", shared=True)


def test_halted_account_spends_no_attempt() -> None:
    step = after(AccountHalted(), replace(FRESH, spent=4), NOW, 0)
    assert isinstance(step, FailOver)
    assert isinstance(step.otherwise, Retry)
    assert step.otherwise.spent == 4


def test_throttled_after_a_transient_in_the_same_round_counts_the_round() -> None:
    step = after(Throttled(), replace(FRESH, spending=True), NOW, 0)
    assert isinstance(step, FailOver)
    assert isinstance(step.otherwise, Retry)
    assert step.otherwise.spent == 1


def test_unknown_under_at_least_once_is_sent_again_elsewhere() -> None:
    step = after(OutcomeUnknown(), FRESH, NOW, 0)
    assert isinstance(step, FailOver)
    assert isinstance(step.otherwise, Retry)


def test_unknown_under_at_most_once_ends_as_unknown() -> None:
    step = after(OutcomeUnknown(), AT_MOST_ONCE, NOW, 0)
    assert isinstance(step, End)
    assert step.status is Status.UNKNOWN


@pytest.mark.parametrize("standing", [FRESH, AT_MOST_ONCE])
def test_unknown_with_an_idempotency_key_is_repeated_at_the_same_account(standing: RetryState) -> None:
    step = after(OutcomeUnknown(), replace(standing, idempotent=True), NOW, 0)
    assert isinstance(step, Retry)
    assert step.spent == 1


def test_unknown_with_all_attempts_used_keeps_the_promise_of_at_most_once() -> None:
    step = after(OutcomeUnknown(), replace(AT_MOST_ONCE, idempotent=True, spent=4), NOW, 0)
    assert isinstance(step, End)
    assert step.status is Status.UNKNOWN


def test_retry_that_would_come_after_not_after_expires_instead() -> None:
    late = replace(FRESH, not_after=NOW + timedelta(milliseconds=500))
    step = after(OutcomeUnknown(), replace(late, idempotent=True), NOW, 0)
    assert isinstance(step, End)
    assert step.status is Status.EXPIRED


def test_lost_worker_is_repeated_at_once_under_at_least_once() -> None:
    step = after_lost_worker(FRESH, NOW)
    assert isinstance(step, Retry)
    assert (step.delay, step.spent) == (timedelta(0), 1)


def test_lost_worker_ends_as_unknown_under_at_most_once() -> None:
    step = after_lost_worker(AT_MOST_ONCE, NOW)
    assert isinstance(step, End)
    assert step.status is Status.UNKNOWN


def test_lost_worker_in_the_last_round_ends_so_that_a_deadly_message_cannot_go_on_for_ever() -> None:
    step = after_lost_worker(replace(FRESH, spent=4), NOW)
    assert isinstance(step, End)
    assert step.status is Status.FAILED


@pytest.mark.parametrize("guarantee", list(Guarantee))
@pytest.mark.parametrize("outcome", [Transient(), OutcomeUnknown()])
def test_end_after_a_request_of_unknown_outcome_says_that_it_may_have_arrived(
    outcome: AnyOutcome, guarantee: Guarantee
) -> None:
    standing = replace(FRESH, spent=4, doubtful=True, idempotent=True, guarantee=guarantee)
    step = after(outcome, standing, NOW, 0)
    end = step.otherwise if isinstance(step, FailOver) else step
    assert isinstance(end, End)
    assert "nothing was taken" not in end.reason
    assert "no retry is left after 5 rounds" in end.reason
    assert ("an earlier request is unknown" in end.reason) is isinstance(outcome, Transient)


def test_end_after_definite_outcomes_says_nothing_of_doubt() -> None:
    step = after(Transient(), replace(FRESH, spent=4), NOW, 0)
    assert isinstance(step, FailOver)
    assert isinstance(step.otherwise, End)
    assert "unknown" not in step.otherwise.reason
