"""Connections to one mail server: opened with TLS and login, and kept for the next message for a short while."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from dataclasses import dataclass
from typing import Final

import aiosmtplib

from hermod.channels.access_tokens import NoToken
from hermod.channels.email.smtp.oauth import MailTokens
from hermod.channels.email.smtp.replies import Stage
from hermod.outbound.addresses.dial import dial
from hermod.outbound.addresses.guard import AddressGuard
from hermod.outbound.addresses.tls import tls_context

MAX_OPEN: Final = 10
"""Connections at once: what the large providers recommend, and few servers allow more from one address."""
MAX_IDLE: Final = 5
IDLE_SECONDS: Final = 20.0
"""Servers drop idle clients after 30 seconds to 5 minutes."""
_CONNECT_SHARE: Final = 0.4


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Where and how to connect. `tls` is `tls` (from the first byte), `starttls` (required, not optional) or `none`."""

    host: str
    port: int
    tls: str
    username: str | None
    password: str | None


@dataclass(slots=True)
class Connection:
    """A greeted, secured and logged in connection."""

    client: aiosmtplib.SMTP
    reused: bool = False
    """It has served an earlier message, and may be dying."""
    dirty: bool = False
    """An earlier message was refused half-way: RSET comes before the next one."""
    idle_since: float = 0.0


class Opening(Exception):
    """No usable connection came about. `stage` is where it failed; the cause is aiosmtplib's error or an OSError."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        super().__init__(stage)


class Connections:
    """The connections of one account."""

    def __init__(
        self, server: Server, guard: AddressGuard, *, deadline: float, tokens: MailTokens | None = None
    ) -> None:
        """`tokens` where the server wants an access token in place of a password."""
        self._server = server
        self._tokens = tokens
        self._guard = guard
        self._patience = deadline * _CONNECT_SHARE
        self.slots = asyncio.Semaphore(MAX_OPEN)
        """Held for one message: no more connections than these."""
        self._idle: list[Connection] = []
        self._sweep: asyncio.TimerHandle | None = None
        self._closed = False

    async def take(self) -> Connection:
        """A kept connection that looks alive, or a new one. Raises Opening."""
        oldest = asyncio.get_running_loop().time() - IDLE_SECONDS
        while self._idle:
            kept = self._idle.pop()
            if kept.client.is_connected and kept.idle_since > oldest:
                kept.reused = True
                return kept
            _hang_up(kept.client)
        return await self.open()

    async def open(self) -> Connection:
        """A new connection, greeted, secured and logged in. Raises Opening."""
        tokens = self._tokens
        if tokens is None:
            return await self._open(None)
        try:
            token = await tokens.ensure()
            try:
                return await self._open(token)
            except Opening as failure:
                if not isinstance(failure.__cause__, aiosmtplib.SMTPAuthenticationError):
                    raise
            # It may have been taken back before its time.
            another = await tokens.instead_of(token)
        except NoToken as missing:
            raise Opening(Stage.AUTH) from missing
        return await self._open(another)

    async def _open(self, token: str | None) -> Connection:
        server, stage = self._server, Stage.CONNECT
        client: aiosmtplib.SMTP | None = None
        try:
            connected = await dial(server.host, server.port, self._guard, patience=self._patience)
            client = aiosmtplib.SMTP(
                hostname=server.host,
                sock=connected,
                local_hostname=_own_name(connected),
                use_tls=server.tls == "tls",
                start_tls=False,
                tls_context=None if server.tls == "none" else tls_context(),
                timeout=self._patience,
            )
            try:
                await client.connect()
            except BaseException:
                connected.close()
                raise
            await _greet(client)
            if server.tls == "starttls":
                stage = Stage.STARTTLS
                await client.starttls()
                await _greet(client)
            if server.username is not None:
                stage = Stage.AUTH
            if server.username is not None and token is not None:
                if "xoauth2" not in client.server_auth_methods:
                    raise aiosmtplib.SMTPException("the server offers no login by access token (XOAUTH2)")
                await client.auth_xoauth2(server.username.encode(), token.encode())
            elif server.username is not None:
                await client.login(server.username.encode(), (server.password or "").encode())
        except Exception as error:
            if client is not None:
                client.close()
            raise Opening(stage) from error
        except BaseException:
            if client is not None:
                client.close()
            raise
        return Connection(client)

    def give_back(self, connection: Connection) -> None:
        """Keep a connection that is ready for another message, or close it. Call while holding the slot."""
        if self._closed or not connection.client.is_connected:
            _hang_up(connection.client)
            return
        loop = asyncio.get_running_loop()
        connection.idle_since = loop.time()
        self._idle.append(connection)
        # While all slots are taken, somebody is about to want this connection, so none is closed.
        while len(self._idle) > MAX_IDLE and not self.slots.locked():
            _hang_up(self._idle.pop(0).client)
        if self._sweep is None:
            self._sweep = loop.call_later(IDLE_SECONDS, self._close_old)

    async def aclose(self) -> None:
        """Close the idle connections; those in use are closed when their message is through."""
        self._closed = True
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        while self._idle:
            _hang_up(self._idle.pop().client)
        if self._tokens is not None:
            await self._tokens.aclose()

    def _close_old(self) -> None:
        loop = asyncio.get_running_loop()
        oldest = loop.time() - IDLE_SECONDS
        for connection in self._idle:
            if connection.idle_since <= oldest:
                _hang_up(connection.client)
        self._idle = [connection for connection in self._idle if connection.client.is_connected]
        self._sweep = loop.call_later(IDLE_SECONDS, self._close_old) if self._idle else None


async def _greet(client: aiosmtplib.SMTP) -> None:
    """EHLO, or HELO for a server from before 1995."""
    try:
        await client.ehlo()
    except aiosmtplib.SMTPHeloError:
        if not client.is_connected:
            raise
        await client.helo()


def _hang_up(client: aiosmtplib.SMTP) -> None:
    """Say QUIT, as the protocol wants it, and do not wait for the answer."""
    with contextlib.suppress(aiosmtplib.SMTPException, OSError):
        if client.protocol is not None:
            client.protocol.write(b"QUIT\r\n")
    client.close()


def _own_name(connected: socket.socket) -> str:
    """Who we are, for EHLO: this host's full name, or the address we call from where it has none (RFC 5321, 4.1.4).

    Not `socket.getfqdn()`, which asks the DNS and can take seconds in a container.
    """
    name = socket.gethostname()
    if "." in name.strip(".") and name.isascii() and not any(character.isspace() for character in name):
        return name
    address = str(connected.getsockname()[0]).partition("%")[0]
    return f"[IPv6:{address}]" if ":" in address else f"[{address}]"
