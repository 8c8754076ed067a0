"""A receiver of webhooks that behaves as badly as it is told to, and remembers what it got.

    async with Hostile() as receiver:
        receiver.behave("503", "reset", "ok", headers={"Retry-After": "120"})
        ... deliver to receiver.url ...
        assert [request.headers["webhook-attempt"] for request in receiver.requests] == ["1", "2", "3"]

A behaviour is a three-digit status or a name of `BEHAVIOURS`; each request takes the next one, the last one stays.
"""

from __future__ import annotations

import asyncio
import gzip
import socket
import ssl
from asyncio import StreamReader, StreamWriter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from types import TracebackType
from typing import Final, Self

from hermod.outbound.addresses.names import AddressInfo
from tests.integration.conformance.scripted import answer, read_request, reset

BOMB: Final = gzip.compress(b"\0" * 20_000_000)
_CHUNKED: Final = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it came. Names of headers are in lower case, their order is kept in `raw`."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    raw: bytes = field(repr=False)

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        head, _, body = raw.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ", 2)
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        return cls(method, target, headers, body, raw)


class Hostile:
    """`host` and `port` are where it listens; `tls` makes it speak TLS with that context."""

    def __init__(self, *, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[Received] = []
        """In the order in which they were read, whatever was answered."""
        self.connections = 0
        self.under_way = 0
        """Requests that were read and whose connection waits for more of an answer."""
        self.peak = 0
        """The most that were under way at once."""
        self.sent = 0
        """Bytes of answers that went into the sockets."""
        self.elsewhere: list[Received] = []
        """What the other host got, the one that `redirect` points to."""
        self.headers: list[str] = []
        """Those of the behaviour, as lines."""
        self._host, self._port, self._tls = host, port, tls
        self._turns: list[str] = ["ok"]
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def behave(self, *turns: str, headers: Mapping[str, str] | None = None) -> None:
        """What the next requests meet, and the headers that go with an answer which has a status."""
        unknown = [turn for turn in turns if turn not in BEHAVIOURS and not turn.isdecimal()]
        assert turns, "a behaviour is needed"
        assert not unknown, f"no such behaviour: {unknown}; there are {sorted(BEHAVIOURS)} and statuses"
        self._turns = list(turns)
        self.headers = [f"{name}: {value}" for name, value in (headers or {}).items()]

    @property
    def port(self) -> int:
        port: int = self._servers[0].sockets[0].getsockname()[1]
        return port

    @property
    def url(self) -> str:
        return self.at(self._host)

    @property
    def tls_url(self) -> str:
        """For `slow_tls`, and for a receiver that was given a context."""
        return self.url.replace("http:", "https:")

    @property
    def elsewhere_url(self) -> str:
        return f"http://localhost:{self._servers[1].sockets[0].getsockname()[1]}/stolen"

    def at(self, host: str) -> str:
        """The receiver's URL under a name of the test's own resolver."""
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}/hook"

    async def __aenter__(self) -> Self:
        self._servers.append(await asyncio.start_server(self._serve, self._host, self._port, ssl=self._tls))
        self._servers.append(await asyncio.start_server(self._serve_elsewhere, self._host, 0))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for server in self._servers:
            server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        self.connections += 1
        await self._kept(self._converse(reader, writer), writer)

    async def _serve_elsewhere(self, reader: StreamReader, writer: StreamWriter) -> None:
        async def note() -> None:
            self.elsewhere.append(Received.parse(await read_request(reader)))
            writer.write(answer("200 OK"))

        await self._kept(note(), writer)

    async def _kept(self, conversation: Awaitable[None], writer: StreamWriter) -> None:
        """Until the conversation ends, or the receiver goes."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await conversation
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _converse(self, reader: StreamReader, writer: StreamWriter) -> None:
        if self._turns[0] in _AT_ONCE:
            await BEHAVIOURS[self._turn()](self, reader, writer)
            return
        while True:
            self.requests.append(Received.parse(await read_request(reader)))
            self.under_way += 1
            self.peak = max(self.peak, self.under_way)
            try:
                if not await self._answer(self._turn(), reader, writer):
                    return
            finally:
                self.under_way -= 1

    def _turn(self) -> str:
        return self._turns.pop(0) if len(self._turns) > 1 else self._turns[0]

    async def _answer(self, turn: str, reader: StreamReader, writer: StreamWriter) -> bool:
        """Whether the connection stays open for another request."""
        if turn.isdecimal():
            status = HTTPStatus(int(turn))
            body = b"" if status in (204, 304) else f"{status.phrase}\n".encode()
            whole = answer(f"{status.value} {status.phrase}", body, *self.headers)
            await self.send(writer, whole if body else whole.replace(b"Content-Length: 0\r\n", b""))
            return True
        return await BEHAVIOURS[turn](self, reader, writer)

    async def send(self, writer: StreamWriter, data: bytes) -> None:
        writer.write(data)
        await writer.drain()
        self.sent += len(data)


async def _ok(receiver: Hostile, _: StreamReader, writer: StreamWriter) -> bool:
    await receiver.send(writer, answer("200 OK", b'{"ok":true}', *receiver.headers))
    return True


async def _slow(receiver: Hostile, reader: StreamReader, writer: StreamWriter) -> bool:
    await asyncio.sleep(2)
    return await _ok(receiver, reader, writer)


async def _hung(_receiver: Hostile, reader: StreamReader, _: StreamWriter) -> bool:
    while await reader.read(65536):
        pass
    return False


async def _drip(receiver: Hostile, _: StreamReader, writer: StreamWriter) -> bool:
    await receiver.send(writer, _CHUNKED)
    return await _repeat(receiver, writer, b"1\r\nx\r\n", 0.05)


async def _drip_head(receiver: Hostile, _: StreamReader, writer: StreamWriter) -> bool:
    await receiver.send(writer, b"HTTP/1.1 200 OK\r\nX-Slow: ")
    return await _repeat(receiver, writer, b"x", 0.05)


async def _endless(receiver: Hostile, _: StreamReader, writer: StreamWriter) -> bool:
    await receiver.send(writer, _CHUNKED)
    return await _repeat(receiver, writer, b"10000\r\n" + b"x" * 0x10000 + b"\r\n")


async def _endless_header(receiver: Hostile, _: StreamReader, writer: StreamWriter) -> bool:
    await receiver.send(writer, b"HTTP/1.1 200 OK\r\nX-Long: ")
    return await _repeat(receiver, writer, b"x" * 0x10000)


async def _informational(receiver: Hostile, _: StreamReader, writer: StreamWriter) -> bool:
    return await _repeat(receiver, writer, b"HTTP/1.1 102 Processing\r\n\r\n", 0.01)


async def _repeat(receiver: Hostile, writer: StreamWriter, piece: bytes, every: float = 0.0) -> bool:
    while True:
        await receiver.send(writer, piece)
        await asyncio.sleep(every)


async def _bomb(receiver: Hostile, _: StreamReader, writer: StreamWriter) -> bool:
    await receiver.send(writer, answer("200 OK", BOMB, "Content-Encoding: gzip"))
    return True


async def _broken_gzip(receiver: Hostile, _: StreamReader, writer: StreamWriter) -> bool:
    await receiver.send(writer, answer("200 OK", b"this is no gzip", "Content-Encoding: gzip"))
    return True


async def _break_off(receiver: Hostile, _: StreamReader, writer: StreamWriter) -> bool:
    await receiver.send(writer, b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"ok"')
    return False


async def _redirect(receiver: Hostile, _: StreamReader, writer: StreamWriter) -> bool:
    await receiver.send(writer, answer("307 Temporary Redirect", b"", f"Location: {receiver.elsewhere_url}"))
    return True


async def _reset(_receiver: Hostile, _: StreamReader, writer: StreamWriter) -> bool:
    reset(writer)
    return False


async def _close(_receiver: Hostile, _: StreamReader, _writer: StreamWriter) -> bool:
    return False


async def _garbage(receiver: Hostile, _: StreamReader, writer: StreamWriter) -> bool:
    await receiver.send(writer, b"SSH-2.0-OpenSSH_9.6\r\n\r\n")
    return False


async def _huge_headers(receiver: Hostile, _: StreamReader, writer: StreamWriter) -> bool:
    lines = [f"X-Filler-{number}: {'y' * 4000}" for number in range(100)]
    await receiver.send(writer, answer("200 OK", b"", *lines))
    return True


Behaviour = Callable[[Hostile, StreamReader, StreamWriter], Awaitable[bool]]
"""Answers one request; whether the connection stays open for another one."""

BEHAVIOURS: Final[Mapping[str, Behaviour]] = {
    "ok": _ok,
    "slow": _slow,  # the same after two seconds
    "hung": _hung,  # never answers
    "drip": _drip,  # 200, then a byte of the body every 50 ms, for ever
    "drip_head": _drip_head,  # the same within a header
    "endless": _endless,  # 200, then a body as fast as it is taken
    "endless_header": _endless_header,
    "informational": _informational,  # 102 again and again
    "bomb": _bomb,  # 200, and 20 KB of gzip that hold 20 MB
    "broken_gzip": _broken_gzip,  # 200, and says gzip where there is none
    "break_off": _break_off,  # 200, a piece of the body, then closed
    "redirect": _redirect,  # 307 to `elsewhere`
    "reset": _reset,  # a TCP reset once the request was read
    "close": _close,  # closed once the request was read
    "garbage": _garbage,  # something that is no HTTP
    "huge_headers": _huge_headers,  # 200, and 400 KB of headers
    "reset_at_once": _reset,  # a TCP reset on accepting
    "slow_tls": _hung,  # accepts and says nothing, so that a TLS handshake never ends
}
_AT_ONCE: Final = frozenset({"reset_at_once", "slow_tls"})
"""These come before a request is read."""


class Names:
    """Gives each look-up its next answer; the last one stays. `Names(["1.1.1.1"], ["127.0.0.1"])` rebinds,
    `Names(["1.1.1.1", "127.0.0.1"])` mixes, `Names(None)` never answers."""

    def __init__(self, *answers: Sequence[str] | None) -> None:
        self._answers = list(answers)
        self.asked: list[str] = []

    async def resolve(self, host: str, port: int) -> list[AddressInfo]:
        self.asked.append(host)
        addresses = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if addresses is None:
            await asyncio.Event().wait()
            return []
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port, 0, 0))
            if ":" in address
            else (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port))
            for address in addresses
        ]
