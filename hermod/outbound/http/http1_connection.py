"""One HTTP/1.1 connection: a request out, its answer in, and then perhaps the next one.

httptools reads the answers, and asyncio moves the bytes. The status line decides: once it is there, the request has
been answered, whatever becomes of headers and body. What makes no sense afterwards, does not end, or is longer than
anybody reads, ends the answer where it is, and the connection with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final, cast

import httptools

from hermod.outbound.http.timing import BODY, FIRST_BYTE, SENDING, Timing

LONGEST_HEAD: Final = 256 * 1024
"""Bytes of an answer's head, with those of all informational ones before it."""
_SMALL: Final = 64 * 1024
"""Bytes of a body that is sent in one piece with its head."""
_SWITCHING_PROTOCOLS: Final = 101


class Disconnected(OSError):
    """The connection was closed before an answer came."""


class InvalidAnswer(Exception):
    """What came is no HTTP."""


class Answer:
    """What has come of an answer so far. It outlives a deadline, which may strike in the middle of it.

    `most`: so many bytes of the body are kept; a longer one ends there, and is not complete.
    """

    __slots__ = (
        "_ended",
        "_head",
        "_is_cut",
        "_most",
        "_parser",
        "_timing",
        "_until_closed",
        "body",
        "complete",
        "headers",
        "reusable",
        "status",
    )

    def __init__(self, most: int, timing: Timing) -> None:
        self.status: int | None = None
        """None as long as the status line is not there."""
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = bytearray()
        self.complete = False
        """All of the body is there."""
        self.reusable = False
        """Whether the connection may carry another request, as far as the answer says."""
        self._most = most
        self._timing = timing
        self._head = 0
        self._is_cut = False
        self._until_closed = False
        self._ended: asyncio.Future[None] | None = asyncio.get_running_loop().create_future()
        parser = httptools.HttpResponseParser(self)
        # What other clients take as well. What is odd about lengths stays an error: it ends the connection.
        parser.set_dangerous_leniencies(
            lenient_headers=True, lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True
        )
        self._parser: httptools.HttpResponseParser | None = parser

    async def until_ended(self) -> None:
        """Until nothing more comes of it. Raises OSError or InvalidAnswer where there is no status line."""
        assert self._ended is not None  # noqa: S101 - it is waited for once
        try:
            await self._ended
        finally:
            # They refer to this, the future by way of its error: a cycle a request would keep the collector busy.
            self._parser = self._ended = None

    def feed(self, data: bytes) -> None:
        if self._parser is None or self._ended is None or self._ended.done():  # nobody has asked for more
            self.reusable = False
            return
        if not self._head_is_there:
            self._head += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self.reusable = False
            self._end(InvalidAnswer(str(error)))
            return
        if self.complete or self._is_cut:
            self._end()
        elif self._head > LONGEST_HEAD and not self._head_is_there:
            self._end(InvalidAnswer("the head of the answer does not end"))

    def closed(self, error: Exception | None) -> None:
        """The connection has ended. An answer without a length ends with it."""
        self.reusable = False
        if error is None and self._until_closed and not self._is_cut:
            self.complete = True
        self._end(error or Disconnected("the connection was closed before an answer came"))

    def on_message_begin(self) -> None:
        if self.complete:  # more came than was told
            self.reusable = False

    def on_status(self, _reason: bytes) -> None:
        self._note_status()

    def on_header(self, name: bytes, value: bytes) -> None:
        self._note_status()
        if not self.complete and not self._head_is_there:
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        self._note_status()
        if self.status is None:
            self.headers.clear()  # of an informational answer
        elif not self.complete:
            self._timing.begin(BODY)
            self._until_closed = _ends_with_connection(self.headers)

    def on_body(self, piece: bytes) -> None:
        if self.complete:
            return
        room = self._most - len(self.body)
        self._is_cut = self._is_cut or len(piece) > room
        self.body += piece[:room] if len(piece) > room else piece

    def on_message_complete(self) -> None:
        if self._parser is not None and self.status is not None and not self.complete:
            self.complete = not self._is_cut
            self.reusable = self.complete and self._parser.should_keep_alive()

    @property
    def _head_is_there(self) -> bool:
        return self._timing.stage >= BODY

    def _note_status(self) -> None:
        if self._parser is None or self.status is not None:
            return
        status = self._parser.get_status_code()
        if status >= 200 or status == _SWITCHING_PROTOCOLS:
            self.status = status

    def _end(self, error: Exception | None = None) -> None:
        if self._ended is None or self._ended.done():
            return
        if error is None or self.status is not None:
            self._ended.set_result(None)
        else:
            self._ended.set_exception(error)


