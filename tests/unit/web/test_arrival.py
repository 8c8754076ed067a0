"""Bodies that nobody reads, that never come, or that come too slowly."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

from web.http import arrival
from web.http.arrival import MOST_UNREAD, Arrival
from web.problems import BodyTooSlow

KIB = b"x" * 1024


class Sender:
    """A caller whose body comes in these parts; without `ends`, the rest never comes."""

    def __init__(self, parts: Sequence[bytes], *, ends: bool = True) -> None:
        self.parts, self.ends, self.read = list(parts), ends, 0

    async def receive(self) -> Message:
        if not self.parts:
            await asyncio.Event().wait()
        part = self.parts.pop(0)
        self.read += len(part)
        return {"type": "http.request", "body": part, "more_body": bool(self.parts) or not self.ends}


async def ignoring(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse("no", 404)(scope, receive, send)


async def reading(scope: Scope, receive: Receive, send: Send) -> None:
    await Request(scope, receive).body()
    await PlainTextResponse("yes")(scope, receive, send)


async def answered(app: object, sender: Sender, headers: Sequence[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """The headers of the answer."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/", "headers": list(headers)}
    await Arrival(app)(scope, sender.receive, send)  # type: ignore[arg-type]
    assert [one["type"] for one in sent] == ["http.response.start", "http.response.body"]
    return dict(sent[0]["headers"])


LENGTH = [(b"content-length", b"100000000")]


async def test_body_that_nobody_asked_for_is_not_read_to_its_end() -> None:
    sender = Sender([KIB * 64] * 1600)
    assert (await answered(ignoring, sender, LENGTH))[b"connection"] == b"close"
    assert sender.read == MOST_UNREAD


async def test_small_body_that_nobody_asked_for_leaves_the_connection_open() -> None:
    for headers in (LENGTH, [(b"transfer-encoding", b"chunked")]):
        sender = Sender([KIB, KIB])
        assert b"connection" not in await answered(ignoring, sender, headers)
        assert not sender.parts


async def test_body_that_waits_to_be_asked_for_is_not_asked_for_to_be_dropped() -> None:
    sender = Sender([KIB])
    assert (await answered(ignoring, sender, [*LENGTH, (b"expect", b"100-continue")]))[b"connection"] == b"close"
    assert sender.read == 0


async def test_request_without_a_body_is_left_alone() -> None:
    assert b"connection" not in await answered(ignoring, Sender([]), [(b"content-length", b"0")])


async def test_body_that_was_read_leaves_the_connection_open() -> None:
    assert b"connection" not in await answered(reading, Sender([KIB, b""]), LENGTH)


async def test_half_a_body_is_not_waited_for_after_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrival, "UNREAD_PATIENCE", 0.01)
    assert (await answered(ignoring, Sender([KIB], ends=False), LENGTH))[b"connection"] == b"close"


async def test_half_a_body_that_never_goes_on_is_too_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrival, "PATIENCE", 0.01)
    with pytest.raises(BodyTooSlow):
        await answered(reading, Sender([KIB], ends=False), LENGTH)
