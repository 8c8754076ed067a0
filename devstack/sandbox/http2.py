"""The HTTP/2 front, for a vendor that speaks nothing else: in clear text, with prior knowledge (RFC 9113, 3.3)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, cast

import httpx
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, DataReceived, Event, RequestReceived, StreamEnded, StreamReset
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings

from devstack.sandbox.exchange import reset
from devstack.sandbox.providers.contract import Call, Reply

Answering = Callable[[Call], Awaitable[Reply | None]]
"""The answer to a call, when it is due; None resets the connection."""

MAX_STREAMS: Final = 1000
"""Requests that a connection may have under way, as at APNs."""


class Http2Server:
    """Answers every request of every connection with `answering`."""

    def __init__(self, answering: Answering) -> None:
        self._answering = answering
        self._server: asyncio.Server | None = None
        self._open: set[_Connection] = set()

    async def start(self, host: str, port: int) -> int:
        """Listen; gives the port, which 0 leaves to the system."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self._answering, self._open), host, port)
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            for connection in tuple(self._open):
                connection.close()
            await self._server.wait_closed()
            self._server = None


class _Connection(asyncio.Protocol):
    """`open_ones` holds all that are open, so that a stop can end them."""

    def __init__(self, answering: Answering, open_ones: set[_Connection]) -> None:
        self._answering = answering
        self._open_ones = open_ones
        self._h2 = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self._h2.local_settings = Settings(
            client=False, initial_values={SettingCodes.MAX_CONCURRENT_STREAMS: MAX_STREAMS}
        )
        self._transport: asyncio.Transport | None = None
        self._requests: dict[int, tuple[httpx.Headers, bytearray]] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._open_ones.add(self)
        self._h2.initiate_connection()
        self._flush()

    def connection_lost(self, error: Exception | None) -> None:
        self._open_ones.discard(self)
        for task in self._tasks.values():
            task.cancel()

    def data_received(self, data: bytes) -> None:
        try:
            for event in self._h2.receive_data(data):
                self._handle(event)
        except ProtocolError:
            self.close()
        else:
            self._flush()

    def close(self) -> None:
        self._flush()
        if self._transport is not None:
            self._transport.close()

    def _handle(self, event: Event) -> None:
        match event:
            case RequestReceived(stream_id=int(number)):
                self._requests[number] = httpx.Headers(cast(list[tuple[str, str]], event.headers)), bytearray()
            case DataReceived(stream_id=int(number)):
                self._h2.acknowledge_received_data(event.flow_controlled_length or 0, number)
                self._requests[number][1].extend(event.data or b"")
            case StreamEnded(stream_id=int(number)):
                task = asyncio.get_running_loop().create_task(self._answer(number))
                self._tasks[number] = task
                task.add_done_callback(lambda done: self._tasks.pop(number, None))
            case StreamReset(stream_id=int(number)):
                self._requests.pop(number, None)
                if number in self._tasks:
                    self._tasks[number].cancel()
            case ConnectionTerminated():
                self.close()

    async def _answer(self, number: int) -> None:
        headers, body = self._requests.pop(number)
        method, path = headers.pop(":method"), headers.pop(":path")
        reply = await self._answering(Call(method, path.partition("?")[0], headers, bytes(body)))
        if self._transport is None or self._transport.is_closing():
            return
        if reply is None:
            reset(self._transport)
            return
        self._h2.send_headers(number, _headers(reply), end_stream=not reply.body)
        if reply.body:  # far below every window
            self._h2.send_data(number, reply.body, end_stream=True)
        self._flush()

    def _flush(self) -> None:
        data = self._h2.data_to_send()
        if data and self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)


def _headers(reply: Reply) -> list[Any]:
    headers = [(":status", str(reply.status)), ("content-length", str(len(reply.body)))]
    if reply.content_type is not None:
        headers.append(("content-type", reply.content_type))
    return [*headers, *((name.lower(), value) for name, value in reply.headers.items())]
