"""The long-lived HTTP/2 session of one provider account: the exchange of `hermod.outbound.http.client` for APNs.

One connection carries the account's requests side by side, and another takes its place when the server ends it, when
an answer was overdue on it, or when it was not used for a while. The connection goes to an address that the guard has
seen; the certificate is checked against the name. `http://` speaks HTTP/2 with prior knowledge (the sandbox).
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from functools import partial
from typing import Final

import httpx

from hermod.outbound.addresses.guard import AddressGuard
from hermod.outbound.addresses.tls import http2_context
from hermod.outbound.http.client import DRAIN_SECONDS, HttpSettings, NotSent, Reply, Unknown, connect_time, decoded
from hermod.outbound.http.connecting import ConnectFailed, Origin, open_connection
from hermod.outbound.http.http2_connection import HeaderList, Http2Connection, Stream, Unprocessed
from hermod.outbound.http.single_flight import SingleFlight
from hermod.outbound.http.timing import Timing
from hermod.ports.deadline import deadline_of

KEEPALIVE: Final = 120.0
"""Seconds an unused connection is kept: less than the time after which routers forget it without a word."""
PROVEN: Final = 5.0
"""Seconds for which a connection counts as alive after the server said something on it."""
_TRIES: Final = 3
_NOT_IN_HTTP2: Final = frozenset({b"connection", b"host", b"keep-alive", b"proxy-connection", b"transfer-encoding"})


class Http2Client:
    """Speaks to the host of `origin`. Connects on first use, inside the running loop."""

    def __init__(
        self,
        origin: httpx.URL,
        guard: AddressGuard,
        settings: HttpSettings | None = None,
        *,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self._origin = Origin.of(origin)
        self._context = (context or http2_context()) if self._origin.tls else None
        self._guard = guard
        self._settings = settings or HttpSettings()
        self._connection: Http2Connection | None = None
        self._dialling = SingleFlight[Http2Connection]()
        self._active = 0
        self._closing = False
        self._drained = asyncio.Event()
        self._drained.set()

    async def exchange(self, request: httpx.Request, *, deadline: float, fresh: bool = False) -> Reply:
        """Send the request and read its answer, both within `deadline` seconds.

        `fresh` asks for a connection on which the server was heard a moment ago, or else a new one. What a server
        provably did not process is made again on another connection. Raises NotSent or Unknown.
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

    def renew(self) -> None:
        """Make the next exchange on a new connection; those under way end on the old one."""
        if self._connection is not None:
            self._connection.leave()

    async def aclose(self) -> None:
        """Close the connection after the exchanges under way have ended, or after `DRAIN_SECONDS`."""
        self._closing = True
        with contextlib.suppress(TimeoutError):
            async with deadline_of(DRAIN_SECONDS):
                await self._drained.wait()
        self._dialling.cancel()
        if self._connection is not None:
            self._connection.close()

    async def _exchange(self, request: httpx.Request, deadline: float, fresh: bool) -> Reply:
        started = time.perf_counter()
        headers, body = self._headers(request), request.content
        stream = Stream()
        try:
            async with deadline_of(deadline):
                for _ in range(_TRIES):
                    stream = Stream()
                    connection = await self._connected(connect_time(deadline), fresh=fresh)
                    try:
                        await connection.exchange(stream, headers, body)
                        break
                    except Unprocessed:
                        continue
                else:
                    raise NotSent("refused", "the provider refused the request unread")
        except TimeoutError:
            if not stream.begun:
                raise NotSent("connect_timeout", "no connection in time") from None
            self.renew()  # nobody can tell a slow server from a connection that has died
            if stream.status is None:
                raise Unknown("timeout", "no answer in time") from None
        except httpx.InvalidURL:
            raise NotSent("url", "the provider's URL is not valid") from None
        answered = httpx.Headers(stream.headers)
        plain, whole = decoded(bytes(stream.body), answered, self._settings.max_reply_bytes)
        return Reply(
            status=stream.status or 0,
            headers=answered,
            body=plain,
            truncated=not (stream.complete and whole),
            duration_ms=round((time.perf_counter() - started) * 1000),
        )

    def _headers(self, request: httpx.Request) -> HeaderList:
        url = request.url
        return [
            (b":method", request.method.encode("ascii")),
            (b":scheme", url.raw_scheme),
            (b":authority", url.netloc),
            (b":path", url.raw_path),
            *((name, value) for key, value in request.headers.raw if (name := key.lower()) not in _NOT_IN_HTTP2),
            (b"content-length", b"%d" % len(request.content)),
            (b"accept-encoding", b"identity"),
            (b"user-agent", self._settings.user_agent.encode("ascii")),
        ]

    async def _connected(self, patience: float, *, fresh: bool) -> Http2Connection:
        kept = self._connection
        if kept is not None and kept.usable:
            if not fresh or asyncio.get_running_loop().time() - kept.heard < PROVEN:
                return kept
            kept.leave()
        self._connection = await self._dialling.run(partial(self._dial, patience))
        return self._connection

    async def _dial(self, patience: float) -> Http2Connection:
        """A new connection, or NotSent."""
        try:
            async with asyncio.timeout(patience):
                transport, connection = await open_connection(
                    self._origin, self._protocol, Timing(), self._guard, self._context
                )
        except ConnectFailed as failure:
            raise NotSent(failure.code, str(failure)) from failure
        except TimeoutError as error:
            raise NotSent("connect_timeout", "no connection in time") from error
        secured = transport.get_extra_info("ssl_object")
        if secured is not None and secured.selected_alpn_protocol() != "h2":
            connection.close()
            raise NotSent("http2", f"{self._origin.host}:{self._origin.port} does not speak HTTP/2")
        return connection

    def _protocol(self) -> Http2Connection:
        return Http2Connection(max_reply_bytes=self._settings.max_reply_bytes, keepalive=KEEPALIVE)
