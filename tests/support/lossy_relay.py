"""A relay in front of PostgreSQL that goes silent, or loses the answer to a statement that was carried out."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self

from devstack.ports import LOOPBACK

_READY: Final = b"Z\x00\x00\x00\x05I"
"""ReadyForQuery, outside of a transaction: what was asked for is committed."""


@dataclass
class _Loss:
    after: bytes
    answer: bytes
    and_then_shut: bool
    done: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(eq=False)
class _Passage:
    """One connection. Silent: what comes is taken in, and goes nowhere until the silence ends."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    heard: asyncio.Event = field(default_factory=asyncio.Event)
    loss: _Loss | None = None
    held: bytes = b""

    def cut(self) -> None:
        self.heard.set()
        self.client.transport.abort()
        self.server.transport.abort()


class LossyRelay:
    """Listens on a port of its own and passes everything on to `port`."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._server: asyncio.Server | None = None
        self._passages: set[_Passage] = set()
        self._loss: _Loss | None = None
        self._new_are_silent = False
        self.port = 0

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.shut()

    async def open(self) -> None:
        """Take connections, after `shut` again; no answer is lost any more."""
        self._loss = None
        self._server = await asyncio.start_server(self._pass_on, LOOPBACK, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def shut(self) -> None:
        """Refuse new connections and cut those that there are."""
        if self._server is not None:
            self._server.close()
            for passage in list(self._passages):
                passage.cut()
            await self._server.wait_closed()
            self._server = None

    def silence(self, *, new: bool = False) -> int:
        """Forward nothing on existing connections, whose number is returned; with `new`, on those to come neither."""
        self._new_are_silent = new
        for passage in self._passages:
            passage.heard.clear()
        return len(self._passages)

    def thaw(self) -> None:
        self._new_are_silent = False
        for passage in self._passages:
            passage.heard.set()

    def lose(self, *, after: str, answer: str, and_then_shut: bool = False) -> asyncio.Event:
        """Cut the connection instead of giving the answer, with `answer` in it, to a statement with the text `after`.

        The server has carried it out then. `answer` is a value that it returns, or its command (INSERT, COMMIT); SELECT
        is what the driver asks before its first use of a type, too. Set when it has happened; it happens once.
        `and_then_shut`: nobody comes through afterwards.
        """
        self._loss = _Loss(after.encode(), answer.encode(), and_then_shut)
        return self._loss.done

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection(LOOPBACK, self._target)
        passage = _Passage(writer, inner_writer)
        if not self._new_are_silent:
            passage.heard.set()
        self._passages.add(passage)
        try:
            await asyncio.gather(self._ask(reader, passage), self._answer(inner_reader, passage))
        finally:
            passage.cut()
            self._passages.discard(passage)

    async def _ask(self, reader: asyncio.StreamReader, passage: _Passage) -> None:
        try:
            while data := await reader.read(65536):
                await passage.heard.wait()
                if self._loss is not None and self._loss.after in data:
                    passage.loss, self._loss = self._loss, None
                passage.server.write(data)
                await passage.server.drain()
        except OSError:
            pass
        passage.heard.set()
        passage.server.close()

    async def _answer(self, reader: asyncio.StreamReader, passage: _Passage) -> None:
        try:
            while data := await reader.read(65536):
                await passage.heard.wait()
                if passage.loss is not None and (passage.held or passage.loss.answer in data):
                    passage.held += data
                    if _READY in passage.held:
                        await self._lost(passage, passage.loss)
                        return
                    continue
                passage.client.write(data)
                await passage.client.drain()
        except OSError:
            pass
        passage.client.close()

    async def _lost(self, passage: _Passage, loss: _Loss) -> None:
        if loss.and_then_shut and self._server is not None:
            self._server.close()
            self._server = None
        loss.done.set()
        passage.cut()
