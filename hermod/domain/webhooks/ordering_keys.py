"""Ordering keys as they may stand in ids and histories: they are the application's own, and may be personal."""

from __future__ import annotations

import hashlib

_BYTES = 16


def fingerprint(tenant: str, key: str) -> str:
    """What stands for an ordering key, 32 hex digits; another one for each tenant."""
    return hashlib.blake2b(f"{tenant}\0{key}".encode(), digest_size=_BYTES).hexdigest()
