"""One HTTP exchange with a provider: an `httpx.Request` in, a small `Reply` out, or exactly one of two failures.

`NotSent` is raised where it is proven that the provider did not get the request: not a byte of it had left. `Unknown`
is everything else that has no answer. The difference decides whether a message may be sent again.
"""

from __future__ import annotations

import asyncio
import contextlib
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Protocol

import httpx

from hermod.outbound.addresses.guard import AddressGuard
from hermod.outbound.http.connecting import ConnectFailed, Origin
from hermod.outbound.http.http1_connection import Answer, Disconnected, InvalidAnswer, request_head
from hermod.outbound.http.pool import KEEPALIVE, ConnectionPool
from hermod.outbound.http.timing import Timing
from hermod.ports.deadline import deadline_of

DRAIN_SECONDS: Final = 10.0
_CONNECT_SHARE: Final = 0.4
_LONGEST_CONNECT: Final = 10.0
"""Connecting gets 40 % of the deadline and at most 10 s, so that the deadline itself never falls into that phase."""
_OURS: Final = frozenset({b"host", b"content-length", b"transfer-encoding", b"connection", b"accept-encoding"})
"""Headers that say how the request is transferred."""


class NotSent(Exception):
    """The request provably did not reach the provider. `code` is a short word for machines, the text is for people."""

    def __init__(self, code: str, text: str) -> None:
        self.code = code
        super().__init__(text)


class Unknown(Exception):
    """The request may have been processed: nobody can say. `code` and text as for NotSent."""

    def __init__(self, code: str, text: str) -> None:
        self.code = code
        super().__init__(text)


@dataclass(frozen=True, slots=True)
class Reply:
    """A provider's answer. `truncated`: the body was longer than the cap, broke off, or cannot be decoded."""

    status: int
    headers: httpx.Headers
    body: bytes
    truncated: bool = False
    duration_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpSettings:
    connections: int = 100
    """Open connections of one account to one host at most; further requests wait for one within the connect time."""
    keepalive: float = KEEPALIVE
    """Seconds an idle connection is kept."""
    max_reply_bytes: int = 256 * 1024
    user_agent: str = "Hermod"


class Client(Protocol):
    """What an adapter needs to reach its provider: over HTTP/1.1 here, over HTTP/2 in `hermod.outbound.http.http2`."""

    async def exchange(self, request: httpx.Request, *, deadline: float, fresh: bool = False) -> Reply:
        """Raises NotSent or Unknown."""
        ...

    async def aclose(self) -> None: ...


class HttpClient:
    """The long-lived HTTP session of one provider account. Connects on first use, inside the running loop."""

    def __init__(self, guard: AddressGuard, settings: HttpSettings | None = None) -> None:
        self._settings = settings or HttpSettings()
        self._pool = ConnectionPool(guard, limit=self._settings.connections, keepalive=self._settings.keepalive)
        self._user_agent = self._settings.user_agent.encode("ascii")
        self._active = 0
        self._closing = False
        self._drained = asyncio.Event()
        self._drained.set()

    async def exchange(self, request: httpx.Request, *, deadline: float, fresh: bool = False) -> Reply:
        """Send the request and read its answer, both within `deadline` seconds.

        `fresh` takes a new connection instead of a kept one: for a repetition that must not meet a dying connection.
        An answer whose body breaks off is still an answer: its status has been said. Raises NotSent or Unknown.
        """
        if self._closing:
            raise NotSent("closed", "the account's settings have changed meanwhile")
        self._active += 1
        self._drained.clear()
        try:
            return await self._exchange(request, deadline, fresh)
        finally:
            self._active -= 1
            if not self._active:
                self._drained.set()

    async def aclose(self) -> None:
        """Close the connections after the exchanges under way have ended, or after `DRAIN_SECONDS`."""
        self._closing = True
        with contextlib.suppress(TimeoutError):
            async with deadline_of(DRAIN_SECONDS):
                await self._drained.wait()
        self._pool.close()

    async def _exchange(self, request: httpx.Request, deadline: float, fresh: bool) -> Reply:
        timing = Timing()
        answer = Answer(self._settings.max_reply_bytes, timing)
        try:
            origin, content = Origin.of(request.url), request.content
            head = request_head(request.method, request.url.raw_path, self._headers(request, len(content), fresh))
            async with deadline_of(deadline):
                await self._pool.exchange(
                    origin, head, content, answer, timing, fresh=fresh, connect_within=connect_time(deadline)
                )
        except ConnectFailed as failure:
            raise NotSent(failure.code, str(failure)) from failure
        except ValueError as error:
            raise NotSent("request", f"the request cannot be sent: {error}") from error
        except (TimeoutError, OSError, InvalidAnswer) as error:
            if answer.status is None:
                raise _failure(error, timing) from error
        headers = httpx.Headers(answer.headers)
        plain, whole = decoded(bytes(answer.body), headers, self._settings.max_reply_bytes)
        return Reply(
            status=answer.status or 0,
            headers=headers,
            body=plain,
            truncated=not (answer.complete and whole),
            duration_ms=timing.milliseconds(),
        )

    def _headers(self, request: httpx.Request, length: int, fresh: bool) -> Iterator[tuple[bytes, bytes]]:
        yield b"Host", request.url.netloc
        named = set()
        for name, value in request.headers.raw:
            lowered = name.lower()
            if lowered not in _OURS:
                named.add(lowered)
                yield name, value
        if b"accept" not in named:
            yield b"Accept", b"*/*"
        if b"user-agent" not in named:
            yield b"User-Agent", self._user_agent
        yield b"Accept-Encoding", b"identity"
        if length or request.method != "GET":
            yield b"Content-Length", b"%d" % length
        if fresh:
            yield b"Connection", b"close"


def _failure(error: Exception, timing: Timing) -> NotSent | Unknown:
    """What it comes to that there is no answer."""
    if timing.nothing_left:
        if isinstance(error, TimeoutError):
            return NotSent("connect_timeout", "no connection in time")
        return NotSent("connect", str(error))
    if isinstance(error, TimeoutError):
        return Unknown("timeout", "no answer in time")
    if isinstance(error, Disconnected):
        return Unknown("disconnected", str(error))
    if isinstance(error, OSError):
        return Unknown("reset", "the connection broke before an answer came")
    return Unknown("protocol", "no valid HTTP answer")


def connect_time(deadline: float) -> float:
    """Seconds for connecting, of an exchange that has `deadline` in all."""
    return min(deadline * _CONNECT_SHARE, _LONGEST_CONNECT)


def decoded(body: bytes, headers: httpx.Headers, limit: int) -> tuple[bytes, bool]:
    """The body without its content coding, never longer than `limit`, and whether that is all of it.

    We ask for `identity`, so a compressed answer is a mistake or an attack (1 MB of gzip can hold 1 GB of zeros).
    gzip and deflate are expanded up to the limit, others are given up.
    """
    coding = headers.get("content-encoding", "identity").strip().lower()
    if coding in ("identity", ""):
        return body, True
    if coding not in ("gzip", "x-gzip", "deflate"):
        return b"", False
    inflater = zlib.decompressobj(zlib.MAX_WBITS | 32)
    try:
        plain = inflater.decompress(body, limit)
    except zlib.error:
        return b"", False
    return plain, inflater.eof
