"""Who may talk to the HTTP servers that listen on this machine alone.

A page in the user's browser can have its own name point here (DNS rebinding), and the browser then lets it read our
answers. It cannot change the `Host` that the browser sends, which is its own name.
"""

from __future__ import annotations

from typing import Final

from devstack.servers.ports import LOOPBACK

NAMES: Final = frozenset({LOOPBACK, "localhost", "[::1]"})
REFUSAL: Final = "This server answers to 127.0.0.1 and localhost only."


def is_local(host: str | None) -> bool:
    """Whether a `Host` header names this machine, with or without a port. HTTP/1.0 has none, and browsers have."""
    if not host:
        return True
    name, _, port = host.rpartition(":") if not host.endswith("]") else (host, "", "")
    if not port.isdigit():
        name = host
    return name.lower() in NAMES
