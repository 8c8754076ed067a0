"""Any mail server over SMTP: SES, Postmark, SendGrid, Mailgun, a company's own relay.

The conversation is led command by command, so that at every failure it is known how far it had come. Before DATA the
server provably has no message of ours; from DATA on, a lost connection or a missing answer means that nobody can say.
SMTP has no idempotency key: after an unknown outcome, the same Message-ID is all that a receiver can tell a repeat by.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Final

import aiosmtplib

from hermod.channels.access_tokens import NoToken
from hermod.channels.composing import Uncomposed, composed
from hermod.channels.email import mime
from hermod.channels.email.smtp import oauth
from hermod.channels.email.smtp.connections import Connection, Connections, Opening, Server
from hermod.channels.email.smtp.replies import Stage, refusal
from hermod.channels.redaction import one_line
from hermod.contracts.errors import FieldError
from hermod.contracts.notifications.content import AnyContent, Channel, Email
from hermod.contracts.notifications.outcomes import (
    Accepted,
    AccountHalted,
    AnyOutcome,
    MessageRejected,
    OutcomeUnknown,
    Transient,
)
from hermod.contracts.tenants.accounts import Account
from hermod.outbound.addresses.guard import AddressGuard, AddressRefused
from hermod.outbound.wiring import AdapterContext
from hermod.ports.deadline import deadline_of
from hermod.ports.notifications.sender import Capability, Outgoing

TLS_MODES: Final = ("starttls", "tls", "none")
_PORTS: Final = {"starttls": 587, "tls": 465, "none": 25}
_IN_A_THREAD: Final = 256 * 1024
"""Messages from this size on are encoded in a thread: it takes tens of milliseconds per megabyte."""
_REUSED_PATIENCE: Final = 5.0
"""Seconds for the first command on a kept connection, before a new one is opened instead."""
_HOST: Final = re.compile(r"[A-Za-z0-9.:_-]{1,253}")
_OK: Final = 250
_WILL_FORWARD: Final = 251
_QUEUE_ID: Final = re.compile(r"\bqueued as ([\w.-]{4,100})|^Ok ([\w-]{20,100})$", re.IGNORECASE)
"""Postfix and its relatives; Amazon SES. Other servers' answers hold no id that could be told from other words."""


class _Talk:
    """How far the conversation about one message has come."""

    def __init__(self) -> None:
        self.stage = Stage.CONNECT


