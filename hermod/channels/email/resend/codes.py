"""Resend's error names (resend.com/docs/api-reference/errors) and what they mean for a message. Data only.

A name that is not listed is judged by the HTTP status. `validation_error` is three things: at 400 and 422 a fault of
the request, at 403 a sender whose domain is not verified (or the shared test sender, which reaches only its owner).

A refusal names no field, so an address that Resend finds invalid looks like any other fault of the request: it refuses
the message, and nothing is learnt about the address.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final


class Meaning(Enum):
    MESSAGE = auto()
    SENDER = auto()
    """Halts the account where the sender is the account's own, else refuses the message."""
    ACCOUNT = auto()
    RATE = auto()
    """Too many requests in this second; not processed."""
    QUOTA = auto()
    """The day's or month's share is used up; not processed, and a retry within seconds changes nothing."""
    IN_FLIGHT = auto()
    """Another request with this key is being worked on: its outcome is the outcome."""
    TAKEN = auto()
    """An email was sent under this key in the last 24 hours, from another request body."""


MEANINGS: Final[dict[tuple[int, str], Meaning]] = {
    (400, "invalid_idempotency_key"): Meaning.MESSAGE,
    (400, "validation_error"): Meaning.MESSAGE,
    (401, "missing_api_key"): Meaning.ACCOUNT,
    (401, "restricted_api_key"): Meaning.ACCOUNT,
    (403, "invalid_api_key"): Meaning.ACCOUNT,
    (403, "validation_error"): Meaning.SENDER,
    (403, "invalid_from_address"): Meaning.SENDER,
    (422, "invalid_from_address"): Meaning.SENDER,
    (404, "not_found"): Meaning.ACCOUNT,
    (405, "method_not_allowed"): Meaning.ACCOUNT,
    (409, "concurrent_idempotent_requests"): Meaning.IN_FLIGHT,
    (409, "invalid_idempotent_request"): Meaning.TAKEN,
    (422, "missing_required_field"): Meaning.MESSAGE,
    (422, "validation_error"): Meaning.MESSAGE,
    (422, "invalid_attachment"): Meaning.MESSAGE,
    (422, "invalid_access"): Meaning.MESSAGE,
    (422, "invalid_parameter"): Meaning.MESSAGE,
    (422, "invalid_region"): Meaning.MESSAGE,
    (429, "rate_limit_exceeded"): Meaning.RATE,
    (429, "daily_quota_exceeded"): Meaning.QUOTA,
    (429, "monthly_quota_exceeded"): Meaning.QUOTA,
    (451, "security_error"): Meaning.MESSAGE,
}

QUOTA_WAITS: Final = {"daily_quota_exceeded": 3600.0, "monthly_quota_exceeded": 6 * 3600.0}
"""Seconds that an account rests at least. When a quota starts anew is not documented, and an operator may raise it."""
