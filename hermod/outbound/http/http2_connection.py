"""One HTTP/2 connection that many requests share, and what becomes of each of them when the server ends it early.

h2 speaks the protocol and asyncio moves the bytes. httpcore, which does both for httpx, cannot tell what has to be
told here: at a GOAWAY it gives up requests that the server is still going to answer, and it leaves a stream open when
its caller has lost patience, until the connection has none left.

What is provable (RFC 9113, sections 6.8 and 8.7): a request that is still waiting for its turn, one above the last
stream that a GOAWAY names, and one reset with REFUSED_STREAM were not processed (`Unprocessed`). All others may be.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, cast

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import DataReceived, Event, RemoteSettingsChanged, ResponseReceived, StreamEnded, StreamReset
from h2.exceptions import FrameTooLargeError, NoAvailableStreamIDError, ProtocolError
from h2.settings import SettingCodes, Settings

from hermod.outbound.http.client import Unknown

HeaderList = Sequence[tuple[bytes, bytes]]

_FRAME_HEAD: Final = 9
_GOAWAY: Final = 7
_LONGEST_HEADERS: Final = 64 * 1024


class Unprocessed(Exception):
    """The request provably was not processed, and may be made again on another connection."""


class Stream:
    """One request's share of a connection, and its answer so far."""

    __slots__ = ("begun", "body", "complete", "ended", "failure", "headers", "id", "sent", "status")

    def __init__(self) -> None:
        self.id = 0
        self.begun = False
        """Some of the request may have left."""
        self.sent = False
        """All of it has left."""
        self.status: int | None = None
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = bytearray()
        self.complete = False
        self.failure: Exception | None = None
        self.ended = asyncio.get_running_loop().create_future()


