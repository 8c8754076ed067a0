"""Slices, horizons and rates, as numbers."""

from __future__ import annotations

import pytest

from hermod.domain.rates import borrow_ahead, burst, domain_of, effective


@pytest.mark.parametrize(("rate", "tokens"), [(0.1, 1), (2, 1), (4, 1), (10, 2.5), (400, 100)])
def test_slice_is_a_quarter_of_a_second_and_one_at_least(rate: float, tokens: float) -> None:
    assert burst(rate) == tokens


@pytest.mark.parametrize(
    ("priority", "rate", "tokens"),
    [(1, 100, 0), (7, 100, 0), (8, 90, 30), (9, 90, 60), (10, 90, 90), (10, 0.5, 1), (10, 0.1, 0)],
)
def test_urgent_messages_may_reserve_ahead_and_others_not(priority: int, rate: float, tokens: float) -> None:
    assert borrow_ahead(priority, rate) == pytest.approx(tokens)


def test_own_rate_of_an_account_goes_before_its_providers() -> None:
    assert effective(3.0, 10.0) == 3.0
    assert effective(None, 10.0) == 10.0
    assert effective(None, None) is None


def test_domain_is_what_follows_the_last_at() -> None:
    assert domain_of('"a@b"@example.com') == "example.com"
    assert domain_of("no address") == ""
