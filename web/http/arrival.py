"""Requests on their way in: how long a body may take, and what becomes of one that nobody reads.

A server that answers before it has read a body has two bad choices: to read all of it, however much it is, or to cut
the caller off. So a little is read, as what is small has often come already, and the connection is closed after the
answer where there is more.
"""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from web.problems import BodyTooSlow

PATIENCE: Final = 30.0
"""Seconds for a body to come, and one more for every `LEAST_RATE` bytes of it."""
LEAST_RATE: Final = 16 * 1024
MOST_UNREAD: Final = 256 * 1024
"""Bytes that are read and dropped of a body that nobody asked for, so that the connection can be kept."""
UNREAD_PATIENCE: Final = 1.0
"""Seconds that such a body is waited for."""


class Arrival:
    """ASGI middleware. Where a body takes too long, reading it raises BodyTooSlow."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _has_body(scope):
            await self._app(scope, receive, send)
            return
        body = _Body(receive, waits_to_be_asked=_names(scope, b"expect"))

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start" and not await body.is_over():
                message["headers"] = [*message["headers"], (b"connection", b"close")]
            await send(message)

        await self._app(scope, body.receive, answer)


class _Body:
    def __init__(self, receive: Receive, *, waits_to_be_asked: bool) -> None:
        self._receive = receive
        self._waits_to_be_asked = waits_to_be_asked
        """The caller sends it only when it is told to go on, which the first reading does."""
        self._size = 0
        self._complete = False
        self._late = False
        self._begun = monotonic()

    async def receive(self) -> Message:
        if self._complete:
            return await self._receive()  # whether the caller is still there
        self._waits_to_be_asked = False
        try:
            async with asyncio.timeout(self._begun + PATIENCE + self._size / LEAST_RATE - monotonic()):
                return self._noted(await self._receive())
        except TimeoutError:
            self._late = True
            raise BodyTooSlow(f"the body did not come within {PATIENCE:.0f} s, or too slowly") from None

    async def is_over(self) -> bool:
        """Whether all of it has come, if need be by dropping a little."""
        if self._late or self._waits_to_be_asked:
            return self._complete
        enough = self._size + MOST_UNREAD
        try:
            async with asyncio.timeout(UNREAD_PATIENCE):
                while not self._complete and self._size < enough:
                    self._noted(await self._receive())
        except TimeoutError:
            return False
        return self._complete

    def _noted(self, message: Message) -> Message:
        self._size += len(message.get("body", b""))
        self._complete = message["type"] == "http.disconnect" or not message.get("more_body", False)
        return message


def _has_body(scope: Scope) -> bool:
    return _names(scope, b"transfer-encoding") or any(
        name == b"content-length" and value != b"0" for name, value in scope["headers"]
    )


def _names(scope: Scope, header: bytes) -> bool:
    return any(name == header for name, _ in scope["headers"])
