"""Where a subscription's messages go. The address comes from a browser: anybody could have written it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import httpx

from hermod.outbound.addresses.guard import AddressGuard

LONGEST_ENDPOINT: Final = 2048
_HOST: Final = re.compile(r"^(\*\.)?[a-z0-9]([a-z0-9.-]*[a-z0-9])?$")


def host_patterns(text: str) -> tuple[str, ...]:
    """The patterns of `allowed_hosts`: names, or `*.` and a name for everything below it, with commas or spaces."""
    return tuple(part.lower() for part in re.split(r"[,\s]+", text) if part)


def is_pattern(pattern: str) -> bool:
    return _HOST.match(pattern) is not None


def endpoint_fault(endpoint: object, guard: AddressGuard, allowed: Sequence[str]) -> str | None:
    """Why nothing may be sent there, or None. What a name resolves to is checked again when it is dialled."""
    if not isinstance(endpoint, str) or not endpoint:
        return "the subscription has no endpoint"
    if len(endpoint) > LONGEST_ENDPOINT or not endpoint.isascii() or not endpoint.isprintable() or " " in endpoint:
        return "the subscription's endpoint is not a URL"
    # Some services have the whole subscription in the query.
    fault = guard.url_fault(endpoint.partition("?")[0])
    if fault is not None:
        return f"the subscription's endpoint {fault}"
    host = httpx.URL(endpoint).host
    if allowed and not any(_matches(host, pattern) for pattern in allowed):
        return "the subscription's endpoint is on a host that the account does not allow"
    return None


def origin(endpoint: httpx.URL) -> str:
    """Scheme, host and port, the port only where it is not the scheme's own."""
    return f"{endpoint.scheme}://{endpoint.netloc.decode('ascii')}"


def _matches(host: str, pattern: str) -> bool:
    return host.endswith(pattern[1:]) if pattern.startswith("*.") else host == pattern
