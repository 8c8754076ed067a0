"""A receiver of webhooks that answers as a test decides for each event, and remembers what it was asked, in order."""

from __future__ import annotations

import asyncio
import json
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Call:
    """One request: the event's payload, the delivery, and how often that was tried before."""

    payload: dict[str, Any]
    delivery: str
    attempt: int
    status: int
    """What it was answered."""


@dataclass
class Receiver:
    url: str = ""
    calls: list[Call] = field(default_factory=list)
    decide: Callable[[dict[str, Any], int], int] = lambda payload, attempt: 204
    """From payload and attempt to the status to answer."""
    most: int = 0
    """Requests that were under way at once."""
    under_way: int = 0
    _answers: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._answers.set()

    def hold(self) -> None:
        """Answer nobody until `go_on`. A request counts as accepted, or not, whether its answer arrives or not."""
        self._answers.clear()

    def go_on(self) -> None:
        self._answers.set()

    def accepted(self) -> list[dict[str, Any]]:
        return [call.payload for call in self.calls if call.status < 300]

    async def serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        try:
            while head := await _head(reader):
                headers = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if line)
                body = json.loads(await reader.readexactly(int(headers["content-length"])))
                self.under_way += 1
                self.most = max(self.most, self.under_way)
                attempt = int(headers["webhook-attempt"])
                status = self.decide(body["data"], attempt)
                self.calls.append(Call(body["data"], headers["webhook-id"], attempt, status))
                await self._answers.wait()
                self.under_way -= 1
                writer.write(f"HTTP/1.1 {status} -\r\ncontent-length: 0\r\n\r\n".encode())
                await writer.drain()
        except ConnectionError:
            return
        finally:
            writer.close()


async def _head(reader: StreamReader) -> str:
    try:
        return (await reader.readuntil(b"\r\n\r\n")).decode()
    except asyncio.IncompleteReadError:
        return ""


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    receiver.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    try:
        yield receiver
    finally:
        receiver.go_on()
        server.close()
