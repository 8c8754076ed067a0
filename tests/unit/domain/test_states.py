"""The arrows of the state machine."""

from __future__ import annotations

import pytest

from hermod.contracts.notifications.messages import Status
from hermod.domain.states import CANCELLABLE, CLOSED, OPEN, TRANSITIONS, WITHDRAWN, may_become


@pytest.mark.parametrize("status", sorted(OPEN))
def test_every_open_state_may_be_withdrawn(status: Status) -> None:
    assert all(may_become(status, end) for end in WITHDRAWN)


@pytest.mark.parametrize("status", sorted(CLOSED - {Status.FAILED, Status.UNKNOWN}))
def test_no_closed_state_becomes_open_again_except_failed_and_unknown(status: Status) -> None:
    assert not any(may_become(status, again) for again in OPEN)


def test_a_message_under_way_cannot_be_cancelled() -> None:
    assert Status.SENDING not in CANCELLABLE


def test_every_state_that_can_be_left_can_be_reached() -> None:
    reached = {Status.PENDING} | WITHDRAWN | {status for ends in TRANSITIONS.values() for status in ends}
    assert reached == set(Status)
