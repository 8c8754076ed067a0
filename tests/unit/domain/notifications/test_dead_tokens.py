"""When a wrong token is believed to be dead, and when the account is suspected instead."""

from __future__ import annotations

import pytest

from hermod.domain.notifications.dead_tokens import MASS, is_mass, is_wrong_account


@pytest.mark.parametrize(
    ("suspects", "accepted", "expected"),
    [
        (0, 0, False),
        (MASS - 1, 0, False),
        (MASS, 0, True),
        (MASS, 4 * MASS - 1, True),
        (MASS, 4 * MASS, False),
        (1_000, 3_000, True),
        (1_000, 4_000, False),
    ],
)
def test_suspects_are_a_mass_when_they_are_many_and_more_than_a_fifth(
    suspects: int, accepted: int, expected: bool
) -> None:
    assert is_mass(suspects, accepted) is expected


def test_account_is_wrong_from_ten_refused_tokens_in_a_row() -> None:
    assert [is_wrong_account(count) for count in (0, 9, 10, 500)] == [False, False, True, True]
