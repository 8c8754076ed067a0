"""The wire of webhooks: one request to a receiver that nobody has vouched for, within one deadline.

A receiver may be slow, endless, malicious or gone. So: only public addresses, decided on the very addresses that are
dialled; no redirects, cookies, proxies or decompression; 16 KiB of the answer and no further; a deadline over all of
it together. Any 2xx is a success once its status line is there, whatever becomes of the body. aiohttp never repeats
a POST by itself, so each call of `post` is at most one request on the wire.
"""

from __future__ import annotations

import re
import socket
import ssl
from dataclasses import dataclass, field
from typing import Final

import aiohttp
from aiohttp import AddrInfoType
from aiohttp.abc import AbstractResolver
from aiohttp.connector import Connection
from yarl import URL

from hermod.clock import SystemClock
from hermod.contracts.webhooks.deliveries import MAX_ANSWER_BYTES
from hermod.outbound.addresses.guard import AddressGuard, AddressRefused, GuardedResolver, NameRefused, unresolved
from hermod.outbound.addresses.names import ReceiverNames
from hermod.outbound.addresses.tls import observed_context
from hermod.outbound.http.retry_after import parse_retry_after
from hermod.outbound.webhooks.headers import request_headers, response_headers
from hermod.outbound.webhooks.timing import (
    BODY,
    CONNECT,
    CURRENT,
    DNS,
    FIRST_BYTE,
    SENDING,
    TLS,
    WAITING,
    ObservedTls,
    Timing,
    begin,
    trace,
)
from hermod.ports.clock import Clock
from hermod.ports.deadline import deadline_of
from hermod.ports.webhooks.ledger import SUCCESS, Exchange, Post

_LONGEST_FIELD: Final = 16 * 1024
"""Bytes of one header. With at most 128 of them an answer's head cannot grow past 2 MiB."""
_READ_AHEAD: Final = 16 * 1024
_VERBATIM: Final = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]+", re.ASCII)
"""The characters of a URL that needs no quoting. Such a one is sent as it is: its `%3D` may be part of a signature."""

