"""The HTTP front: sends a request to its provider by the first part of the path, and all others through a few routes.

aiohttp's low-level server rather than its Application: the router, the match objects and the middleware chain cost
some 15 µs a request, and a load run makes tens of thousands of them.
"""

from __future__ import annotations

import re
from asyncio import AbstractEventLoop, Task
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import Final, NamedTuple

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import RequestHandler

from devstack.servers.local_http import REFUSAL, is_local

MAX_REQUEST_BYTES: Final = 64 * 1024 * 1024
"""Above every vendor's own limit, so that the vendor's answer is the one that is seen."""

Exchange = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
Handler = Callable[[web.BaseRequest, Mapping[str, str]], Awaitable[web.StreamResponse]]
"""Takes the request and the named parts of its path."""


class Route(NamedTuple):
    method: str
    path: re.Pattern[str]
    handler: Handler


def route(method: str, path: str, handler: Handler) -> Route:
    """`{name}` in the path stands for one part of it, `{name:int}` for a number."""
    pattern = re.sub(r"\{(\w+):int\}", r"(?P<\1>[0-9]{1,15})", path)
    pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", pattern)
    return Route(method, re.compile(pattern), handler)


class Front:
    """Knows where a request belongs."""

    def __init__(self, exchanges: Mapping[str, Exchange], routes: Iterable[Route], *, local: bool = True) -> None:
        """`local`: it listens on this machine alone, and answers to its names only."""
        self._local = local
        self._exchanges = dict(exchanges)
        self._routes = tuple(routes)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if self._local and not is_local(request.headers.get("Host")):
            return web.Response(status=421, text=f"{REFUSAL}\n")
        path = request.path
        exchange = self._exchanges.get(path[1 : path.find("/", 1)])
        if exchange is not None:
            return await exchange(request)
        return await self._routed(request, path)

    async def _routed(self, request: web.BaseRequest, path: str) -> web.StreamResponse:
        allowed = []
        for candidate in self._routes:
            found = candidate.path.fullmatch(path)
            if found is not None and candidate.method == request.method:
                return await candidate.handler(request, found.groupdict())
            if found is not None:
                allowed.append(candidate.method)
        if allowed:
            raise web.HTTPMethodNotAllowed(request.method, allowed)
        raise web.HTTPNotFound


def server(front: Front, loop: AbstractEventLoop) -> web.Server:
    """A server whose handlers end with the connection that they answer, and that takes large requests."""
    return web.Server(front.handle, request_factory=partial(_request, loop), handler_cancellation=True, access_log=None)


def _request(
    loop: AbstractEventLoop,
    message: RawRequestMessage,
    payload: StreamReader,
    protocol: RequestHandler,
    writer: AbstractStreamWriter,
    task: Task[None],
) -> web.BaseRequest:
    return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=MAX_REQUEST_BYTES)
