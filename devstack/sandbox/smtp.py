"""The mail server: takes any mail in clear text on the loopback, and fails the way mail servers fail.

The nearest meaning of each fault in SMTP, in the order of a conversation:
    bad_credentials       535 5.7.8 at AUTH; 530 5.7.0 at RCPT for a client that does not log in
    throttle              421 4.7.0 at RCPT, and the connection is closed
    error_500, error_503  451 4.3.0 and 452 4.3.1 at RCPT
    rejected_recipient    550 5.1.1 at RCPT
    reset                 dropped at RCPT, so before DATA
    rejected_message      554 5.6.0 after the final dot
    html_error            a line that is no SMTP reply after the final dot; not stored
    slow, accept_then_timeout, accept_then_reset, wrong_content_type, truncated_json
                          stored; then answered late, late, not at all, with nonsense, with the first digits of a reply
"""

from __future__ import annotations

import asyncio
from typing import Any, Final, cast

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from devstack.sandbox.exchange import pause, reset
from devstack.sandbox.fault import STORED, Fault, FaultName
from devstack.sandbox.faults import FaultBoard
from devstack.sandbox.inbox import Inbox
from devstack.sandbox.mime import Malformed, parse
from devstack.sandbox.providers.registry import SMTP as NAME
from devstack.sandbox.providers.syntax import BAD

MAX_BYTES: Final = 25 * 1024 * 1024
HOSTNAME: Final = "sandbox.hermod.localhost"
_OK: Final = "250 2.0.0 OK: queued as {}"
_AT_RCPT: Final = {
    FaultName.THROTTLE: "421 4.7.0 Too many messages at once, try again later",
    FaultName.ERROR_500: "451 4.3.0 Local error in processing",
    FaultName.ERROR_503: "452 4.3.1 Insufficient system storage",
    FaultName.BAD_CREDENTIALS: "530 5.7.0 Authentication required",
    FaultName.REJECTED_RECIPIENT: "550 5.1.1 The email account that you tried to reach does not exist",
}
_LOGIN: Final = frozenset((FaultName.BAD_CREDENTIALS,))


class Transaction(Envelope):
    """One mail on its way in, and the fault that it met at one of its recipients."""

    fault: Fault | None = None


class Visit(Session):
    """The state of a connection."""

    refuses_logins = False
    """A client that is refused tries its next mechanism at once: a fault stands for all of them."""
    login_data: Any = None
    """aiosmtpd sets it, and warns that it should not."""


class Conversation(SMTP):
    """A connection. `open_ones` holds all that are open, so that a stop can end them."""

    def __init__(self, server: MailServer, open_ones: set[Conversation]) -> None:
        super().__init__(
            server,
            hostname=HOSTNAME,
            ident="Hermod sandbox",
            data_size_limit=MAX_BYTES,
            enable_SMTPUTF8=True,
            auth_require_tls=False,
            authenticator=server.authenticate,
            loop=asyncio.get_running_loop(),
        )
        self._open_ones = open_ones

    def _create_session(self) -> Visit:
        return Visit(self.loop)

    def _create_envelope(self) -> Transaction:
        return Transaction()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._open_ones.add(self)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._open_ones.discard(self)
        super().connection_lost(error)


class MailServer:
    """aiosmtpd's hooks: what to say to a login, a recipient and a mail."""

    def __init__(self, inbox: Inbox, faults: FaultBoard, stopping: asyncio.Event) -> None:
        self._inbox = inbox
        self._faults = faults
        self._stopping = stopping
        self._open: set[Conversation] = set()
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen, and say on which port."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Conversation(self, self._open), host, port)
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    async def stop(self) -> None:
        """Close the port and every conversation."""
        if self._server is None:
            return
        self._server.close()
        for conversation in list(self._open):
            _transport(conversation).abort()
        await self._server.wait_closed()

    def authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, login: LoginPassword
    ) -> AuthResult:
        visit = cast(Visit, session)
        visit.refuses_logins |= self._faults.take(NAME, (), only=_LOGIN) is not None
        bad = BAD.encode()
        good = bool(login.password) and bad not in login.login and bad not in login.password
        if not good:
            self._inbox.counts[NAME].refused += 1
        return AuthResult(success=good and not visit.refuses_logins, handled=False, auth_data=login)

    async def handle_RCPT(  # noqa: N802 - aiosmtpd finds its hooks by name
        self, server: SMTP, session: Session, envelope: Transaction, address: str, options: list[str]
    ) -> str:
        fault = self._faults.take(NAME, (address,))
        if fault is None:
            envelope.rcpt_tos.append(address)
            return "250 2.1.5 OK"
        if fault.name is FaultName.RESET:
            await self._hang_up(server)
        if fault.name in _AT_RCPT:
            await self._wait(fault)
            if fault.name is FaultName.THROTTLE:
                asyncio.get_running_loop().call_soon(_transport(server).close)
            return _AT_RCPT[fault.name]
        envelope.fault = fault
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Transaction
    ) -> str:
        raw = envelope.original_content or b""
        try:
            entry = parse(raw, provider=NAME, sender=envelope.mail_from or "", recipients=envelope.rcpt_tos)
        except Malformed as reason:
            self._inbox.counts[NAME].refused += 1
            return f"554 5.6.0 Message refused: {reason}"
        fault = envelope.fault
        if fault is None or fault.name in STORED:
            self._inbox.receive((entry,), raw)
        accepted = _OK.format(entry.provider_message_id)
        return accepted if fault is None else await self._misbehave(server, fault, accepted)

    async def _misbehave(self, server: SMTP, fault: Fault, accepted: str) -> str:
        await self._wait(fault)
        match fault.name:
            case FaultName.REJECTED_MESSAGE:
                return "554 5.6.0 The message content is not acceptable"
            case FaultName.ACCEPT_THEN_RESET:
                await self._hang_up(server)
            case FaultName.TRUNCATED_JSON:
                _transport(server).write(accepted[:2].encode())
                _transport(server).close()
                await _until_cancelled()
            case FaultName.HTML_ERROR:
                return "<html><head><title>502 Bad Gateway</title></head></html>"
            case FaultName.WRONG_CONTENT_TYPE:
                return "OK, thank you, your message has been noted."
        return accepted

    async def _wait(self, fault: Fault) -> None:
        """Sit on the reply; a reply that is still held back when the sandbox stops is never given."""
        await pause(fault.wait, self._stopping)
        if self._stopping.is_set():
            await _until_cancelled()

    async def _hang_up(self, server: SMTP) -> None:
        """Reset the connection. Does not return: the loss of the connection cancels the conversation."""
        reset(_transport(server))
        await _until_cancelled()


def _transport(server: SMTP) -> asyncio.Transport:
    """aiosmtpd types it as a BaseTransport, and uvloop's is of no asyncio class; it is there while a hook runs."""
    return cast(asyncio.Transport, server.transport)


async def _until_cancelled() -> None:
    await asyncio.get_running_loop().create_future()
