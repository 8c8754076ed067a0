"""A poster and its orders, and the least of servers."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Final

from hermod.outbound.addresses.guard import AddressGuard
from hermod.outbound.addresses.names import Names
from hermod.outbound.webhooks.poster import PosterSettings, WebhookPoster
from hermod.ports.webhooks.ledger import Post

BODY: Final = b'{"type":"order.paid","data":{"n":"\xc5\xbc"}}'
HEADERS: Final = (
    ("webhook-id", "whd_1"),
    ("webhook-timestamp", "1614265330"),
    ("webhook-signature", "v1,c2VjcmV0 v1a,b3RoZXI="),
    ("webhook-attempt", "1"),
    ("content-type", "application/json"),
    ("user-agent", "Hermod/1"),
    ("x-request-id", "req_1"),
    ("Authorization", "Bearer t0ken"),
)
NOW: Final = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


class StandingClock:
    def now(self) -> datetime:
        return NOW


@asynccontextmanager
async def posting(
    guard: AddressGuard, *, names: Names | None = None, settings: PosterSettings | None = None
) -> AsyncIterator[WebhookPoster]:
    poster = WebhookPoster(guard, clock=StandingClock(), names=names, settings=settings)
    try:
        yield poster
    finally:
        await poster.aclose()


def order(url: str, *, deadline: float = 5.0, fresh: bool = False, body: bytes = BODY) -> Post:
    return Post(url=url, headers=HEADERS, body=body, deadline=timedelta(seconds=deadline), fresh=fresh)


@asynccontextmanager
async def saying(said: bytes, *, read: bool = True) -> AsyncIterator[str]:
    """A server that says one thing to everybody; gives its URL."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65536 if read else 1)
        writer.write(said)
        await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, family=socket.AF_INET)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    finally:
        server.close()
