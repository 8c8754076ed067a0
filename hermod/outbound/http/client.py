"""One HTTP exchange with a provider: an `httpx.Request` in, a small `Reply` out, or exactly one of two failures.

`NotSent` is raised where it is proven that the provider did not get the request, `Unknown` for everything else. The
difference decides whether a message may be sent again, so it rests on a closed list of causes and never on httpx's
own classes: httpx-aiohttp reports a connection that the server closed *after* reading the request as ConnectTimeout.

The transport is called directly: httpx's client costs another 100 µs per request, and nothing of it is wanted
(cookies, redirects, proxies from the environment, authentication flows).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import zlib
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol, cast

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from hermod.outbound.addresses.guard import AddressGuard, AddressRefused, GuardedResolver, NameRefused, unresolved
from hermod.outbound.addresses.tls import tls_context
from hermod.ports.deadline import deadline_of

_NOT_SENT: Final = (
    aiohttp.ClientConnectorError,  # refused, no route, no such name, TLS handshake or certificate failed
    aiohttp.ConnectionTimeoutError,  # no connection in time: while connecting, or waiting for a free one
    aiohttp.InvalidURL,
    aiohttp.NonHttpUrlClientError,
)
"""aiohttp's errors that only occur before the first byte of a request is written."""

_REPEATED_BY_AIOHTTP: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
"""Methods that aiohttp repeats by itself on a lost connection: a failure to connect may be that of the repetition."""

DRAIN_SECONDS: Final = 10.0
_CONNECT_SHARE: Final = 0.4
_LONGEST_CONNECT: Final = 10.0
"""Connecting gets 40 % of the deadline and at most 10 s, so that the deadline itself never falls into that phase."""


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
    """Open connections of one account at most; further requests wait for one within the connect time."""
    keepalive: float = 4.0
    """Seconds an idle connection is kept: less than the 5 s after which small servers close it, because a request
    that meets a closing connection has an unknown outcome."""
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
        self._guard = guard
        self._settings = settings or HttpSettings()
        self._kept = AiohttpTransport(verify=tls_context(), client=self._session)
        self._fresh = AiohttpTransport(verify=tls_context(), client=partial(self._session, force_close=True))
        self._vetted: set[bytes] = set()
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
            return await self._exchange(self._fresh if fresh else self._kept, request, deadline)
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
        await self._kept.aclose()
        await self._fresh.aclose()

    async def _exchange(self, transport: AiohttpTransport, request: httpx.Request, deadline: float) -> Reply:
        started = time.perf_counter()
        response: httpx.Response | None = None
        body = bytearray()
        complete = False
        try:
            if (host := request.url.raw_host) not in self._vetted:
                self._guard.check_host(request.url.host)
                self._vetted.add(host)
            connect = connect_time(deadline)
            request.extensions["timeout"] = {"connect": connect, "pool": connect}
            async with deadline_of(deadline):
                response = await transport.handle_async_request(request)
                complete = await _read(response, body, self._settings.max_reply_bytes)
        except Exception as error:
            if response is None:
                raise classify(error, request.method) from error
        finally:
            if response is not None:
                await _discard(response)
        plain, whole = decoded(bytes(body), response.headers, self._settings.max_reply_bytes)
        return Reply(
            status=response.status_code,
            headers=response.headers,
            body=plain,
            truncated=not (complete and whole),
            duration_ms=round((time.perf_counter() - started) * 1000),
        )

    def _session(self, *, force_close: bool = False) -> aiohttp.ClientSession:
        settings = self._settings
        # aiohttp takes either a keep-alive time or `force_close`, not both.
        keep = {"force_close": True} if force_close else {"keepalive_timeout": settings.keepalive}
        connector = aiohttp.TCPConnector(
            ssl=tls_context(), resolver=GuardedResolver(self._guard), limit=settings.connections, **keep
        )
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            headers={"accept-encoding": "identity", "user-agent": settings.user_agent},
        )


def connect_time(deadline: float) -> float:
    """Seconds for connecting, of an exchange that has `deadline` in all."""
    return min(deadline * _CONNECT_SHARE, _LONGEST_CONNECT)


def classify(error: Exception, method: str = "POST") -> NotSent | Unknown:
    """Say what a failed exchange came to. `error` is httpx's, with aiohttp's own as its cause, or a plain one."""
    if isinstance(error, AddressRefused):
        return NotSent("address_refused", str(error))
    cause = error.__cause__ if isinstance(error, httpx.TransportError) and error.__cause__ else error
    if isinstance(cause, _NOT_SENT) and method not in _REPEATED_BY_AIOHTTP:
        return _not_sent(cause)
    if isinstance(cause, TimeoutError):
        return Unknown("timeout", "no answer in time")
    if isinstance(cause, aiohttp.ServerDisconnectedError):
        return Unknown("disconnected", "the connection was closed before an answer came")
    if isinstance(cause, OSError):
        return Unknown("reset", "the connection broke before an answer came")
    return Unknown("protocol", f"no valid HTTP answer ({type(cause).__name__})")


def _not_sent(cause: BaseException) -> NotSent:
    if isinstance(cause, aiohttp.ClientConnectorError):
        reason = cause.os_error
        if isinstance(reason, AddressRefused):
            return NotSent("address_refused", str(reason))
        if isinstance(cause, aiohttp.ClientConnectorDNSError) or isinstance(reason, NameRefused):
            return NotSent("dns", unresolved(cause.host))
        if isinstance(cause, aiohttp.ClientSSLError):
            return NotSent("tls", f"no TLS connection to {cause.host} ({type(reason).__name__})")
        return NotSent("connect", f"no connection to {cause.host}:{cause.port} ({type(reason).__name__})")
    if isinstance(cause, aiohttp.ConnectionTimeoutError):
        return NotSent("connect_timeout", "no connection in time")
    return NotSent("url", "the provider's URL is not valid")


async def _read(response: httpx.Response, body: bytearray, limit: int) -> bool:
    """Append the body to `body` up to `limit` bytes; whether that was all of it."""
    async for chunk in cast(httpx.AsyncByteStream, response.stream):
        body += chunk
        if len(body) > limit:
            del body[limit:]
            return False
    return True


async def _discard(response: httpx.Response) -> None:
    """Give the connection back, or close it where the body was not read to its end."""
    try:
        await cast(httpx.AsyncByteStream, response.stream).aclose()
    except Exception:  # noqa: BLE001 - the answer has been read; how its connection ends changes nothing
        return


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
