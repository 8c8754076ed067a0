"""Hosts inside the operator's own network that webhooks may reach all the same, by setting.

An entry is a network (`10.20.0.0/16`), an address, or the exact name of a host (`hooks.internal`). An allowed network
holds for every name that resolves into it, so whoever may create endpoints reaches all of it; an allowed name holds
for whatever it resolves to, so it belongs into a DNS zone of the operator's own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Final, Self

_NAME: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*", re.ASCII)
_NUMERIC_END: Final = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)", re.ASCII)
"""What ends like this is a mistyped address and no name (the rule of the URL standard)."""


@dataclass(frozen=True, slots=True)
class AllowList:
    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    names: frozenset[str] = frozenset()

    @classmethod
    def of(cls, entries: Iterable[str]) -> Self:
        """Raises ValueError, with the entry that is neither a network nor a name."""
        networks: list[IPv4Network | IPv6Network] = []
        names: set[str] = set()
        for entry in entries:
            try:
                networks.append(ip_network(entry.strip("[]")))
            except ValueError:
                names.add(_name(entry))
        return cls(tuple(networks), frozenset(names))

    def has_name(self, host: str) -> bool:
        return _plain(host) in self.names

    def has_address(self, address: IPv4Address | IPv6Address) -> bool:
        return any(address in network for network in self.networks)


def _plain(host: str) -> str:
    return host.rstrip(".").lower()


def _name(entry: str) -> str:
    name = _plain(entry)
    if not _NAME.fullmatch(name) or _NUMERIC_END.fullmatch(name):
        raise ValueError(f"{entry!r} is neither a network like 10.20.0.0/16 nor an address nor the name of a host")
    return name