class SmtpSender:
    """One account at a mail server. Implements `hermod.ports.notifications.sender.Sender`."""

    capability = Capability(
        provider="smtp",
        title="SMTP",
        channels=frozenset({Channel.EMAIL}),
        attachments=True,
        inline_images=True,
        custom_headers=True,
        max_recipients=100,
        default_rate=10.0,
        credentials=("host", "port", "username", "password", "tls", *oauth.CREDENTIALS),
        optional_credentials=("port", "username", "password", "tls", *oauth.CREDENTIALS),
        deadline=timedelta(seconds=60),
    )

    def __init__(self, account: Account, wiring: AdapterContext) -> None:
        self.account = account
        self._clock = wiring.clock
        self._deadline = wiring.deadline or self.capability.deadline.total_seconds()
        credentials = account.credentials
        secret = ("username", "password", "oauth_client_secret", "oauth_refresh_token")
        self._secrets = tuple(credentials.get(name, "") for name in secret)
        by_token = "oauth_token_url" in credentials
        tokens = oauth.MailTokens(credentials, wiring, self._deadline / 4) if by_token else None
        server = server_of(credentials)
        self._connections = Connections(server, wiring.guard, deadline=self._deadline, tokens=tokens)

    @classmethod
    def check(cls, credentials: Mapping[str, str], base_url: str | None, guard: AddressGuard) -> Iterator[FieldError]:
        """What is wrong with the settings beyond missing and unknown names."""
        if base_url is not None:
            yield FieldError("base_url", "not used by smtp: credentials.host and credentials.port name the server")
        host, port = credentials.get("host"), credentials.get("port", "25")
        if host:
            well_formed = _HOST.fullmatch(host) is not None
            fault = guard.host_fault(host) if well_formed else "must be a host name or an address, without a scheme"
            if fault is not None:
                yield FieldError("credentials.host", fault)
        if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
            yield FieldError("credentials.port", "must be a port number")
        if credentials.get("tls", "starttls") not in TLS_MODES:
            yield FieldError("credentials.tls", "must be one of " + ", ".join(TLS_MODES))
        by_token = any(name in credentials for name in oauth.CREDENTIALS)
        yield from oauth.faults(credentials, guard)
        if not by_token and ("username" in credentials) != ("password" in credentials):
            missing = "password" if "username" in credentials else "username"
            yield FieldError(f"credentials.{missing}", "missing: username and password go together")

    def cannot_express(self, content: AnyContent) -> str | None:
        if not isinstance(content, Email):
            return "it sends email only"
        if not (content.from_ or self.account.from_):
            return "neither the message nor the account names a sender (from)"
        recipients = 1 + len(content.cc) + len(content.bcc)
        if recipients > self.capability.max_recipients:
            return f"it takes {self.capability.max_recipients} recipients at most, and the message has {recipients}"
        return None

    async def send(self, message: Outgoing) -> AnyOutcome:
        talk = _Talk()
        try:
            async with deadline_of(self._deadline):
                composed = await self._composed(message)
                async with self._connections.slots:
                    return await self._deliver(talk, composed, message)
        except (aiosmtplib.SMTPException, OSError, Opening) as error:
            return self._failed(error, talk.stage, message)
        except Uncomposed as fault:
            return fault.outcome

    async def aclose(self) -> None:
        await self._connections.aclose()

    async def _composed(self, message: Outgoing) -> mime.Message:
        """The mail, before anybody is called. Raises Uncomposed."""
        if _size(message.content) < _IN_A_THREAD:
            return composed(message, self._compose)
        return await asyncio.to_thread(composed, message, self._compose)

    def _compose(self, message: Outgoing) -> mime.Message:
        email = message.content
        if not isinstance(email, Email) or not message.sender:
            raise ValueError("not an email with a sender")
        return mime.compose(email, sender=message.sender, message_id=message.id, date=self._clock.now())

    async def _deliver(self, talk: _Talk, mail: mime.Message, message: Outgoing) -> AnyOutcome:
        connection = await self._begin(mail)
        reusable = False
        try:
            talk.stage = Stage.RCPT
            refused = await _recipients(connection.client, mail)
            own = refused.get(mail.recipients[0])
            if own is not None:
                reusable = connection.dirty = True
                return self._refused(Stage.RCPT, own, message)
            talk.stage = Stage.DATA
            try:
                reply = await connection.client.data(mail.data, timeout=None)
            except aiosmtplib.SMTPDataError as error:
                reply = aiosmtplib.SMTPResponse(error.code, error.message)
            reusable, connection.dirty = True, reply.code >= 400
            if connection.dirty:
                return self._refused(Stage.DATA, reply, message)
            return self._accepted(reply, refused, mail)
        finally:
            if reusable:
                self._connections.give_back(connection)
            else:
                connection.client.close()

    async def _begin(self, mail: mime.Message) -> Connection:
        """A connection on which MAIL was accepted. A kept one that is gone or has had enough of us is replaced.

        No other command has a time-out of its own: only the conversation's is fair to answers that lie unread.
        """
        connection = await self._connections.take()
        if connection.reused:
            try:
                return await _mail(connection, mail, min(_REUSED_PATIENCE, self._deadline / 4))
            except (aiosmtplib.SMTPException, OSError):
                connection = await self._connections.open()
        return await _mail(connection, mail, None)

    def _accepted(
        self, reply: aiosmtplib.SMTPResponse, refused: Mapping[str, aiosmtplib.SMTPResponse], mail: mime.Message
    ) -> AnyOutcome:
        """Taken for the recipient. That a copy (cc, bcc) was refused is noted: sending again would repeat the rest."""
        note = None
        if refused:
            first = next(iter(refused.values()))
            count = f"{len(refused)} of {len(mail.recipients)} recipients refused"
            note = one_line(f"{count} (cc, bcc): {first.code} {first.message}", self._secrets)
        found = _QUEUE_ID.search(reply.message)
        queue_id = (found[1] or found[2]) if found else mail.message_id
        return Accepted(status_code=reply.code, provider_id=queue_id, error=note)

    def _refused(self, stage: Stage, reply: aiosmtplib.SMTPResponse, message: Outgoing) -> AnyOutcome:
        own = message.sender == self.account.from_
        return refusal(stage, reply.code, reply.message, own_sender=own, secrets=self._secrets)

    def _failed(self, error: Exception, stage: Stage, message: Outgoing) -> AnyOutcome:
        """What a conversation that broke off at `stage` came to."""
        if isinstance(error, Opening):
            return self._not_opened(error, message)
        if stage is Stage.DATA:
            code = "timeout" if isinstance(error, TimeoutError) else "disconnected"
            return OutcomeUnknown(error_code=code, error="the connection broke off while the message was handed over")
        if isinstance(error, aiosmtplib.SMTPResponseException) and error.code >= 400:
            reply = aiosmtplib.SMTPResponse(error.code, error.message)
            return self._refused(Stage.MAIL if stage is Stage.CONNECT else stage, reply, message)
        if isinstance(error, aiosmtplib.SMTPNotSupported):
            return MessageRejected(error_code="smtputf8", error=one_line(error.message))
        if isinstance(error, TimeoutError):
            return Transient(error_code="timeout", error="the server did not answer in time; nothing was handed over")
        return Transient(error_code="disconnected", error="the connection was lost before the message was handed over")

    def _not_opened(self, failure: Opening, message: Outgoing) -> AnyOutcome:
        """No connection, no TLS or no login: nothing was sent. Only what will not mend by itself halts the account."""
        cause, stage = failure.__cause__, failure.stage
        if isinstance(cause, NoToken):
            return cause.outcome
        if isinstance(cause, AddressRefused):
            return AccountHalted(error_code="address_refused", error=str(cause))
        if isinstance(cause, aiosmtplib.SMTPResponseException) and cause.code >= 400:
            return self._refused(stage, aiosmtplib.SMTPResponse(cause.code, cause.message), message)
        if isinstance(cause, TimeoutError):
            return Transient(error_code="connect_timeout", error="no connection in time")
        if isinstance(cause, socket.gaierror):
            return Transient(error_code="dns", error="the server's name does not resolve to a public address")
        if isinstance(cause, ssl.SSLError):
            return Transient(error_code="tls", error=one_line(f"no TLS connection: {cause.reason}"))
        if isinstance(cause, OSError):
            return Transient(error_code="connect", error=f"no connection ({type(cause).__name__} at {stage.upper()})")
        if isinstance(cause, aiosmtplib.SMTPResponseException):
            return Transient(error_code="protocol", error="the server does not speak SMTP")
        return AccountHalted(error_code=stage.value, error=one_line(str(cause), self._secrets))