_TOO_LATE: Final = {
    WAITING: "no free connection in time",
    DNS: "the name did not resolve in time",
    CONNECT: "no connection in time",
    TLS: "the TLS handshake did not end in time",
    SENDING: "the request could not be sent in time",
    FIRST_BYTE: "no answer in time",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PosterSettings:
    connections_per_host: int = 100
    """Open at once to one host and port. There is no limit for all together: a receiver that hangs would use it up,
    and how much is under way at once is decided where deliveries are dispatched."""
    keepalive: float = 4.0
    """Seconds an idle connection is kept: less than the 5 s after which small servers close it."""


class _Answer(aiohttp.ClientResponse):
    """Notes whom the connection goes to: for one that is used again, nobody else knows."""

    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        timing, transport = CURRENT.get(), connection.transport
        if timing is not None and transport is not None:
            peer = transport.get_extra_info("peername")
            timing.address = str(peer[0]) if peer else timing.address
        return await super().start(connection)


@dataclass(slots=True)
class _Reading:
    """What has come of an answer so far. It outlives the deadline, which may strike in the middle of a body."""

    answer: aiohttp.ClientResponse | None = None
    body: bytearray = field(default_factory=bytearray)
    complete: bool = False

    async def read(self, answer: aiohttp.ClientResponse) -> None:
        """One byte more than is kept is read, which says whether there is more."""
        self.answer = answer
        while len(self.body) <= MAX_ANSWER_BYTES:
            chunk = await answer.content.read(MAX_ANSWER_BYTES + 1 - len(self.body))
            if not chunk:
                self.complete = True
                return
            self.body += chunk
        del self.body[MAX_ANSWER_BYTES:]

    def finish(self) -> None:
        """Close the connection, unless the whole answer was read and it went back by itself."""
        if self.answer is not None and not self.complete:
            self.answer.close()


class WebhookPoster:
    """The `Poster` of a process. Connects on first use, inside the running loop."""

    def __init__(
        self,
        guard: AddressGuard,
        *,
        clock: Clock | None = None,
        resolver: AbstractResolver | None = None,
        settings: PosterSettings | None = None,
    ) -> None:
        self._guard = guard
        self._clock = clock or SystemClock()
        self._names = GuardedResolver(guard, resolver or ReceiverNames())
        self._settings = settings or PosterSettings()
        self._sessions: dict[bool, aiohttp.ClientSession] = {}

    async def post(self, order: Post) -> Exchange:
        """Make the request. Every fault of the wire or the receiver is an outcome; only cancellation passes through."""
        timing, reading = Timing(), _Reading()
        outcome, error = "protocol", "no answer"
        token = CURRENT.set(timing)
        try:
            async with deadline_of(order.deadline.total_seconds()):
                await self._exchange(order, timing, reading)
        except Exception as reason:  # noqa: BLE001 - each is an outcome: of the wire, or of the receiver
            outcome, error = classify(reason, timing)
        finally:
            CURRENT.reset(token)
            reading.finish()
        if reading.answer is not None:
            return self._answered(order, timing, reading, reading.answer)
        return Exchange(
            outcome=outcome,
            error=error,
            address=timing.address,
            request_headers=request_headers(order.headers, order.headers),
            phases=timing.phases(),
            duration_ms=timing.milliseconds(),
        )

    async def aclose(self) -> None:
        """Close the connections. Deliveries have ended before: a request under way would be cut off."""
        for session in self._sessions.values():
            await session.close()
        await self._names.close()

    async def _exchange(self, order: Post, timing: Timing, reading: _Reading) -> None:
        url = _parsed(order.url)
        timing.host = url.raw_host or ""
        self._guard.check_host(timing.host)
        session = self._session(fresh=order.fresh)
        answer = await session.post(url, data=order.body, headers=order.headers, allow_redirects=False)
        begin(BODY)
        await reading.read(answer)

    def _answered(self, order: Post, timing: Timing, reading: _Reading, answer: aiohttp.ClientResponse) -> Exchange:
        outcome = _outcome(answer.status)
        asked = None if outcome == SUCCESS else answer.headers.get("retry-after")
        return Exchange(
            outcome=outcome,
            status_code=answer.status,
            error=None if outcome == SUCCESS else f"the receiver answered {answer.status}",
            retry_after=parse_retry_after(asked, self._clock.now()),
            address=timing.address,
            request_headers=request_headers(answer.request_info.headers.items(), order.headers),
            response_headers=response_headers(answer.headers),
            body=bytes(reading.body),
            truncated=not reading.complete,
            phases=timing.phases(),
            duration_ms=timing.milliseconds(),
        )

    def _session(self, *, fresh: bool) -> aiohttp.ClientSession:
        """One for connections that are kept, one for those of their own: a session does either."""
        if fresh not in self._sessions:
            self._sessions[fresh] = self._opened(fresh=fresh)
        return self._sessions[fresh]

    def _opened(self, *, fresh: bool) -> aiohttp.ClientSession:
        # aiohttp takes either a keep-alive time or `force_close`, not both.
        keep = {"force_close": True} if fresh else {"keepalive_timeout": self._settings.keepalive}
        connector = aiohttp.TCPConnector(
            ssl=observed_context(ObservedTls),
            resolver=self._names,
            socket_factory=self._dialled,
            limit=0,
            limit_per_host=self._settings.connections_per_host,
            **keep,
        )
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
            headers={"accept-encoding": "identity"},
            skip_auto_headers=("user-agent",),
            read_bufsize=_READ_AHEAD,
            max_field_size=_LONGEST_FIELD,
            response_class=_Answer,
            trace_configs=[trace()],
        )

    def _dialled(self, info: AddrInfoType) -> socket.socket:
        """A socket for one of the addresses. They were vetted; this is the last place where one could slip through."""
        family, kind, protocol, _, (address, *_) = info
        timing = CURRENT.get()
        if timing is not None:
            self._guard.check_answers(timing.host, [str(address)])
            timing.address = str(address)
        begin(CONNECT)
        return socket.socket(family, kind, protocol)


def classify(error: Exception, timing: Timing) -> tuple[str, str]:
    """What a request without an answer came to: the outcome, and a text for people that quotes nothing of the URL."""
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(cause, AddressRefused):
        return "refused_address", str(cause)
    if isinstance(error, aiohttp.ClientConnectorDNSError) or isinstance(cause, NameRefused):
        return "dns", unresolved(timing.host)
    if isinstance(error, aiohttp.ClientSSLError) or (cause is not error and timing.stage == TLS):
        return "tls", f"no TLS connection to {timing.host} ({_reason(cause)})"
    if isinstance(error, aiohttp.ClientConnectorError):
        return "connect", f"no connection to {error.host}:{error.port} ({_reason(cause)})"
    if isinstance(error, TimeoutError):
        return "timeout", _TOO_LATE.get(timing.stage, "no answer in time")
    if isinstance(error, (aiohttp.ServerDisconnectedError, OSError)):
        return "reset", "the connection broke before an answer came"
    if isinstance(error, aiohttp.InvalidURL):
        return "protocol", "the URL cannot be called"
    if isinstance(error, aiohttp.ClientError):
        return "protocol", f"no valid HTTP answer ({type(error).__name__})"
    return "protocol", f"the request could not be made ({type(error).__name__})"


def _reason(cause: BaseException) -> str:
    """Why a connection failed: the certificate's fault in OpenSSL's words, else the error's kind."""
    if isinstance(cause, ssl.SSLCertVerificationError):
        return str(cause.verify_message)
    return type(cause).__name__


def _outcome(status: int) -> str:
    if 200 <= status < 300:
        return SUCCESS
    return "redirect" if 300 <= status < 400 else "http_error"


def _parsed(url: str) -> URL:
    """Raises InvalidURL."""
    try:
        return URL(url, encoded=_VERBATIM.fullmatch(url) is not None)
    except ValueError:
        raise aiohttp.InvalidURL(url) from None
