"""`ReceiptContext.fetch`: what a reader may ask for while it checks a call, and nothing beside it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from hermod.contracts.errors import Unavailable
from hermod.outbound.addresses.guard import AddressGuard
from hermod.ports.notifications.receipts import SignatureInvalid
from starter.notifications.receipts import FETCH_BYTES, Fetcher

LOCAL = Fetcher(AddressGuard(allow_private=True))
PUBLIC = Fetcher(AddressGuard())


@pytest.fixture
async def certificates() -> AsyncIterator[str]:
    """A server with a file of each kind."""

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/slow":
            await asyncio.sleep(60)
        if request.path == "/elsewhere":
            raise web.HTTPFound("/cert.pem")
        if request.path == "/missing":
            raise web.HTTPNotFound
        size = FETCH_BYTES + 1 if request.path == "/huge" else 4
        return web.Response(body=b"cert" * (size // 4 + (size > 4)))

    runner = web.ServerRunner(web.Server(handle, handler_cancellation=True), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def test_address_is_asked_gives_what_it_answers(certificates: str) -> None:
    assert await LOCAL.fetch(f"{certificates}/cert.pem?a=b") == b"cert"


@pytest.mark.parametrize("path", ["/missing", "/elsewhere"])
async def test_address_answers_otherwise_is_unavailable_and_not_followed(certificates: str, path: str) -> None:
    with pytest.raises(Unavailable):
        await LOCAL.fetch(certificates + path)


async def test_address_answers_nothing_in_time_is_unavailable(
    certificates: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("starter.notifications.receipts.FETCH_SECONDS", 0.2)
    with pytest.raises(Unavailable):
        await LOCAL.fetch(f"{certificates}/slow")


async def test_address_answers_too_much_is_forged(certificates: str) -> None:
    with pytest.raises(SignatureInvalid):
        await LOCAL.fetch(f"{certificates}/huge")


async def test_nobody_listens_is_unavailable() -> None:
    with pytest.raises(Unavailable):
        await LOCAL.fetch("http://127.0.0.1:9/cert.pem")


@pytest.mark.parametrize(
    "url",
    [
        "http://sns.amazonaws.com/cert.pem",
        "https://127.0.0.1/cert.pem",
        "https://localhost/cert.pem",
        "https://[::1]/cert.pem",
        "https://2130706433/cert.pem",
        "https://10.0.0.1/cert.pem",
        "https://user:secret@sns.amazonaws.com/cert.pem",
        "file:///etc/passwd",
        "https:///cert.pem",
        "nonsense",
        "",
        "https://exa mple.com\n/",
    ],
)
async def test_address_that_must_not_be_asked_is_forged(url: str) -> None:
    with pytest.raises(SignatureInvalid):
        await PUBLIC.fetch(url)
