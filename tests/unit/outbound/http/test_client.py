"""What a failed exchange came to, cause by cause, and how answers are decoded. No socket is opened here."""

from __future__ import annotations

import asyncio
import gzip
import socket
import ssl
import zlib

import aiohttp
import httpx
import pytest
from aiohttp.client_reqrep import ConnectionKey

from hermod.outbound.addresses.guard import AddressGuard, AddressRefused, NameRefused
from hermod.outbound.http.client import HttpClient, NotSent, Unknown, classify, decoded

KEY = ConnectionKey("api.example.com", 443, True, True, None, None, None)


NOT_SENT = [
    (aiohttp.ClientConnectorError(KEY, ConnectionRefusedError(111, "refused")), "connect"),
    (aiohttp.ClientConnectorError(KEY, OSError(113, "no route")), "connect"),
    (aiohttp.ClientConnectorDNSError(KEY, socket.gaierror(-2, "unknown name")), "dns"),
    (aiohttp.ClientConnectorDNSError(KEY, NameRefused(-2, "no name")), "dns"),
    (aiohttp.ClientConnectorError(KEY, AddressRefused("10.0.0.1")), "address_refused"),
    (aiohttp.ClientConnectorSSLError(KEY, ssl.SSLError(1, "handshake")), "tls"),
    (aiohttp.ClientConnectorCertificateError(KEY, ssl.SSLCertVerificationError(1, "expired")), "tls"),
    (aiohttp.ConnectionTimeoutError("Connection timeout"), "connect_timeout"),
    (aiohttp.InvalidUrlClientError("http://"), "url"),
    (aiohttp.NonHttpUrlClientError("ftp://example.com"), "url"),
]
UNKNOWN = [
    (aiohttp.ServerDisconnectedError(), "disconnected"),
    (aiohttp.ClientOSError(104, "reset by peer"), "reset"),
    (aiohttp.ClientConnectionResetError("Cannot write to closing transport"), "reset"),
    (aiohttp.SocketTimeoutError("Timeout on reading"), "timeout"),
    (aiohttp.ServerTimeoutError("timeout"), "timeout"),
    (aiohttp.ClientPayloadError("half a body"), "protocol"),
    (aiohttp.ClientConnectionError("Connector is closed"), "protocol"),
]


def as_httpx(cause: Exception, kind: type[httpx.TransportError]) -> Exception:
    """The cause as httpx-aiohttp raises it."""
    try:
        raise kind("mapped") from cause
    except httpx.TransportError as error:
        return error


@pytest.mark.parametrize("kind", [httpx.ConnectTimeout, httpx.ConnectError, httpx.ReadTimeout])
@pytest.mark.parametrize(("cause", "code"), NOT_SENT)
def test_exchange_cause_before_the_first_byte_is_not_sent(
    cause: Exception, code: str, kind: type[httpx.TransportError]
) -> None:
    failure = classify(as_httpx(cause, kind))
    assert isinstance(failure, NotSent)
    assert failure.code == code


@pytest.mark.parametrize("kind", [httpx.ConnectTimeout, httpx.ConnectError, httpx.ReadTimeout])
@pytest.mark.parametrize(("cause", "code"), UNKNOWN)
def test_exchange_any_other_cause_is_unknown_whatever_httpx_calls_it(
    cause: Exception, code: str, kind: type[httpx.TransportError]
) -> None:
    failure = classify(as_httpx(cause, kind))
    assert isinstance(failure, Unknown)
    assert failure.code == code


async def test_exchange_deadline_is_unknown() -> None:
    with pytest.raises(TimeoutError) as caught:
        async with asyncio.timeout(0.001):
            await asyncio.Event().wait()
    failure = classify(caught.value)
    assert isinstance(failure, Unknown)
    assert failure.code == "timeout"


@pytest.mark.parametrize("error", [ValueError("odd"), RuntimeError("odd"), httpx.ConnectTimeout("without a cause")])
def test_exchange_unexplained_error_is_unknown(error: Exception) -> None:
    assert isinstance(classify(error), Unknown)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_exchange_method_that_aiohttp_repeats_is_never_proven_unsent(method: str) -> None:
    cause = aiohttp.ClientConnectorError(KEY, ConnectionRefusedError(111, "refused"))
    assert isinstance(classify(as_httpx(cause, httpx.ConnectTimeout), method), Unknown)


async def test_exchange_literal_address_off_limits_is_not_sent() -> None:
    client = HttpClient(AddressGuard())
    with pytest.raises(NotSent) as caught:
        await client.exchange(httpx.Request("POST", "http://127.0.0.1:1/"), deadline=1)
    assert caught.value.code == "address_refused"
    await client.aclose()


async def test_client_after_close_sends_nothing() -> None:
    client = HttpClient(AddressGuard(allow_private=True))
    await client.aclose()
    with pytest.raises(NotSent) as caught:
        await client.exchange(httpx.Request("POST", "http://127.0.0.1:1/"), deadline=1)
    assert caught.value.code == "closed"


@pytest.mark.parametrize(
    ("coding", "body", "expected"),
    [
        ("identity", b"plain", (b"plain", True)),
        ("gzip", gzip.compress(b"plain", mtime=0), (b"plain", True)),
        ("GZIP", gzip.compress(b"plain", mtime=0), (b"plain", True)),
        ("deflate", zlib.compress(b"plain"), (b"plain", True)),
        ("gzip", gzip.compress(b"plain" * 40, mtime=0)[:-8], (b"plain" * 40, False)),
        ("gzip", b"not gzip", (b"", False)),
        ("br", b"\x0b\x02\x80plain\x03", (b"", False)),
        ("gzip, gzip", b"", (b"", False)),
    ],
)
def test_reply_body_is_decoded(coding: str, body: bytes, expected: tuple[bytes, bool]) -> None:
    plain, whole = decoded(body, httpx.Headers({"content-encoding": coding}), 1000)
    assert (plain, whole) == expected


def test_reply_decompression_bomb_is_cut_at_the_cap() -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)
    plain, whole = decoded(bomb, httpx.Headers({"content-encoding": "gzip"}), 1000)
    assert len(plain) == 1000
    assert not whole
