"""The wire of webhooks: one request to a receiver that nobody has vouched for, within one deadline.

A receiver may be slow, endless, malicious or gone. So: only public addresses, decided on the very addresses that are
dialled; no redirects, cookies, proxies or decompression; 16 KiB of the answer and no further; a deadline over all of
it together. The status line decides, whatever becomes of the rest of the answer. Each call of `post` is at most one
request on the wire.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

import httpx

from hermod.clock import SystemClock
from hermod.contracts.webhooks.deliveries import MAX_ANSWER_BYTES, Phases
from hermod.outbound.addresses.guard import AddressGuard
from hermod.outbound.addresses.names import Names, SystemNames
from hermod.outbound.http.connecting import ADDRESS_REFUSED, ConnectFailed, Origin
from hermod.outbound.http.http1_connection import Answer, InvalidAnswer, request_head
from hermod.outbound.http.pool import KEEPALIVE, ConnectionPool
from hermod.outbound.http.retry_after import parse_retry_after
from hermod.outbound.http.timing import BODY, CONNECT, DNS, FIRST_BYTE, SENDING, TLS, WAITING, Timing
from hermod.outbound.webhooks.headers import request_headers, response_headers
from hermod.ports.clock import Clock
from hermod.ports.deadline import deadline_of
from hermod.ports.webhooks.ledger import SUCCESS, Exchange, Post

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
    keepalive: float = KEEPALIVE
    """Seconds an idle connection is kept."""


@dataclass(frozen=True, slots=True)
class _Target:
    """Where the requests to a URL go."""

    origin: Origin
    host: str
    """As the header has it: with the port where that is not the usual one."""
    path: bytes
    """With the query."""


class WebhookPoster:
    """The `Poster` of a process. Connects on first use, inside the running loop."""

    def __init__(
        self,
        guard: AddressGuard,
        *,
        clock: Clock | None = None,
        names: Names | None = None,
        settings: PosterSettings | None = None,
        context: ssl.SSLContext | None = None,
    ) -> None:
        settings = settings or PosterSettings()
        self._clock = clock or SystemClock()
        # Threads of their own: names that tenants choose must not hold up those of providers.
        self._names = SystemNames() if names is None else None
        self._pool = ConnectionPool(
            guard,
            limit=settings.connections_per_host,
            keepalive=settings.keepalive,
            names=names or self._names,
            context=context,
        )

    async def post(self, order: Post) -> Exchange:
        """Make the request. Every fault of the wire or the receiver is an outcome; only cancellation passes through."""
        timing = Timing()
        answer = Answer(MAX_ANSWER_BYTES, timing)
        sent: Sequence[tuple[str, str]] = order.headers
        outcome, error = "protocol", "no answer"
        try:
            target = _target(order.url)
            sent = list(_headers(order, target))
            head = request_head("POST", target.path, [(name.encode(), value.encode()) for name, value in sent])
            async with deadline_of(order.deadline.total_seconds()):
                await self._pool.exchange(target.origin, head, order.body, answer, timing, fresh=order.fresh)
        except Exception as reason:  # noqa: BLE001 - each is an outcome: of the wire, or of the receiver
            outcome, error = classify(reason, timing)
        if answer.status is not None:
            return self._answered(order, sent, answer, answer.status, timing)
        return Exchange(
            outcome=outcome,
            error=error,
            address=timing.address,
            request_headers=request_headers(sent, order.headers),
            phases=_phases(timing),
            duration_ms=timing.milliseconds(),
        )

    async def aclose(self) -> None:
        """Close the connections. Deliveries have ended before: a request under way would be cut off."""
        self._pool.close()
        if self._names is not None:
            await self._names.aclose()

    def _answered(
        self, order: Post, sent: Sequence[tuple[str, str]], answer: Answer, status: int, timing: Timing
    ) -> Exchange:
        outcome = _outcome(status)
        headers = [(name.decode("latin-1").lower(), value) for name, value in answer.headers]
        asked = None if outcome == SUCCESS else next((value for name, value in headers if name == "retry-after"), None)
        return Exchange(
            outcome=outcome,
            status_code=status,
            error=None if outcome == SUCCESS else f"the receiver answered {status}",
            retry_after=parse_retry_after(asked.decode("latin-1"), self._clock.now()) if asked is not None else None,
            address=timing.address,
            request_headers=request_headers(sent, order.headers),
            response_headers=response_headers(headers),
            body=bytes(answer.body),
            truncated=not answer.complete,
            phases=_phases(timing),
            duration_ms=timing.milliseconds(),
        )


def classify(error: Exception, timing: Timing) -> tuple[str, str]:
    """What a request without an answer came to: the outcome, and a text for people that quotes nothing of the URL."""
    if isinstance(error, ConnectFailed):
        return "refused_address" if error.code == ADDRESS_REFUSED else error.code, str(error)
    if isinstance(error, TimeoutError):
        return "timeout", _TOO_LATE.get(timing.stage, "no answer in time")
    if isinstance(error, OSError):
        return "reset", "the connection broke before an answer came"
    if isinstance(error, InvalidAnswer):
        return "protocol", "no valid HTTP answer"
    if isinstance(error, httpx.InvalidURL):
        return "protocol", "the URL cannot be called"
    return "protocol", f"the request could not be made ({type(error).__name__})"


def _headers(order: Post, target: _Target) -> Iterator[tuple[str, str]]:
    yield "Host", target.host
    yield from order.headers
    if not any(name.lower() == "accept" for name, _ in order.headers):
        yield "Accept", "*/*"
    yield "Accept-Encoding", "identity"
    yield "Content-Length", str(len(order.body))
    if order.fresh:
        yield "Connection", "close"


def _outcome(status: int) -> str:
    if 200 <= status < 300:
        return SUCCESS
    return "redirect" if 300 <= status < 400 else "http_error"


def _phases(timing: Timing) -> Phases:
    took = timing.took()
    return Phases(
        dns=took.get(DNS), connect=took.get(CONNECT), tls=took.get(TLS), first_byte=took.get(FIRST_BYTE),
        body=took.get(BODY),
    )  # fmt: skip


@lru_cache(maxsize=4096)
def _target(url: str) -> _Target:
    """Raises InvalidURL, and ValueError for one that is not of HTTP."""
    parsed = httpx.URL(url)
    path = parsed.raw_path
    if _VERBATIM.fullmatch(url):
        parts = urlsplit(url)
        path = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}".encode("ascii")
    return _Target(Origin.of(parsed), parsed.netloc.decode("ascii"), path)
