"""One provider sandbox for all adapters; every test leaves it without faults and with an empty inbox."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from devstack.sandbox import Sandbox


class Counterpart:
    """The other side of an adapter: where it listens, what it took, and what is to go wrong."""

    def __init__(self, sandbox: Sandbox, client: httpx.AsyncClient) -> None:
        self.url = sandbox.url
        self.smtp_port = sandbox.smtp_port
        self.apns_url = sandbox.apns_url
        self._client = client

    async def fail(self, provider: str, fault: str, **order: Any) -> None:
        """Order a fault for the provider's next requests (`times`, `retry_after`, `delay`)."""
        response = await self._client.put(f"/_sandbox/faults/{provider}", json={"fault": fault, **order})
        response.raise_for_status()

    async def mend(self) -> None:
        (await self._client.delete("/_sandbox/faults")).raise_for_status()

    async def inbox(self, provider: str) -> list[dict[str, Any]]:
        response = await self._client.get("/_sandbox/inbox", params={"provider": provider, "limit": 1000})
        items: list[dict[str, Any]] = response.raise_for_status().json()["items"]
        return items

    async def clear(self) -> None:
        (await self._client.delete("/_sandbox/inbox")).raise_for_status()


@pytest.fixture(scope="session")
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox(http_port=0, smtp_port=0) as sandbox:
        yield sandbox


@pytest.fixture
async def counterpart(sandbox: Sandbox) -> AsyncIterator[Counterpart]:
    async with httpx.AsyncClient(base_url=sandbox.url) as client:
        counterpart = Counterpart(sandbox, client)
        await counterpart.mend()
        await counterpart.clear()
        yield counterpart
        await counterpart.mend()


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for localhost and its key, in one file."""
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
