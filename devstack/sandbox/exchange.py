"""One request at one HTTP provider: checked, perhaps met by a fault, stored, answered."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Final

from aiohttp import web

from devstack.sandbox.fault import REJECTIONS, STORED, Fault, FaultName
from devstack.sandbox.faults import ANY, FaultBoard
from devstack.sandbox.inbox import Inbox, Known
from devstack.sandbox.providers.contract import Call, HttpProvider, Refused, Reply, Submission

_NONSENSE: Final = b"OK, thank you, your request has been noted.\n"
_GATEWAY_PAGE: Final = (
    b"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n"
    b"<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
)
_LINGER_NONE: Final = struct.pack("ii", 1, 0)


async def pause(seconds: float, stopping: asyncio.Event) -> None:
    """Sit on an answer, but not longer than the sandbox runs."""
    if seconds > 0:
        try:
            await asyncio.wait_for(stopping.wait(), seconds)
        except TimeoutError:
            return


def reset(transport: asyncio.Transport | None) -> None:
    """End a connection with a TCP reset: what is not yet sent is thrown away, and the peer's next read fails."""
    if transport is None:
        return
    endpoint = transport.get_extra_info("socket")
    if endpoint is not None:
        endpoint.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NONE)
    transport.abort()


class Exchange:
    """The handler of everything under one provider's mount point, or on its own port (`answer`)."""

    def __init__(self, provider: HttpProvider, inbox: Inbox, faults: FaultBoard, stopping: asyncio.Event) -> None:
        self._provider = provider
        self._mount = len(provider.name) + 1
        self._inbox = inbox
        self._faults = faults
        self._stopping = stopping

    async def handle(self, request: web.BaseRequest) -> web.Response:
        body = await request.read()
        reply = await self.answer(Call(request.method, request.path[self._mount :], request.headers, body))
        if reply is None:
            reset(request.transport)
            return web.Response()
        return _response(reply)

    async def answer(self, call: Call) -> Reply | None:
        """The provider's answer, when it is due; None where the connection is reset instead."""
        provider = self._provider
        try:
            found = provider.lookup(call, self._inbox)
            if found is not None:
                return found
            submission = provider.check(call)
        except Refused as refusal:
            self._inbox.counts[provider.name].refused += 1
            return refusal.reply
        self._inbox.note_request(provider.name, submission.entries)
        whole = ANY - REJECTIONS if submission.parts else ANY
        fault = self._faults.take(provider.name, submission.recipients, only=whole)
        if fault is None:
            return self._accept(submission)
        return await self._misbehave(submission, fault)

    def _accept(self, submission: Submission) -> Reply:
        """Store and answer; a repeat under an idempotency key is answered like the first time and not stored."""
        provider = self._provider
        if submission.key is not None:
            known = self._inbox.known(provider.name, submission.key)
            if known is not None:
                if not self._same(known, submission):
                    self._inbox.counts[provider.name].refused += 1
                    return provider.key_misused()
                self._inbox.repeat(provider.name, known, len(submission.entries))
                return provider.accepted(submission, known.provider_message_id, repeated=True)
        if submission.parts:
            self._settle(submission)
        self._inbox.receive(submission.entries, submission.raw)
        return provider.accepted(submission, submission.provider_id, repeated=False)

    def _same(self, known: Known, submission: Submission) -> bool:
        """Whether a request is the one that its idempotency key stands for, as far as that is still known."""
        first = self._inbox.get(known.number) if self._provider.compares_bodies else None
        altered = first is not None and first.raw is not None and first.raw != submission.raw
        return not altered and known.message_id == submission.entries[0].message_id

    def _settle(self, submission: Submission) -> None:
        """Let rejections befall the messages of a batch one by one; what is left of it is taken."""
        parts = [self._settled(part) if isinstance(part, Submission) else part for part in submission.parts]
        submission.parts = parts
        submission.entries = [entry for part in parts if isinstance(part, Submission) for entry in part.entries]

    def _settled(self, part: Submission) -> Submission | Reply:
        fault = self._faults.take(self._provider.name, part.recipients, only=REJECTIONS)
        return part if fault is None else self._provider.refusal(fault, part)

    async def _misbehave(self, submission: Submission, fault: Fault) -> Reply | None:
        reply = self._accept(submission) if fault.name in STORED else Reply(502, _GATEWAY_PAGE, "text/html")
        await pause(fault.wait, self._stopping)
        match fault.name:
            case FaultName.SLOW | FaultName.HTML_ERROR:
                return reply
            case FaultName.ACCEPT_THEN_TIMEOUT if not self._stopping.is_set():
                return reply
            case FaultName.RESET | FaultName.ACCEPT_THEN_RESET | FaultName.ACCEPT_THEN_TIMEOUT:
                return None
            case FaultName.WRONG_CONTENT_TYPE:
                return Reply(reply.status, _NONSENSE, "text/plain")
            case FaultName.TRUNCATED_JSON:
                half = reply.body[: len(reply.body) // 2] or b'{"mess'
                return Reply(reply.status, half, reply.content_type or "application/json", reply.headers)
            case _:
                return self._provider.refusal(fault, submission)


def _response(reply: Reply) -> web.Response:
    headers = {"Content-Type": reply.content_type, **reply.headers} if reply.content_type else reply.headers
    return web.Response(status=reply.status, body=reply.body, headers=headers)