def server_of(credentials: Mapping[str, str]) -> Server:
    """The server that checked credentials describe. Without `tls`, port 465 means TLS and others mean STARTTLS."""
    port = credentials.get("port")
    tls = credentials.get("tls") or ("tls" if port == str(_PORTS["tls"]) else "starttls")
    return Server(
        host=credentials["host"],
        port=int(port) if port else _PORTS[tls],
        tls=tls,
        username=credentials.get("username"),
        password=credentials.get("password"),
    )


async def _mail(connection: Connection, mail: mime.Message, patience: float | None) -> Connection:
    """MAIL: nothing of the message has been said yet. Closes the connection where it fails."""
    client, options = connection.client, []
    try:
        if connection.dirty:
            await client.rset(timeout=patience)
            connection.dirty = False
        if client.supports_extension("size"):
            options.append(b"SIZE=%d" % len(mail.data))
        if mail.utf8:
            if not client.supports_extension("smtputf8"):
                raise aiosmtplib.SMTPNotSupported("the server cannot take addresses outside ASCII (no SMTPUTF8)")
            options += [b"BODY=8BITMIME", b"SMTPUTF8"]
        path = f"FROM:<{mail.sender}>".encode()
        reply = await client.execute_command(b"MAIL", path, *options, timeout=patience)
        if reply.code != _OK:
            raise aiosmtplib.SMTPSenderRefused(reply.code, reply.message, mail.sender)
    except BaseException:
        client.close()
        raise
    return connection


async def _recipients(client: aiosmtplib.SMTP, mail: mime.Message) -> dict[str, aiosmtplib.SMTPResponse]:
    """RCPT for each; the refusals by recipient. A refusal of the first one, the message's own, ends it."""
    refused: dict[str, aiosmtplib.SMTPResponse] = {}
    for recipient in mail.recipients:
        # Not by the library's `rcpt`, which reads the address anew, and one in quotes otherwise than it is written.
        reply = await client.execute_command(b"RCPT", f"TO:<{recipient}>".encode(), timeout=None)
        if reply.code in (_OK, _WILL_FORWARD):
            continue
        if not client.is_connected:
            raise aiosmtplib.SMTPRecipientRefused(reply.code, reply.message, recipient)
        refused[recipient] = reply
        if recipient == mail.recipients[0]:
            break
    return refused


def _size(content: AnyContent) -> int:
    """Characters and bytes of a mail."""
    if not isinstance(content, Email):
        return 0
    return sum(file.size for file in content.attachments) + len(content.html or "") + len(content.text or "")
