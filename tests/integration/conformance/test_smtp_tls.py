"""STARTTLS and TLS with a real certificate: what is said before the line is safe, and what never is."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from hermod.channels.email.smtp import connections
from hermod.contracts.messages import Outcome
from tests.integration.conformance.test_smtp_stages import hosting, outgoing, sent


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for 127.0.0.1 and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail.example.com")])
    now = datetime.now(UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    path = tmp_path / "server.pem"
    path.write_bytes(pem + built.public_bytes(serialization.Encoding.PEM))
    return path


def server_context(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


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
