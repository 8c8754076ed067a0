"""The SMTP adapter against mail servers that fail at one exact point of the conversation."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import pytest

from hermod.channels.email.smtp import connections
from hermod.channels.email.smtp.sender import SmtpSender
from hermod.contracts.notifications.messages import Outcome
from hermod.contracts.notifications.outcomes import Accepted, AnyOutcome
from hermod.outbound.addresses.guard import AddressGuard
from hermod.outbound.wiring import AdapterContext
from hermod.ports.deadline import LATE
from hermod.ports.notifications.sender import Outgoing
from tests.integration.conformance.scripted import serving
from tests.unit.channels import samples

SMTP_DEADLINE: Final = 1.0
DROP, HANG = "drop", "hang"
"""What a server may do instead of an answer."""
Script = Mapping[str, str | Callable[[str], str | Awaitable[str]]]
FRIENDLY: dict[str, str] = {
    "banner": "220 mail.example.com",
    "EHLO": "250-mail.example.com\r\n250-SIZE 1000000\r\n250 8BITMIME",
    "HELO": "250 mail.example.com",
    "MAIL": "250 2.1.0 OK",
    "RCPT": "250 2.1.5 OK",
    "DATA": "354 go on",
    ".": "250 2.0.0 OK: queued as 4Rk2XQ0z1Yz",
    "RSET": "250 2.0.0 OK",
    "STARTTLS": "220 2.0.0 go on",
    "AUTH": "235 2.7.0 OK",
}


class MailHost:
    """A server that follows a script, and remembers the commands of each connection."""

    def __init__(self, script: Script, context: ssl.SSLContext | None) -> None:
        self.port = 0
        self.connections: list[list[str]] = []
        self.mails: list[bytes] = []
        self._script = {**FRIENDLY, **script}
        self._context = context

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        said: list[str] = []
        self.connections.append(said)
        if not await self._answer("banner", "", writer):
            return
        while line := await reader.readline():
            command = line.decode().strip()
            said.append(command)
            verb = command.split(" ")[0].upper()
            if not await self._answer(verb, command, writer):
                return
            if verb == "STARTTLS" and self._context is not None:
                await writer.start_tls(self._context)
            if verb == "DATA" and str(self._script["DATA"]).startswith("354"):
                self.mails.append(await reader.readuntil(b"\r\n.\r\n"))
                if not await self._answer(".", "", writer):
                    return

    async def _answer(self, verb: str, command: str, writer: asyncio.StreamWriter) -> bool:
        """Whether the conversation goes on."""
        reply = self._script.get(verb, "502 5.5.1 not implemented")
        text = reply if isinstance(reply, str) else reply(command)
        if not isinstance(text, str):
            text = await text
        if text == DROP:
            return False
        if text == HANG:
            await asyncio.get_running_loop().create_future()
        writer.write(text.encode() + b"\r\n")
        await writer.drain()
        return not text.startswith("421")

    @property
    def verbs(self) -> list[list[str]]:
        return [[command.split(" ")[0].upper() for command in said] for said in self.connections]


@asynccontextmanager
async def hosting(
    credentials: dict[str, str] | None = None, *, context: ssl.SSLContext | None = None, **script: Any
) -> AsyncIterator[tuple[MailHost, SmtpSender]]:
    """A scripted host, and a sender whose account is there. `dot` scripts the answer to the mail."""
    if "dot" in script:
        script["."] = script.pop("dot")
    host = MailHost(script, context)
    async with serving(host.handle) as port:
        host.port = port
        settings = {"host": "127.0.0.1", "port": str(port), "tls": "none", **(credentials or {})}
        wiring = AdapterContext(guard=AddressGuard(allow_private=True), deadline=SMTP_DEADLINE)
        sender = SmtpSender(samples.account("smtp", credentials=settings, from_="news@example.com"), wiring)
        try:
            yield host, sender
        finally:
            await sender.aclose()


def outgoing(**changes: Any) -> Outgoing:
    content = samples.email(**({"text": "Hi\n.\nAda"} | changes))
    return samples.outgoing(content, sender=content.from_ or "news@example.com")


async def sent(credentials: dict[str, str] | None = None, **script: Any) -> AnyOutcome:
    async with hosting(credentials, **script) as (_, sender):
        return await sender.send(outgoing())


async def test_send_conversation_is_as_short_as_can_be() -> None:
    async with hosting() as (host, sender):
        outcome = await sender.send(outgoing(cc=["bob@example.com"], bcc=["carl@example.com"]))
    assert outcome == Accepted(status_code=250, provider_id="4Rk2XQ0z1Yz")
    (said,) = host.connections
    assert said[0].startswith("EHLO ")
    assert said[1:6] == [
        f"MAIL FROM:<news@example.com> SIZE={len(host.mails[0].replace(b'..', b'.')) - 3}",
        "RCPT TO:<ada@example.com>",
        "RCPT TO:<bob@example.com>",
        "RCPT TO:<carl@example.com>",
        "DATA",
    ]
    assert b"\r\n..\r\n" in host.mails[0]
    assert b"carl" not in host.mails[0]


@pytest.mark.parametrize(
    ("reply", "provider_id"),
    [
        ("250 2.0.0 Ok: queued as 4Rk2XQ0z1Yz", "4Rk2XQ0z1Yz"),
        (
            "250 Ok 0100018c2f3e4d5a-0a1b2c3d-4e5f-6789-abcd-ef0123456789-000000",
            "0100018c2f3e4d5a-0a1b2c3d-4e5f-6789-abcd-ef0123456789-000000",
        ),
        ("250 2.0.0 OK  1700000000 a1-20020a5d.12 - gsmtp", "msg_1@example.com"),
        ("250", "msg_1@example.com"),
    ],
)
async def test_send_accepted_is_known_by_queue_id_or_message_id(reply: str, provider_id: str) -> None:
    outcome = await sent(dot=reply)
    assert isinstance(outcome, Accepted)
    assert outcome.provider_id == provider_id


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        ({"banner": DROP}, Outcome.TRANSIENT),
        ({"banner": HANG}, Outcome.TRANSIENT),
        ({"banner": "HTTP/1.1 400 Bad Request"}, Outcome.TRANSIENT),
        ({"banner": "421 4.3.2 too busy"}, Outcome.THROTTLED),
        ({"banner": "554 5.3.2 no"}, Outcome.ACCOUNT_HALTED),
        ({"EHLO": DROP}, Outcome.TRANSIENT),
        ({"EHLO": HANG}, Outcome.TRANSIENT),
        ({"EHLO": "550 no", "HELO": "550 no"}, Outcome.ACCOUNT_HALTED),
        ({"MAIL": DROP}, Outcome.TRANSIENT),
        ({"MAIL": HANG}, Outcome.TRANSIENT),
        ({"MAIL": "451 4.3.0 no"}, Outcome.TRANSIENT),
        ({"MAIL": "550 5.7.1 no"}, Outcome.ACCOUNT_HALTED),
        ({"RCPT": DROP}, Outcome.TRANSIENT),
        ({"RCPT": HANG}, Outcome.TRANSIENT),
        ({"RCPT": "garbage"}, Outcome.TRANSIENT),
        ({"RCPT": "421 4.3.2 closing"}, Outcome.THROTTLED),
        ({"RCPT": "550 5.1.1 no"}, Outcome.RECIPIENT_REJECTED),
        ({"DATA": DROP}, Outcome.UNKNOWN),
        ({"DATA": HANG}, Outcome.UNKNOWN),
        ({"DATA": "451 4.3.0 no"}, Outcome.TRANSIENT),
        ({"DATA": "554 5.5.1 no"}, Outcome.MESSAGE_REJECTED),
        ({"dot": DROP}, Outcome.UNKNOWN),
        ({"dot": HANG}, Outcome.UNKNOWN),
        ({"dot": "garbage"}, Outcome.UNKNOWN),
        ({"dot": "451 4.3.0 no"}, Outcome.TRANSIENT),
        ({"dot": "421 4.3.2 closing"}, Outcome.THROTTLED),
        ({"dot": "552 5.3.4 too large"}, Outcome.MESSAGE_REJECTED),
        ({"dot": "251 2.1.5 will forward"}, Outcome.ACCEPTED),
    ],
)
async def test_send_failure_is_read_by_how_far_the_conversation_had_come(script: dict[str, Any], kind: Outcome) -> None:
    outcome = await sent(**script)
    assert outcome.kind is kind, outcome


async def test_send_name_that_resolves_to_this_machine_is_told_like_one_that_does_not_resolve() -> None:
    credentials = {"host": "localhost", "port": "25", "tls": "none"}
    sender = SmtpSender(samples.account("smtp", credentials=credentials), AdapterContext(guard=AddressGuard()))
    outcome = await sender.send(outgoing())
    assert (outcome.kind, outcome.error_code) == (Outcome.TRANSIENT, "dns")
    assert outcome.error == "the server's name does not resolve to a public address"
    await sender.aclose()


@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "dot"])
async def test_send_answer_that_came_while_the_process_stood_still_is_read(verb: str) -> None:
    async def stand_still(_command: str) -> str:
        time.sleep(SMTP_DEADLINE + 2 * LATE)  # noqa: ASYNC251 - the whole process, and not only the server
        await asyncio.sleep(0.01)  # what has come is read in more than one turn of the loop
        return FRIENDLY["." if verb == "dot" else verb]

    script: dict[str, Any] = {verb: stand_still}
    assert (await sent(**script)).kind is Outcome.ACCEPTED


async def test_send_refusal_is_known_before_the_connection_is_cleaned() -> None:
    async with hosting(RCPT="550 5.1.1 no", RSET=HANG) as (host, sender):
        assert (await sender.send(outgoing())).kind is Outcome.RECIPIENT_REJECTED
        assert (await sender.send(outgoing())).kind is Outcome.RECIPIENT_REJECTED
    assert len(host.connections) == 2


async def test_sender_closed_says_goodbye() -> None:
    async with hosting() as (host, sender):
        await sender.send(outgoing())
        await sender.aclose()
        async with asyncio.timeout(5):
            while host.verbs[0][-1] != "QUIT":
                await asyncio.sleep(0.01)


async def test_send_without_ehlo_falls_back_to_helo() -> None:
    assert (await sent(EHLO="502 5.5.1 what?")).kind is Outcome.ACCEPTED


async def test_send_copy_refused_is_accepted_with_a_note() -> None:
    def refuse_copies(command: str) -> str:
        return "250 OK" if "ada" in command else "550 5.1.1 <bob@example.com> unknown"

    async with hosting(RCPT=refuse_copies) as (host, sender):
        outcome = await sender.send(outgoing(cc=["bob@example.com"], bcc=["carl@example.com"]))
    assert isinstance(outcome, Accepted)
    assert outcome.error == "2 of 3 recipients refused (cc, bcc): 550 5.1.1 <[address]> unknown"
    assert len(host.mails) == 1


async def test_send_recipient_refused_sends_nothing_to_the_copies() -> None:
    async with hosting(RCPT=lambda command: "550 5.1.1 no" if "ada" in command else "250 OK") as (host, sender):
        outcome = await sender.send(outgoing(cc=["bob@example.com"]))
        assert outcome.kind is Outcome.RECIPIENT_REJECTED
        assert (await sender.send(outgoing(to="bob@example.com"))).kind is Outcome.ACCEPTED
    assert host.verbs[0][:7] == ["EHLO", "MAIL", "RCPT", "RSET", "MAIL", "RCPT", "DATA"]
    assert len(host.connections) == 1


async def test_send_copy_refused_with_goodbye_is_throttled_and_nothing_is_handed_over() -> None:
    async with hosting(RCPT=lambda command: "250 OK" if "ada" in command else "421 4.3.2 closing") as (host, sender):
        outcome = await sender.send(outgoing(cc=["bob@example.com"]))
    assert outcome.kind is Outcome.THROTTLED
    assert host.mails == []


async def test_send_sender_of_the_message_refused_spares_the_account() -> None:
    async with hosting(MAIL="553 5.7.1 not yours") as (_, sender):
        assert (await sender.send(outgoing(from_="other@example.com"))).kind is Outcome.MESSAGE_REJECTED


async def test_send_keeps_the_connection_for_the_next_message() -> None:
    async with hosting() as (host, sender):
        for _ in range(3):
            assert (await sender.send(outgoing())).kind is Outcome.ACCEPTED
    assert host.verbs[0][:10] == ["EHLO", *["MAIL", "RCPT", "DATA"] * 3]
    assert len(host.connections) == 1


@pytest.mark.parametrize("reply", ["421 4.4.2 idle too long", "451 4.7.1 too many messages", DROP, HANG])
async def test_send_on_a_kept_connection_that_died_takes_a_new_one(reply: str) -> None:
    count = 0

    def second_time(command: str) -> str:
        nonlocal count
        count += 1
        return reply if count == 2 else "250 OK"

    async with hosting(MAIL=second_time) as (host, sender):
        assert (await sender.send(outgoing())).kind is Outcome.ACCEPTED
        assert (await sender.send(outgoing())).kind is Outcome.ACCEPTED
    assert len(host.connections) == 2
    assert len(host.mails) == 2


async def test_send_connection_that_idled_too_long_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "IDLE_SECONDS", 0.05)
    async with hosting() as (host, sender):
        await sender.send(outgoing())
        kept = sender._connections._idle[0]
        async with asyncio.timeout(5):
            while kept.client.is_connected:
                await asyncio.sleep(0.01)
        assert (await sender.send(outgoing())).kind is Outcome.ACCEPTED
    assert len(host.connections) == 2


async def test_send_many_at_once_open_no_more_connections_than_allowed() -> None:
    async with hosting() as (host, sender):
        outcomes = await asyncio.gather(*(sender.send(outgoing()) for _ in range(40)))
        assert {outcome.kind for outcome in outcomes} == {Outcome.ACCEPTED}
        assert len(sender._connections._idle) <= connections.MAX_IDLE
    assert len(host.connections) == connections.MAX_OPEN
    assert len(host.mails) == 40


async def test_send_cancelled_closes_its_connection() -> None:
    async with hosting(dot=HANG) as (host, sender):
        task = asyncio.create_task(sender.send(outgoing()))
        async with asyncio.timeout(5):
            while not host.mails:
                await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert sender._connections._idle == []


async def test_send_address_outside_ascii_needs_a_server_that_takes_it() -> None:
    unicode_offered = "250-mail.example.com\r\n250-8BITMIME\r\n250 SMTPUTF8"
    async with hosting(EHLO=unicode_offered) as (host, sender):
        assert (await sender.send(outgoing(to="Jürgen <jürgen@example.com>"))).kind is Outcome.ACCEPTED
    assert host.connections[0][1] == "MAIL FROM:<news@example.com> BODY=8BITMIME SMTPUTF8"
    assert host.connections[0][2] == "RCPT TO:<jürgen@example.com>"
    async with hosting() as (host, sender):
        outcome = await sender.send(outgoing(to="Jürgen <jürgen@example.com>"))
    assert (outcome.kind, outcome.error_code) == (Outcome.MESSAGE_REJECTED, "smtputf8")


async def test_send_starttls_not_offered_halts_before_login() -> None:
    credentials = {"tls": "starttls", "username": "mailer", "password": "s3cret-pass"}
    async with hosting(credentials) as (host, sender):
        outcome = await sender.send(outgoing())
    assert (outcome.kind, outcome.error_code) == (Outcome.ACCOUNT_HALTED, "starttls")
    assert host.verbs == [["EHLO"]]


async def test_send_login_not_offered_halts_the_account() -> None:
    async with hosting({"username": "mailer", "password": "s3cret-pass"}) as (host, sender):
        outcome = await sender.send(outgoing())
    assert (outcome.kind, outcome.error_code) == (Outcome.ACCOUNT_HALTED, "auth")
    assert host.verbs == [["EHLO"]]


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        ("535 5.7.8 mailer is wrong", Outcome.ACCOUNT_HALTED),
        ("454 4.7.0 later", Outcome.TRANSIENT),
        (DROP, Outcome.TRANSIENT),
    ],
)
async def test_send_login_refused(reply: str, kind: Outcome) -> None:
    offered = "250-mail.example.com\r\n250 AUTH PLAIN"
    outcome = await sent({"username": "mailer", "password": "s3cret-pass"}, EHLO=offered, AUTH=reply)
    assert outcome.kind is kind, outcome
    assert "mailer" not in (outcome.error or "")
