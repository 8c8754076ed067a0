"""Rates as a port: who wants how many tokens of which bucket, and what it gets.

A bucket is whatever may only go so fast: an account at a provider, a tenant, a tenant's mail to one domain.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class RateRules:
    """What a tenant set for itself."""

    weight: float = 1.0
    """Its part of an account that several tenants use at once."""
    rate: float | None = None
    """Messages a second over all channels and accounts; None: no limit."""
    domains: Mapping[str, float] = field(default_factory=dict)
    """Emails a second by the recipient's domain, in lower case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReserveRequest:
    bucket: str
    rate: float
    """Tokens a second, over everybody."""
    tenant: str | None
    """Whose share it is, in a bucket that several tenants may use; None where there is but one."""
    weight: float
    most: int
    """Tokens that the caller could use now."""
    wanted: int
    """Tokens that it could use by and by. A caller that gets fewer counts as waiting, and others leave it its share."""
    borrow_ahead: float = 0.0
    """Tokens that it may reserve before they are there (`hermod.domain.rates.borrow_ahead`)."""
    burst: float | None = None
    """Tokens that the bucket holds, for rates of a few an hour; None: a slice, a quarter of a second's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    tokens: int
    """None are lent: these belong to the caller, who uses them after `delay` or gives them back."""
    delay: float
    """Seconds until they may be used. Zero but for callers that reserve ahead."""
    wait: float
    """Seconds after which it is worth asking for more."""


class Limiter(Protocol):
    """Exact over all workers: a bucket is one row, and whoever reserves locks it."""

    async def rules(self, tenant: str) -> RateRules:
        """At most a second old."""
        ...

    async def reserve(self, ask: ReserveRequest, now: datetime) -> Reservation:
        """Take up to `most` tokens: in any T seconds at most rate x T and a slice, whoever asks.

        Where several tenants wait for one bucket, each gets the part that its weight makes; what one of them leaves is
        the others'. A tenant alone gets everything.
        """
        ...

    async def give_back(self, bucket: str, rate: float, tokens: int) -> None:
        """Return tokens that were not used after all."""
        ...
