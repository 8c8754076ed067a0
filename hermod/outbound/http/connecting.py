"""Opens one connection to a host that nobody has vouched for, and says of a failure how far it came."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Final, NamedTuple, TypeVar

import httpx

from hermod.outbound.addresses.dial import connected, resolved, system_names
from hermod.outbound.addresses.guard import AddressGuard, AddressRefused, is_literal, unresolved
from hermod.outbound.addresses.names import Names
from hermod.outbound.http.timing import CONNECT, DNS, TLS, Timing

ADDRESS_REFUSED: Final = "address_refused"
CLOSE_WITHIN: Final = 1.0
"""Seconds that the other side has for its last word of TLS; who does not say it would keep the connection open."""

Protocol = TypeVar("Protocol", bound=asyncio.Protocol)


class Origin(NamedTuple):
    """Where a connection goes."""

    host: str
    port: int
    tls: bool

    @classmethod
    def of(cls, url: httpx.URL) -> Origin:
        """Raises ValueError for a URL that is none of HTTP."""
        host, scheme = url.raw_host.decode("ascii"), url.scheme
        if scheme not in ("http", "https") or not host:
            raise ValueError("no URL of HTTP")
        return cls(host, url.port or (443 if scheme == "https" else 80), scheme == "https")


class ConnectFailed(Exception):
    """There is no connection, so nothing has left. The text is for people: of a name inside it says what it says of
    one that does not exist. `code` is `address_refused`, `dns`, `connect` or `tls`.
    """

    def __init__(self, code: str, text: str) -> None:
        self.code = code
        super().__init__(text)


async def open_connection(
    origin: Origin,
    protocol: Callable[[], Protocol],
    timing: Timing,
    guard: AddressGuard,
    context: ssl.SSLContext | None,
    names: Names | None = None,
) -> tuple[asyncio.Transport, Protocol]:
    """A connection to the first of the origin's addresses that answers; with TLS where there is a context.

    How long it may take is up to the caller. Raises ConnectFailed.
    """
    host, port, _ = origin
    if not is_literal(host):
        timing.begin(DNS)
    try:
        answers = await resolved(host, port, guard, names or system_names())
    except AddressRefused as error:
        raise ConnectFailed(ADDRESS_REFUSED, str(error)) from error
    except (OSError, UnicodeError) as error:
        raise ConnectFailed("dns", unresolved(host)) from error
    timing.begin(CONNECT)
    timing.address = answers[0][4][0]
    try:
        dialled = await connected(answers)
        timing.address = str(dialled.getpeername()[0])
    except OSError as error:
        raise _no_connection(origin, error) from error
    if context is not None:
        timing.begin(TLS)
    try:
        transport, connection = await asyncio.get_running_loop().create_connection(
            protocol,
            sock=dialled,
            ssl=context,
            server_hostname=host if context is not None else None,
            ssl_shutdown_timeout=CLOSE_WITHIN if context is not None else None,
        )
    except OSError as error:  # an SSLError is one, too
        if context is None:
            raise _no_connection(origin, error) from error
        raise ConnectFailed("tls", f"no TLS connection to {host} ({_reason(error)})") from error
    except BaseException:
        dialled.close()
        raise
    return transport, connection


def _no_connection(origin: Origin, error: OSError) -> ConnectFailed:
    return ConnectFailed("connect", f"no connection to {origin.host}:{origin.port} ({type(error).__name__})")


def _reason(error: OSError) -> str:
    """The certificate's fault in OpenSSL's words, else the error's kind."""
    return str(error.verify_message) if isinstance(error, ssl.SSLCertVerificationError) else type(error).__name__
