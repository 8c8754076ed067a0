"""Requests before they are requests: how long a head may take, how large it may be, and how many strangers may wait.

The server by itself keeps a half request, and an endless one, for as long as its sender likes.
"""

from __future__ import annotations

from asyncio import TimerHandle, Transport
from time import monotonic
from typing import ClassVar, Final

import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from hermod.contracts.ids import request_id
from web.context import is_known
from web.problems import MEDIA_TYPE, Problem

PATIENCE: Final = 10.0
"""Seconds for a whole head, from the connection or the head's first byte on."""
MOST_BYTES: Final = 64 * 1024
MOST_HEADERS: Final = 100
MOST_STRANGERS: Final = 400
"""Connections that wait, in one process, for callers that have not shown who they are: well under the 1,024 files that
a process may usually open."""
AT_LEAST: Final = 1.0
"""Seconds that such a connection has, however many there are: those of a burst come at once, and all mean well."""

_NO_HTTP: Final = Problem(400, "bad-request", "Bad Request", "this is no request of HTTP/1.1")
_TOO_SLOW: Final = Problem(408, "request-timeout", "Request Timeout", "the head of the request did not come in time")
_TOO_LARGE: Final = Problem(
    431,
    "request-header-fields-too-large",
    "Request Header Fields Too Large",
    f"the head of a request may have {MOST_BYTES // 1024} KiB and {MOST_HEADERS} headers",
)


class _TooLarge(Exception):
    """Raised within the parser, which then gives the request up."""


class Heads(HttpToolsProtocol):
    """A connection to a caller."""

    _strangers: ClassVar[dict[Heads, float]] = {}
    """Of this process, those that wait: since when, the oldest first."""

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._fault = _NO_HTTP
        self._size = 0
        """Bytes of the head at hand."""
        self._patience: TimerHandle | None = None
        self._expect_a_head()
        self._wait_as_a_stranger()

    def connection_lost(self, exc: Exception | None) -> None:
        self._strangers.pop(self, None)
        self._head_is_over()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._answers():
            super().data_received(data)
            return
        self._expect_a_head()
        self._size += len(data)
        super().data_received(data)
        if self._size > MOST_BYTES and not self.transport.is_closing():
            self._refuse(_TOO_LARGE)

    def on_headers_complete(self) -> None:
        self._head_is_over()
        size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if size > MOST_BYTES or len(self.headers) > MOST_HEADERS:
            self._fault = _TOO_LARGE
            raise _TooLarge
        self._strangers.pop(self, None)
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        answered = self.cycle
        super().on_response_complete()
        if not is_known(answered.scope) and not self._answers():
            self._wait_as_a_stranger()

    def send_400_response(self, msg: str) -> None:
        """What the server answers where its parser gives up."""
        self._refuse(self._fault)

    def _refuse(self, problem: Problem) -> None:
        if not self.pipeline and not (self._answers() and self.cycle.response_started):
            self.transport.write(_written(problem))
        self.transport.close()

    def _answers(self) -> bool:
        """Whether a request is under way."""
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and not cycle.response_complete

    def _expect_a_head(self) -> None:
        if self._patience is None:
            self._patience = self.loop.call_later(PATIENCE, self._give_up)

    def _head_is_over(self) -> None:
        self._size = 0
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _give_up(self) -> None:
        self._patience = None
        if self._size:
            self._refuse(_TOO_SLOW)
        else:
            self.transport.close()

    def _wait_as_a_stranger(self) -> None:
        strangers, now = self._strangers, monotonic()
        strangers[self] = now
        while len(strangers) > MOST_STRANGERS:
            oldest, since = next(iter(strangers.items()))
            if now - since < AT_LEAST:
                break
            del strangers[oldest]
            oldest._give_up()


def _written(problem: Problem) -> bytes:
    """The problem as a whole answer, after which the connection is closed."""
    request = request_id()
    body = orjson.dumps(problem.body(request))
    head = (
        f"HTTP/1.1 {problem.status} {problem.title}",
        f"content-type: {MEDIA_TYPE}",
        f"content-length: {len(body)}",
        f"x-request-id: {request}",
        "connection: close",
    )
    return "\r\n".join((*head, "", "")).encode() + body
