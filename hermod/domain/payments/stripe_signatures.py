"""The `Stripe-Signature` header: `t=1700000000,v1=<hex>[,v1=<hex>…][,v0=<hex>]`.

Signed, with HMAC-SHA256 and the whole `whsec_…` as its key, is `{t}.{body}`, the very bytes that came. There is a `v1`
for each secret that is valid while one is rolled. `v0` is of test events only, and proves nothing.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from datetime import datetime
from typing import Final

HEADER: Final = "stripe-signature"
TOLERANCE: Final = 300
"""Seconds that a call may be old or ahead. Stripe signs each of its repetitions anew."""

_LONGEST: Final = 4096
_MOST: Final = 20
"""Signatures that are looked at; more are no rolling of secrets but an attempt to keep us busy."""
_DIGITS: Final = frozenset("0123456789")
_LONGEST_TIME: Final = 12


class WrongSignature(Exception):
    """The call is not what the owner of the secret sent just now. Says why, without quoting it."""


def check(body: bytes, headers: Sequence[str], secrets: Sequence[str], now: datetime) -> None:
    """Raise WrongSignature unless `body` was signed with one of the secrets in the last five minutes.

    `headers` are the values of all signature headers of the call: exactly one is right.
    """
    if len(headers) != 1 or len(headers[0]) > _LONGEST:
        raise WrongSignature("there is not exactly one signature header")
    timestamp, given = _parted(headers[0])
    signed = timestamp.encode() + b"." + body
    expected = [hmac.digest(secret.encode(), signed, hashlib.sha256).hex().encode() for secret in secrets]
    # All are compared, so that the time it takes says nothing of which one is right.
    matches = [hmac.compare_digest(ours, theirs) for ours in expected for theirs in given]
    if not any(matches):
        raise WrongSignature("no signature matches")
    if abs(now.timestamp() - int(timestamp)) > TOLERANCE:
        raise WrongSignature("the timestamp is more than five minutes off")


def _parted(header: str) -> tuple[str, list[bytes]]:
    """The timestamp as it was written, and the signatures that count."""
    entries = [entry.strip().partition("=") for entry in header.split(",")]
    timestamps = [value for name, _, value in entries if name == "t"]
    if len(timestamps) != 1:
        raise WrongSignature("there is not exactly one timestamp")
    (timestamp,) = timestamps
    if not 0 < len(timestamp) <= _LONGEST_TIME or not _DIGITS.issuperset(timestamp):
        raise WrongSignature("the timestamp is no whole number of seconds")
    return timestamp, [value.encode("utf-8", "replace") for name, _, value in entries if name == "v1"][:_MOST]
