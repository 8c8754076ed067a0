"""Whom the rate of a form's spam guard is for."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final, NamedTuple

_HOUR: Final = 3600.0
_HOUSEHOLD: Final = 64
"""Bits of an IPv6 address that a provider gives to one customer, who may use any address behind them."""


class Rate(NamedTuple):
    """`burst` submissions at once, and `per_second` of them from then on."""

    burst: float
    per_second: float


def subject_of(address: str) -> str:
    """What counts as the same visitor: an IPv4 address, the /64 of an IPv6 address, or any other text as it is."""
    try:
        found = ip_address(address.strip().strip("[]"))
    except ValueError:
        return address.strip().lower()
    if not isinstance(found, IPv6Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ip_network((found.packed, _HOUSEHOLD), strict=False))


def rate_of(per_hour: int) -> Rate:
    """At most `per_hour` within any hour: half of them at once, the others over the hour."""
    burst = (per_hour + 1) // 2
    return Rate(burst, max(per_hour - burst, 1) / _HOUR)
