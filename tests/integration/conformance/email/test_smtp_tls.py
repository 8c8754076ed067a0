"""STARTTLS and TLS with a real certificate: what is said before the line is safe, and what never is."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from hermod.channels.email.smtp import connections
from hermod.contracts.notifications.messages import Outcome
from tests.integration.conformance.email.test_smtp_stages import hosting, outgoing, sent
from tests.integration.conformance.scripted import server_context


async def test_send_starttls_secures_login_and_mail(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trusting = ssl.create_default_context(cafile=str(certificate))
    monkeypatch.setattr(connections, "tls_context", lambda: trusting)
    offered = "250-mail.example.com\r\n250-STARTTLS\r\n250 AUTH PLAIN"
    credentials = {"host": "localhost", "tls": "starttls", "username": "mailer", "password": "s3cret-pass"}
    async with hosting(credentials, context=server_context(certificate), EHLO=offered) as (host, sender):
        outcome = await sender.send(outgoing())
    assert outcome.kind is Outcome.ACCEPTED, outcome
    assert host.verbs[0][:7] == ["EHLO", "STARTTLS", "EHLO", "AUTH", "MAIL", "RCPT", "DATA"]


async def test_send_starttls_certificate_of_a_stranger_sends_nothing(certificate: Path) -> None:
    offered = "250-mail.example.com\r\n250-STARTTLS\r\n250 AUTH PLAIN"
    credentials = {"host": "localhost", "tls": "starttls", "username": "mailer", "password": "s3cret-pass"}
    async with hosting(credentials, context=server_context(certificate), EHLO=offered) as (host, sender):
        outcome = await sender.send(outgoing())
    assert (outcome.kind, outcome.error_code) == (Outcome.TRANSIENT, "tls"), outcome
    assert host.verbs == [["EHLO", "STARTTLS"]]


async def test_send_tls_to_a_server_without_tls_is_transient() -> None:
    outcome = await sent({"tls": "tls"})
    assert outcome.kind is Outcome.TRANSIENT, outcome
