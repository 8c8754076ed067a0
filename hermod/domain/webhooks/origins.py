"""Where a URL leads: what is stored for one origin is never sent to another."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

_PORTS: Final = {"http": 80, "https": 443}


def origin(url: str) -> tuple[str, str, int | None]:
    """Scheme, host and port of a checked URL. One host written in two ways may count as two, never two as one."""
    parts = urlsplit(url)
    return parts.scheme.lower(), (parts.hostname or "").lower(), parts.port or _PORTS.get(parts.scheme.lower())


def same_address(one: str | None, other: str | None) -> bool:
    """Whether two base URLs are the same place: origin and path. None is the provider's own."""
    if one is None or other is None:
        return one == other
    return (origin(one), _rest(one)) == (origin(other), _rest(other))


def _rest(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.path.rstrip("/"), parts.query
