"""Whom the rate of a form's spam guard is for."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final, NamedTuple

_HOUR: Final = 3600.0
_HOP: Final = re.compile(
    r"""(?:for=)?"?(?:\[([^\]%]+)(?:%[^\]]*)?\](?::\d+)?|([\d.]+)(?::\d+)?|([0-9a-f:.]+)(?:%.*?)?)"?(?:;.*)?""",
    re.IGNORECASE | re.ASCII,
)
"""`[v6]:port`, `v4:port` or an IPv6 address, each of them also as `for="…"`."""
_HOUSEHOLD: Final = 64
"""Bits of an IPv6 address that a provider gives to one customer, who may use any address behind them."""


class Rate(NamedTuple):
    """`burst` submissions at once, and `per_second` of them from then on."""

    burst: float
    per_second: float


def subject_of(address: str) -> str:
    """What counts as the same visitor: an IPv4 address, the /64 of an IPv6 address, or any other text as it is.

    Takes what servers and proxies make of an address: with a port, in brackets, as `for=` of RFC 7239, and as a list of
    hops (`X-Forwarded-For`), the first of which is the visitor.
    """
    hops = [hop.strip() for hop in address.split(",")]
    found = next((one for hop in hops if (one := _address(hop)) is not None), None)
    if found is None:
        return hops[0].lower()
    if not isinstance(found, IPv6Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ip_network((found.packed, _HOUSEHOLD), strict=False))


def _address(hop: str) -> IPv4Address | IPv6Address | None:
    """An address without its port and its zone; None for what is none (`unknown`, `_hidden`)."""
    matched = _HOP.fullmatch(hop)
    if matched is None:
        return None
    try:
        return ip_address(next(filter(None, matched.groups())))
    except ValueError:
        return None


def rate_of(per_hour: int) -> Rate:
    """At most `per_hour` within any hour: half of them at once, the others over the hour."""
    burst = (per_hour + 1) // 2
    return Rate(burst, max(per_hour - burst, 1) / _HOUR)
