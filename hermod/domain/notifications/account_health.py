"""When an account's provider counts as away: several requests in a row failed, and not those of one message alone."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from hermod.contracts.notifications.outcomes import (
    Accepted,
    AnyOutcome,
    MessageRejected,
    OutcomeUnknown,
    RecipientRejected,
    Throttled,
    Transient,
)

FAILURES: Final = 5
"""Failed requests in a row that open the breaker."""
MESSAGES: Final = 3
"""They are of so many messages at least: what fails again and again for one message may be the message's own."""
FIRST_WAIT: Final = timedelta(seconds=10)
LONGEST_WAIT: Final = timedelta(minutes=15)
_OUR_OWN: Final = frozenset({"adapter_error", "closed", "interrupted", "not_composed", "not_started", "worker_lost"})
"""Codes of what happened on our side of the wire."""


def away_wait(failures: int) -> timedelta:
    """How long an account whose provider is away is left alone: 10 s, doubling, up to 15 minutes."""
    doublings = min(max(failures - 1, 0), 10)
    return min(FIRST_WAIT * (1 << doublings), LONGEST_WAIT)


def says_away(outcome: AnyOutcome) -> bool:
    """Whether a request failed as all would: no connection, no answer, a 5xx. A 4xx is about this one (greylisting),
    and so is SMTP's 55x, such as a full mailbox."""
    if not isinstance(outcome, Transient | OutcomeUnknown) or outcome.error_code in _OUR_OWN:
        return False
    return outcome.status_code is None or 500 <= outcome.status_code < 550


def says_there(outcome: AnyOutcome) -> bool:
    """Whether the provider has answered as one that works, if only to refuse."""
    answered = isinstance(outcome, Accepted | RecipientRejected | MessageRejected | Throttled)
    return answered and outcome.error_code not in _OUR_OWN


@dataclass(slots=True)
class FailuresInARow:
    """What one worker has seen of one account since it last worked."""

    requests: int = 0
    messages: set[str] = field(default_factory=set)

    def add(self, requests: int, messages: Collection[str]) -> bool:
        """Whether that is enough to leave the account alone."""
        self.requests += requests
        if len(self.messages) < MESSAGES:
            self.messages.update(messages)
        return self.requests >= FAILURES and len(self.messages) >= MESSAGES