class Http1Connection(asyncio.Protocol):
    """The client's side. One exchange at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._answer: Answer | None = None
        self._timing: Timing | None = None
        self._is_full = False
        self._is_over = False
        self.address: str | None = None
        """Whom it goes to."""
        self.idle_since = 0.0
        """By the loop's clock."""

    @property
    def usable(self) -> bool:
        """Whether it takes another request."""
        return not self._is_over and self._transport is not None and not self._transport.is_closing()

    async def exchange(self, head: bytes, body: bytes, answer: Answer, timing: Timing) -> None:
        """Send a request and read its answer. Whether the connection can be used again is `usable`.

        Raises OSError or InvalidAnswer where the answer has no status line. Cancelled, it closes the connection: a
        request that has not left as a whole never does.
        """
        if not self.usable:
            raise Disconnected("the connection was closed before the request was sent")
        transport = cast(asyncio.Transport, self._transport)
        self._answer, self._timing = answer, timing
        try:
            timing.begin(SENDING)
            if len(body) < _SMALL:
                transport.write(head + body)
            else:
                transport.write(head)
                transport.write(body)
            if not self._is_full:
                timing.begin(FIRST_BYTE)
            await answer.until_ended()
        finally:
            self._answer = self._timing = None
            unsent = transport.get_write_buffer_size() > 0
            if unsent or not answer.reusable:
                self.close(at_once=unsent or not answer.complete)

    def close(self, *, at_once: bool = False) -> None:
        """`at_once`: without sending what has not left, and without a word to the other side."""
        self._is_over = True
        if self._transport is not None:
            self._transport.abort() if at_once else self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        self.address = str(peer[0]) if peer else None

    def data_received(self, data: bytes) -> None:
        if self._answer is not None:
            self._answer.feed(data)
        else:  # nobody has asked
            self.close(at_once=True)

    def eof_received(self) -> None:
        self._is_over = True
        if self._answer is not None:
            self._answer.closed(None)

    def connection_lost(self, error: Exception | None) -> None:
        self._is_over = True
        if self._answer is not None:
            self._answer.closed(error)

    def pause_writing(self) -> None:
        self._is_full = True

    def resume_writing(self) -> None:
        self._is_full = False
        if self._timing is not None:
            self._timing.begin(FIRST_BYTE)


def request_head(method: str, target: bytes, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The head of a request, up to its body. Raises ValueError for what would end a line before its time."""
    lines = [b"%b %b HTTP/1.1" % (method.encode("ascii"), target)]
    lines += [name + b": " + value for name, value in headers]
    text = b"\r\n".join(lines)
    if text.count(b"\n") >= len(lines) or text.count(b"\r") >= len(lines) or b"\0" in text:
        raise ValueError("a header has a line break in it")
    return text + b"\r\n\r\n"


def _ends_with_connection(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether the body goes on until the connection is closed: nothing says how long it is."""
    for name, value in headers:
        lowered = name.lower()
        if lowered == b"content-length":
            return False
        if lowered == b"transfer-encoding":
            return not value.lower().rstrip().endswith(b"chunked")
    return True
