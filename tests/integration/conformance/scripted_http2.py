"""An HTTP/2 server that does exactly what a test wants, frame by frame, and a client to face it."""

from __future__ import annotations

import asyncio
import ssl
import struct
from asyncio import StreamReader as Reader
from asyncio import StreamWriter as Writer
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import httpx
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, RequestReceived, StreamEnded, StreamReset
from h2.settings import SettingCodes, Settings

from hermod.outbound.addresses.guard import AddressGuard
from hermod.outbound.http.client import HttpSettings, Reply
from hermod.outbound.http.http2 import Http2Client
from tests.integration.conformance.scripted import serving

BODY = b'{"aps":{}}'


@asynccontextmanager
async def client_of(origin: str, **options: ssl.SSLContext) -> AsyncIterator[Http2Client]:
    settings = HttpSettings(max_reply_bytes=1000)
    client = Http2Client(httpx.URL(origin), AddressGuard(allow_private=True), settings, **options)
    yield client
    await client.aclose()


async def post(client: Http2Client, *, deadline: float = 5.0, fresh: bool = False, body: bytes = BODY) -> Reply:
    url = httpx.URL("http://push.example.com/3/device/ab?x=1")
    request = httpx.Request("POST", url, headers={"Apns-Topic": "com.example"}, content=body)
    return await client.exchange(request, deadline=deadline, fresh=fresh)


class Peer:
    """The server's side of one connection."""

    def __init__(self, reader: Reader, writer: Writer, settings: dict[SettingCodes, int]) -> None:
        self.writer = writer
        self.headers: dict[int, dict[str, str]] = {}
        self.bodies: dict[int, bytes] = {}
        self.resets: list[int] = []
        """Streams that the client has reset."""
        self.h2 = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self.h2.local_settings = Settings(client=False, initial_values=settings)
        self._reader = reader
        self._whole: list[int] = []
        self.h2.initiate_connection()
        self.flush()

    async def request(self) -> int:
        """The next whole request, by its stream."""
        while not self._whole:
            await self.read()
        return self._whole.pop(0)

    async def read(self) -> None:
        """What the client says next. Raises IncompleteReadError at its end."""
        data = await self._reader.read(65536)
        if not data:
            raise asyncio.IncompleteReadError(b"", None)
        for event in self.h2.receive_data(data):
            match event:
                case RequestReceived(stream_id=int(number)):
                    self.headers[number] = {str(name): str(value) for name, value in event.headers or ()}
                    self.bodies[number] = b""
                case DataReceived(stream_id=int(number)):
                    self.bodies[number] += event.data or b""
                    self.h2.acknowledge_received_data(event.flow_controlled_length or 0, number)
                case StreamEnded(stream_id=int(number)):
                    self._whole.append(number)
                case StreamReset(stream_id=int(number)):
                    self.resets.append(number)
        self.flush()

    async def idle(self) -> None:
        """Read until the client closes."""
        while True:
            await self.read()

    def answer(self, number: int, status: int = 200, body: bytes = b"", *, end: bool = True) -> None:
        self.h2.send_headers(number, [(":status", str(status)), ("apns-id", f"id-{number}")])
        self.h2.send_data(number, body, end_stream=end)
        self.flush()

    def reset(self, number: int, code: int) -> None:
        self.h2.reset_stream(number, code)
        self.flush()

    def go_away(self, last: int, code: int = 0) -> None:
        """Behind h2's back, which would say nothing more afterwards."""
        self.writer.write(struct.pack(">HBBBIII", 0, 8, 7, 0, 0, last, code))

    def flush(self) -> None:
        self.writer.write(self.h2.data_to_send())


@asynccontextmanager
async def serving_http2(
    handler: Callable[[Peer], Awaitable[None]], *, context: ssl.SSLContext | None = None, **settings: int
) -> AsyncIterator[int]:
    """Serve each connection with `handler`; gives the port. `settings` by their names in lower case."""
    given = {SettingCodes[name.upper()]: value for name, value in settings.items()}

    async def serve(reader: Reader, writer: Writer) -> None:
        await handler(Peer(reader, writer, given))

    async with serving(serve, context) as port:
        yield port


@asynccontextmanager
async def facing(handler: Callable[[Peer], Awaitable[None]], **settings: int) -> AsyncIterator[Http2Client]:
    """A client of a server with this handler."""
    async with (
        serving_http2(handler, context=None, **settings) as port,
        client_of(f"http://127.0.0.1:{port}") as client,
    ):
        yield client
