"""What can go wrong between a request and its answer, by name."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class FaultName(StrEnum):
    THROTTLE = "throttle"
    """429 in the provider's shape, `Retry-After` where one is given; SMTP 421. Not stored."""
    ERROR_500 = "error_500"
    """500 in the provider's shape; SMTP 451. Not stored."""
    ERROR_503 = "error_503"
    """503 in the provider's shape; SMTP 452. Not stored."""
    SLOW = "slow"
    """Stored, answered as usual after `delay`."""
    ACCEPT_THEN_TIMEOUT = "accept_then_timeout"
    """Stored, answered only after a `delay` that outlasts the caller's patience."""
    RESET = "reset"
    """The request is read, not stored, and the connection reset; SMTP: dropped before DATA."""
    ACCEPT_THEN_RESET = "accept_then_reset"
    """Stored, then the connection is reset; SMTP: dropped after the final dot."""
    WRONG_CONTENT_TYPE = "wrong_content_type"
    """Stored, but something on the way answers in its place: the success status with a text/plain body."""
    HTML_ERROR = "html_error"
    """A gateway's 502 page in HTML. Not stored."""
    TRUNCATED_JSON = "truncated_json"
    """Stored, answered with the success status and half of the body."""
    BAD_CREDENTIALS = "bad_credentials"
    """The provider's 401; SMTP 535. Not stored."""
    REJECTED_RECIPIENT = "rejected_recipient"
    """The provider's refusal of an address; SMTP 550 5.1.1. Not stored."""
    REJECTED_MESSAGE = "rejected_message"
    """The provider's refusal of a content; SMTP 554 5.6.0. Not stored."""


STORED: Final = frozenset(
    {
        FaultName.SLOW,
        FaultName.ACCEPT_THEN_TIMEOUT,
        FaultName.ACCEPT_THEN_RESET,
        FaultName.WRONG_CONTENT_TYPE,
        FaultName.TRUNCATED_JSON,
    }
)
"""Faults that keep the message: it counts as accepted, whatever the caller gets to see."""

REJECTIONS: Final = frozenset({FaultName.REJECTED_RECIPIENT, FaultName.REJECTED_MESSAGE})
"""Faults of one message, which leave the others of its batch alone."""

DEFAULT_DELAYS: Final = {FaultName.SLOW: 3.0, FaultName.ACCEPT_THEN_TIMEOUT: 60.0}


@dataclass(slots=True, frozen=True)
class Fault:
    """What one request meets. Times in seconds."""

    name: FaultName
    retry_after: float | None = None
    delay: float | None = None
    code: int | None = None
    """The vendor's own code for the refusal, where a magic recipient stands for one (Twilio)."""

    @property
    def wait(self) -> float:
        """How long to sit on the answer."""
        return self.delay if self.delay is not None else DEFAULT_DELAYS.get(self.name, 0.0)
