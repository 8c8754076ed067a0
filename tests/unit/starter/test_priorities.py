"""One scale of urgency, turned round for Temporal."""

from __future__ import annotations

import pytest

from hermod.contracts.notifications.messages import Options
from hermod.contracts.priorities import DEFAULT_PRIORITY, HIGHEST_PRIORITY, priority_key, priority_of
from starter.temporal.priorities import temporal_priority


def test_most_urgent_priority_has_the_first_key_and_the_default_one_is_that_of_messages() -> None:
    assert (priority_key(HIGHEST_PRIORITY), priority_key(DEFAULT_PRIORITY), priority_key(1)) == (1, 6, 10)
    assert Options().priority == DEFAULT_PRIORITY


@pytest.mark.parametrize("priority", range(1, HIGHEST_PRIORITY + 1))
def test_priority_comes_back_from_its_key(priority: int) -> None:
    assert priority_of(priority_key(priority)) == priority
    assert temporal_priority(priority, "shop").priority_key == priority_key(priority)


def test_work_without_a_key_counts_as_the_default() -> None:
    assert priority_of(None) == DEFAULT_PRIORITY
