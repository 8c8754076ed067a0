"""Keeps requests away from addresses that are nobody's business from outside: loopback, private, link-local, reserved.

A tenant chooses the `base_url` of its accounts, and Hermod calls it from inside the operator's network. A check of
the URL alone is not enough (a name can resolve to anything, and differently the next time), so the decision is made
on the very addresses that are dialled (`hermod.outbound.addresses.dial`): a name is refused when any of its answers is
off limits.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final
from urllib.parse import urlsplit

import httpx

from hermod.contracts.errors import InvalidInput
from hermod.outbound.addresses.allow_list import AllowList
from hermod.telemetry import get_logger

_log = get_logger(__name__)

_BLOCKED_4: Final = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24 "
        "192.88.99.0/24 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4 "
        # Public by their numbers, but to a machine in that cloud the cloud's own: the host agent of Azure, metadata of
        # Equinix, services of IBM. All other clouds' are in the ranges above.
        "168.63.129.16/32 192.80.8.124/32 161.26.0.0/16 166.8.0.0/14"
    ).split()
)
_BLOCKED_6: Final = tuple(
    IPv6Network(network)
    for network in (
        # ::/96 holds `::`, `::1` and the retired IPv4-compatible form; 64:ff9b:1::/48 is NAT64 for local use.
        "::/96 64:ff9b:1::/48 100::/64 2001::/23 2001:db8::/32 3fff::/20 5f00::/16 fc00::/7 fe80::/10 fec0::/10 "
        "ff00::/8"
    ).split()
)
_INNER_4: Final = (
    (ip_network("::ffff:0:0/96"), 0),
    (ip_network("::ffff:0:0:0/96"), 0),
    (ip_network("64:ff9b::/96"), 0),
    (ip_network("2002::/16"), 80),
)
"""IPv6 ranges that carry an IPv4 address, and how many bits stand to its right: mapped, translated, NAT64, 6to4."""

_LABEL: Final = r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)"
_NAME: Final = re.compile(rf"(?=.{{1,253}}\.?$)({_LABEL}\.)*(?![0-9]+\.?$){_LABEL}\.?")
"""A name that the DNS can hold. `_` is in names of containers; a last part of digits alone is no name (an address)."""
_NUMERIC_HOST = re.compile(r"^(0[xX][0-9a-fA-F]*|[0-9]+)(\.(0[xX][0-9a-fA-F]*|[0-9]+)){0,3}\.?$")
"""What `inet_aton` takes for an IPv4 address, in all its spellings: `127.1`, `2130706433`, `0x7f.1`."""


class AddressRefused(OSError):
    """The address is off limits. An `OSError`, so that HTTP and SMTP clients treat it as a failed connection."""


class NameRefused(socket.gaierror):
    """The name resolves to an address that is off limits.

    Whoever chose the name is told what a name without any address comes to, in the same words: the difference would
    tell which names there are inside.
    """


def unresolved(host: str) -> str:
    """What is said of a name that does not resolve, and of one that is refused."""
    return f"the name {host} does not resolve to a public address"


@lru_cache(maxsize=4096)
def _literal(host: str) -> IPv4Address | IPv6Address | None:
    """The address that `host` spells out, or None for a name."""
    try:
        return ip_address(host.strip("[]"))
    except ValueError:
        return None


def is_literal(host: str) -> bool:
    """Whether the host is an address, so that no name has to be looked up."""
    return _literal(host) is not None


def _inner(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address that an IPv6 form of it carries, or the address itself."""
    if isinstance(address, IPv6Address):
        for network, shift in _INNER_4:
            if address in network:
                return IPv4Address((int(address) >> shift) & 0xFFFFFFFF)
    return address


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether the address belongs to the open internet; an IPv6 form of an IPv4 address is judged by the inner one."""
    address = _inner(address)
    blocked = _BLOCKED_4 if isinstance(address, IPv4Address) else _BLOCKED_6
    return not any(address in network for network in blocked)


_IN_THE_CREDENTIALS: Final = "put them into the credentials"
_IN_A_HEADER: Final = (
    "a URL is shown and logged, so send them in a custom header: "
    '"headers": {"authorization": "Basic <base64 of name:password>"}'
)


class AddressGuard:
    """Says which addresses may be dialled. `allow_private=True` lets everything pass (development, tests).

    `allowed` names hosts and networks that pass although they are private: see `hermod.outbound.addresses.allow_list`.
    """

    __slots__ = ("_allowed", "allow_private")

    def __init__(self, *, allow_private: bool = False, allowed: Iterable[str] = ()) -> None:
        """Raises ValueError where an entry of `allowed` is neither a network nor a host."""
        self.allow_private = allow_private
        self._allowed = AllowList.of(allowed)

    def check_host(self, host: str) -> None:
        """Raise AddressRefused for a literal address that is off limits. A name passes: its answers are checked."""
        if self.allow_private:
            return
        address = _literal(host)
        if address is not None:
            if not self._may_dial(address):
                raise AddressRefused(f"{host} is not a public address")
        elif _NUMERIC_HOST.match(host):
            raise AddressRefused(f"{host} is an unusual spelling of an IPv4 address")

    def check_answers(self, host: str, addresses: Iterable[str]) -> None:
        """Raise NameRefused when any of the addresses that `host` resolved to is off limits."""
        if self.allow_private or self._allowed.has_name(host):
            return
        for address in addresses:
            literal = _literal(address)
            if literal is None or not self._may_dial(literal):
                _log.warning("name_refused", host=host, address=address)
                raise NameRefused(socket.EAI_NONAME, unresolved(host))

    def check_url(self, url: str, field: str = "base_url", *, query: bool = False) -> None:
        """Raise InvalidInput for a URL that could never be called: what can be said without asking the DNS."""
        fault = self.url_fault(url, query=query)
        if fault is not None:
            raise InvalidInput.of(field, fault)

    def url_fault(self, url: str, *, query: bool = False) -> str | None:
        """Why the URL can never be called, or None. `query`: it is a webhook's, and may have one.

        Plain `http` would show the credentials to everyone on the way, so it passes only together with private
        addresses: all of them, or hosts that the operator has named.
        """
        try:
            parts, parsed = urlsplit(url), httpx.URL(url)
            host, port = parsed.raw_host.decode("ascii"), parts.port
        except (ValueError, httpx.InvalidURL) as reason:
            return f"is not a URL: {reason}"
        if parts.scheme not in ("https", "http") or not host or port == 0:
            return "must be a URL like https://api.example.com"
        if parts.scheme == "http" and not (self.allow_private or self._is_named(host)):
            return "must be https, so that credentials are never sent in the clear"
        if parts.username is not None or parts.password is not None:
            return f"must not contain a user name or password; {_IN_A_HEADER if query else _IN_THE_CREDENTIALS}"
        if parts.fragment or (parts.query and not query):
            return f"must not contain a {'fragment' if query else 'query or a fragment'}"
        return self.host_fault(host)

    def host_fault(self, host: str) -> str | None:
        """Why the host can never be dialled, or None: no name, an address off limits, or this machine by name."""
        try:
            self.check_host(host)
        except AddressRefused as reason:
            return f"must be a public address: {reason}"
        if _literal(host) is None and not (_NAME.fullmatch(host) or _NUMERIC_HOST.match(host)):
            return (
                "must have a host that the DNS can hold: parts of 1 to 63 letters, digits and hyphens, joined by dots"
            )
        name = host.rstrip(".").lower()
        if (name == "localhost" or name.endswith(".localhost")) and not (self.allow_private or self._is_named(host)):
            return f"must be a public address: {host} is this machine"
        return None

    def _may_dial(self, address: IPv4Address | IPv6Address) -> bool:
        return is_public(address) or self._allowed.has_address(_inner(address))

    def _is_named(self, host: str) -> bool:
        """Whether the operator's list has this very host: its name, or the address that it spells out."""
        address = _literal(host)
        return self._allowed.has_name(host) if address is None else self._allowed.has_address(_inner(address))
