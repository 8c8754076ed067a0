"""What becomes of a submission next: for each standing one answer, and an end that is always reached."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hermod.contracts.forms.forms import FormMoment, PaymentStatus, SubmissionStatus
from hermod.domain.forms.submissions import (
    LOOK_AGAIN,
    Done,
    Expire,
    Move,
    Save,
    SubmissionState,
    Tell,
    Wait,
    backend_wait,
    next_move,
)
from hermod.domain.forms.visitors import rate_of, subject_of

NOW = datetime(2030, 5, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
FREE = SubmissionState(
    saved=True, awaits_payment=False, payment=None, expires_at=None, failures=0, refunds=0, told=frozenset()
)
PAYABLE = replace(FREE, awaits_payment=True, payment=PaymentStatus.AWAITED, expires_at=LATER)


def moves(standing: SubmissionState, now: datetime = NOW) -> list[Move]:
    """What is done one after another, until there is nothing to do but wait or end."""
    done: list[Move] = []
    for _ in range(10):
        move = next_move(standing, now)
        done.append(move)
        match move:
            case Save():
                standing = replace(standing, saved=True)
            case Tell():
                standing = replace(standing, told=standing.told | {move.mark})
            case Expire():
                standing = replace(standing, payment=PaymentStatus.EXPIRED)
            case _:
                return done
    raise AssertionError(done)


PAID, COMPLETED = Tell(FormMoment.PAID), Tell(FormMoment.COMPLETED)
EXPIRED = Tell(FormMoment.EXPIRED)
COMPLETE, OVER = Done(SubmissionStatus.COMPLETED), Done(SubmissionStatus.EXPIRED)


@pytest.mark.parametrize(
    ("standing", "now", "expected"),
    [
        (replace(FREE, saved=False), NOW, [Save(), COMPLETED, COMPLETE]),
        (replace(FREE, payment=PaymentStatus.PAID), NOW, [PAID, COMPLETED, COMPLETE]),
        (PAYABLE, NOW, [Wait(LATER)]),
        (PAYABLE, LATER, [Expire(), EXPIRED, OVER]),
        (replace(PAYABLE, payment=PaymentStatus.PAID), LATER, [PAID, COMPLETED, COMPLETE]),
        (
            replace(PAYABLE, payment=PaymentStatus.FAILED, failures=2),
            NOW,
            [Tell(FormMoment.PAYMENT_FAILED, "2"), Wait(LATER)],
        ),
        (replace(PAYABLE, payment=PaymentStatus.PROCESSING), LATER, [Wait(LATER + LOOK_AGAIN)]),
        (
            replace(PAYABLE, payment=PaymentStatus.PARTIALLY_REFUNDED, refunds=1),
            NOW,
            [PAID, COMPLETED, Tell(FormMoment.REFUNDED, "1"), COMPLETE],
        ),
        (
            replace(PAYABLE, payment=PaymentStatus.PAID, told=frozenset({EXPIRED.mark})),
            LATER,
            [PAID, COMPLETED, COMPLETE],
        ),
        (
            replace(PAYABLE, payment=PaymentStatus.REFUNDED, refunds=1, told=frozenset({EXPIRED.mark})),
            LATER,
            [EXPIRED, Tell(FormMoment.REFUNDED, "1"), OVER][1:],
        ),
    ],
)
def test_moves_come_in_their_order(standing: SubmissionState, now: datetime, expected: list[Move]) -> None:
    assert moves(standing, now) == expected


standings = st.builds(
    SubmissionState,
    saved=st.booleans(),
    awaits_payment=st.booleans(),
    payment=st.none() | st.sampled_from(PaymentStatus),
    expires_at=st.none() | st.sampled_from([NOW - timedelta(hours=1), NOW, LATER]),
    failures=st.integers(0, 3),
    refunds=st.integers(0, 3),
    told=st.frozensets(st.sampled_from([PAID.mark, COMPLETED.mark, EXPIRED.mark, "submission.refunded:1"])),
)


@given(standings)
def test_any_standing_comes_to_a_wait_or_an_end_and_tells_nothing_twice(standing: SubmissionState) -> None:
    done = moves(standing)
    told = [move.mark for move in done if isinstance(move, Tell)]
    assert len(told) == len(set(told))
    assert not standing.told & set(told)
    assert isinstance(done[-1], Wait | Done)


@given(standings)
def test_completed_is_told_only_once_it_is_paid_where_that_is_asked(standing: SubmissionState) -> None:
    done = moves(standing)
    if standing.awaits_payment and COMPLETED in done:
        came = {PaymentStatus.PAID, PaymentStatus.PARTIALLY_REFUNDED, PaymentStatus.REFUNDED}
        assert standing.payment in came | {PaymentStatus.DISPUTED, PaymentStatus.RETURNED}


def test_backend_is_asked_less_and_less_often_and_never_sooner_than_it_wants() -> None:
    assert [backend_wait(attempt, 0.0, None).total_seconds() for attempt in (1, 2, 3, 8, 9, 500)] == [
        2, 4, 8, 256, 300, 300,
    ]  # fmt: skip
    assert backend_wait(1, 1.0, None) == timedelta(seconds=2.6)
    assert backend_wait(1, 0.0, 3600.0) == timedelta(hours=1)
    assert backend_wait(9, 0.0, 1.0) == timedelta(minutes=5)


@pytest.mark.parametrize(
    ("address", "subject"),
    [
        ("203.0.113.7", "203.0.113.7"),
        (" ::ffff:203.0.113.7 ", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("[2001:db8:1:2::9]", "2001:db8:1:2::/64"),
        ("Gateway-1", "gateway-1"),
        ("203.0.113.7:51234", "203.0.113.7"),
        ("[2001:db8:1:2::9]:443", "2001:db8:1:2::/64"),
        ("[::ffff:203.0.113.7]:443", "203.0.113.7"),
        ("203.0.113.7, 198.51.100.9, 10.0.0.1", "203.0.113.7"),
        ("203.0.113.7:4711,10.0.0.1:80", "203.0.113.7"),
        ("2001:db8:1:2::9, 10.0.0.1", "2001:db8:1:2::/64"),
        ("unknown, 203.0.113.7", "203.0.113.7"),
        ('for="[2001:db8:1:2::9]:4711";proto=https, for=10.0.0.1', "2001:db8:1:2::/64"),
        ("for=203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2::9%eth0", "2001:db8:1:2::/64"),
    ],
)
def test_visitor_is_an_address_or_a_household(address: str, subject: str) -> None:
    assert subject_of(address) == subject


@given(st.integers(2, 100_000))
def test_rate_lets_no_more_than_its_number_pass_in_an_hour(per_hour: int) -> None:
    rate = rate_of(per_hour)
    assert rate.burst + rate.per_second * 3600 == pytest.approx(per_hour)