class Http2Connection(asyncio.Protocol):
    """The client's side. `max_reply_bytes`: longer bodies are cut; `keepalive`: seconds until it is closed unused."""

    def __init__(self, *, max_reply_bytes: int, keepalive: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._limit = max_reply_bytes
        self._keepalive = keepalive
        self._transport: asyncio.Transport | None = None
        self._h2 = H2Connection(H2Configuration(client_side=True, header_encoding=None))
        self._h2.local_settings = Settings(
            client=True,
            initial_values={SettingCodes.ENABLE_PUSH: 0, SettingCodes.MAX_HEADER_LIST_SIZE: _LONGEST_HEADERS},
        )
        self._streams: dict[int, Stream] = {}
        self._waiting: list[asyncio.Future[None]] = []
        self._received = bytearray()
        self._greeted = False
        self._leaving = False
        self._idle: asyncio.TimerHandle | None = None
        self.heard = self._loop.time()
        """When the server last said something, by the loop's clock."""

    @property
    def usable(self) -> bool:
        """Whether it takes another request."""
        return not self._leaving

    async def exchange(self, stream: Stream, headers: HeaderList, body: bytes) -> None:
        """Send a request and read its answer into `stream`.

        Waits for its turn where the server allows no more streams at the moment. Raises Unprocessed or Unknown. An
        answer that breaks off is an answer: its status has been said. Cancelled, it tells the server so.
        """
        while not self._has_room():
            await self._change()
        try:
            self._begin(stream, headers, body)
            await self._pour(stream, body)
            await stream.ended
        finally:
            self._forget(stream)
        if stream.failure is not None:
            raise stream.failure

    def leave(self) -> None:
        """Take no more requests; close when the last one under way has its answer."""
        self._leaving = True
        self._wake()
        self._settle()

    def close(self) -> None:
        self._leaving = True
        if self._transport is not None and not self._transport.is_closing():
            self._h2.close_connection()
            self._flush()
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._h2.initiate_connection()
        self._flush()
        self._settle()

    def data_received(self, data: bytes) -> None:
        self.heard = self._loop.time()
        self._received += data
        try:
            for event in self._h2.receive_data(self._frames()):
                self._handle(event)
        except ProtocolError as error:
            self._flush()
            self._end_all(Unknown("protocol", f"no valid HTTP/2 answer ({type(error).__name__})"))
            self.close()
            return
        self._flush()
        self._wake()
        self._settle()

    def connection_lost(self, error: Exception | None) -> None:
        if error is None:
            self._end_all(Unknown("disconnected", "the connection was closed before an answer came"))
        else:
            self._end_all(Unknown("reset", "the connection broke before an answer came"))

    def _has_room(self) -> bool:
        """Whether a stream may be opened now: not before the server has said how many it allows."""
        if self._leaving:
            raise Unprocessed
        return self._greeted and self._h2.open_outbound_streams < self._h2.remote_settings.max_concurrent_streams

    def _begin(self, stream: Stream, headers: HeaderList, body: bytes) -> None:
        try:
            stream.id = self._h2.get_next_available_stream_id()
        except NoAvailableStreamIDError:
            self.leave()
            raise Unprocessed from None
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        self._streams[stream.id] = stream
        stream.begun = True
        self._h2.send_headers(stream.id, list(headers), end_stream=not body)

    async def _pour(self, stream: Stream, body: bytes) -> None:
        """Send the body as far as the server's windows allow; an answer that comes before its end ends it."""
        sent = 0
        stream.sent = not body
        while sent < len(body) and not stream.ended.done():
            room = min(self._h2.local_flow_control_window(stream.id), self._h2.max_outbound_frame_size)
            if room <= 0:
                self._flush()
                await self._change()
                continue
            chunk = body[sent : sent + room]
            sent += len(chunk)
            stream.sent = sent == len(body)
            self._h2.send_data(stream.id, chunk, end_stream=stream.sent)
        self._flush()

    def _frames(self) -> bytes:
        """The whole frames received so far, without GOAWAY.

        h2 takes a GOAWAY for the end of everything and refuses what comes after it, the answers to earlier requests
        included. Raises ProtocolError for a frame that is too long, which h2 would wait for.
        """
        received, at, passed = self._received, 0, bytearray()
        while len(received) - at >= _FRAME_HEAD:
            length = int.from_bytes(received[at : at + 3], "big")
            if length > self._h2.max_inbound_frame_size:
                raise FrameTooLargeError("a frame longer than we allow, or something else than HTTP/2")
            end = at + _FRAME_HEAD + length
            if len(received) < end:
                break
            if received[at + 3] == _GOAWAY and length >= 8:
                last = int.from_bytes(received[at + _FRAME_HEAD : at + _FRAME_HEAD + 4], "big")
                self._go_away(last & 0x7FFFFFFF)
            else:
                passed += received[at:end]
            at = end
        del received[:at]
        return bytes(passed)

    def _go_away(self, last: int) -> None:
        self._leaving = True
        for number in [number for number in self._streams if number > last]:
            self._end(number, Unprocessed())

    def _handle(self, event: Event) -> None:
        match event:
            case RemoteSettingsChanged():
                self._greeted = True
            case ResponseReceived(stream_id=int(number)) if stream := self._streams.get(number):
                for name, value in cast(HeaderList, event.headers):
                    if name == b":status":
                        stream.status = int(value) if value.isdigit() else None
                    else:
                        stream.headers.append((name, value))
            case DataReceived(stream_id=int(number)):
                self._take(number, event)
            case StreamEnded(stream_id=int(number)) if stream := self._streams.get(number):
                stream.complete = not stream.ended.done()
                self._end(number, Unknown("protocol", "an answer without a status"))
            case StreamReset(stream_id=int(number)):
                refused = event.error_code == ErrorCodes.REFUSED_STREAM
                self._end(number, Unprocessed() if refused else Unknown("reset", "the request was reset"))

    def _take(self, number: int, event: DataReceived) -> None:
        self._h2.acknowledge_received_data(event.flow_controlled_length or 0, number)
        stream = self._streams.get(number)
        if stream is not None:
            stream.body += event.data or b""
            if len(stream.body) > self._limit:
                del stream.body[self._limit :]
                self._end(number, None)

    def _end(self, number: int, failure: Exception | None) -> None:
        """End the stream, with the failure where it has no answer yet. Its request finds it so and forgets it."""
        stream = self._streams.get(number)
        if stream is not None and not stream.ended.done():
            stream.failure = failure if stream.status is None else None
            stream.ended.set_result(None)

    def _end_all(self, failure: Exception) -> None:
        self._leaving = True
        for number in self._streams:
            self._end(number, failure)
        self._wake()

    def _forget(self, stream: Stream) -> None:
        if self._streams.pop(stream.id, None) is None:
            return
        if not (stream.sent and stream.complete) and self._transport is not None and not self._transport.is_closing():
            try:
                self._h2.reset_stream(stream.id, ErrorCodes.CANCEL)
            except ProtocolError:  # it has ended meanwhile
                pass
            else:
                self._flush()
        self._wake()
        self._settle()

    async def _change(self) -> None:
        """Wait until there may be more room than now."""
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._waiting.append(waiter)
        await waiter

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)

    def _settle(self) -> None:
        """With no request under way, close at once or in a while."""
        if not self._streams and self._leaving:
            self.close()
        elif not self._streams and self._idle is None:
            self._idle = self._loop.call_later(self._keepalive, self.close)

    def _flush(self) -> None:
        data = self._h2.data_to_send()
        if data and self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)
