"""What a failed exchange came to, cause by cause, and how answers are decoded. No socket is opened here."""

from __future__ import annotations

import gzip
import zlib

import httpx
import pytest

from hermod.outbound.addresses.guard import AddressGuard
from hermod.outbound.http.client import HttpClient, NotSent, decoded


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
