"""The receivers of the webhooks: five that answer, one that hangs, one that answers 500, one that answers 410."""

from __future__ import annotations

import asyncio
from collections import Counter
from http import HTTPStatus
from types import TracebackType
from typing import Final, Self, cast

from benchmarks.soak.delivery_checks import Received
from devstack.servers.ports import LOOPBACK

GOOD: Final = ("good-1", "good-2", "good-3", "good-4", "good-5")
ORDERED: Final = "good-2"
HANGS: Final = "hangs"
ANSWERS: Final = {**dict.fromkeys(GOOD, 200), "answers-500": 500, "answers-410": 410, HANGS: None}
"""The status that each endpoint answers; None: nothing at all."""


class Receivers:
    """All endpoints at one port, told apart by their path; everything is counted by the delivery's id."""

    def __init__(self) -> None:
        self.requests: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.succeeded: Counter[str] = Counter()
        self.order: dict[str, int] = {}
        """The place of a delivery's first request among all first requests."""
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.get_running_loop().create_server(lambda: _Connection(self), LOOPBACK, 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()

    def url(self, endpoint: str) -> str:
        assert self._server is not None
        return f"http://{LOOPBACK}:{self._server.sockets[0].getsockname()[1]}/{endpoint}"

    @property
    def received(self) -> Received:
        return Received(self.requests, self.answered, self.succeeded, self.order)

    def take(self, endpoint: str, delivery: str) -> int | None:
        """Note a request; the status to answer it with."""
        self.requests[delivery] += 1
        self.order.setdefault(delivery, len(self.order))
        status = ANSWERS[endpoint]
        if status is not None:
            self.answered[delivery] += 1
            self.succeeded[delivery] += status < HTTPStatus.MULTIPLE_CHOICES
        return status


class _Connection(asyncio.Protocol):
    def __init__(self, receivers: Receivers) -> None:
        self._receivers = receivers
        self._buffer = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none of asyncio's classes.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            first, *lines = self._buffer[:end].decode("latin-1").split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            whole = end + 4 + int(headers.get("content-length", "0"))
            if len(self._buffer) < whole:
                return
            self._buffer = self._buffer[whole:]
            status = self._receivers.take(first.split(" ")[1].lstrip("/"), headers["webhook-id"])
            if status is not None:
                phrase = HTTPStatus(status).phrase
                self._transport.write(f"HTTP/1.1 {status} {phrase}\r\nContent-Length: 0\r\n\r\n".encode())
