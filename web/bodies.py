"""Bodies in and out. Ours are read here, up to a limit, and not by the framework: it would parse them twice."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final, TypeVar

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from hermod.contracts.errors import Unavailable
from starter.notifications.parsing import read_json
from web.problems import BodyTooLarge, Compressed, NotJson

MIB: Final = 1024 * 1024
MOST_UNVERIFIED: Final = 64 * MIB
"""Held at once, in one process, of bodies whose senders are not known yet: a call is a few KiB."""
MOST_SENDERS: Final = 400
"""Of such bodies, on their way at once: each holds a connection."""
_JSON: Final = re.compile(
    r"\s*application/([a-z0-9!#$&^_.-]+\+)?json\s*(;\s*charset\s*=\s*\"?utf-8\"?\s*)?;?\s*", re.IGNORECASE
)
_Model = TypeVar("_Model", bound=BaseModel)


class _Unverified:
    """How many bytes are held of callers that have not shown who they are."""

    def __init__(self) -> None:
        self.held = 0
        self.senders = 0
        """Whose bodies are on their way."""

    def hold(self, size: int) -> None:
        """Raises Unavailable where it would be too many."""
        if self.held + size > MOST_UNVERIFIED:
            raise Unavailable("too much is on its way at once; nothing of the call was kept")
        self.held += size

    @contextmanager
    def sender(self) -> Iterator[None]:
        """While its body comes. Raises Unavailable where there would be too many."""
        if self.senders >= MOST_SENDERS:
            raise Unavailable("too many are sending at once; nothing of the call was kept")
        self.senders += 1
        try:
            yield
        finally:
            self.senders -= 1


_unverified: Final = _Unverified()


async def read_body(request: Request, limit: int) -> bytes:
    """The body, of `limit` bytes at most. Raises BodyTooLarge, before the rest of such a body has arrived."""
    return b"".join([chunk async for chunk in _chunks(request, limit)])


@asynccontextmanager
async def unverified_body(request: Request, limit: int, *, keep: int) -> AsyncIterator[bytes]:
    """The body of a caller that only the body can show to be who it says, or its first `keep` bytes.

    What is not kept is read all the same: otherwise the time of the answer would tell whom we know. Raises
    BodyTooLarge, and Unavailable where `MOST_UNVERIFIED` bytes of such callers are held already, or
    `MOST_SENDERS` send.
    """
    chunks: list[bytes] = []
    size = 0
    try:
        with _unverified.sender():
            async for chunk in _chunks(request, limit):
                kept = chunk[: keep - size]
                if kept:
                    _unverified.hold(len(kept))
                    size += len(kept)
                    chunks.append(kept)
        yield b"".join(chunks)
    finally:
        _unverified.held -= size


async def _chunks(request: Request, limit: int) -> AsyncIterator[bytes]:
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and (len(declared) > 18 or int(declared) > limit):
        raise _too_large(limit)
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise _too_large(limit)
        yield chunk


async def read_json_body(request: Request, limit: int) -> Any:
    """The body as JSON. Raises NotJson, BodyTooLarge and MalformedJson."""
    return read_json(await read_json_text(request, limit))


async def read_json_text(request: Request, limit: int) -> bytes:
    """The body, of a caller that says it is JSON, or does not say what it is. Raises NotJson and BodyTooLarge."""
    coding = request.headers.get("content-encoding", "identity").strip().lower()
    if coding != "identity":
        raise Compressed("the body may not be compressed")
    given = request.headers.get("content-type")
    if given is not None and not _JSON.fullmatch(given):
        raise NotJson("send the body with `Content-Type: application/json`, in UTF-8")
    return await read_body(request, limit)


def answer(body: BaseModel, status: int = 200) -> Response:
    """A model as JSON. Answers are somebody's own, so no cache may keep them."""
    text = body.model_dump_json(by_alias=True)
    return Response(text, status, {"cache-control": "no-store"}, "application/json")


def _too_large(limit: int) -> BodyTooLarge:
    size = f"{limit // MIB} MiB" if limit >= MIB else f"{limit // 1024} KiB"
    return BodyTooLarge(f"the body is larger than {size}")
