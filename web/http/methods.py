"""What HTTP asks of every path: HEAD like GET without its body, OPTIONS, and a slash that is escaped is no slash."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Mount
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from web.problems import http_problem

_METHODS: Final = ("DELETE", "GET", "PATCH", "POST", "PUT")


class Methods:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif b"%2f" in scope.get("raw_path", b"").lower():
            # The router goes by the path with its escapes undone, where /v1%2fmessages is another name of /v1/messages.
            await http_problem(Request(scope), HTTPException(404), {})(scope, receive, send)
        elif scope["method"] == "HEAD":
            await self._head(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _head(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = {**scope, "method": "GET"}

        async def without_body(message: Message) -> None:
            await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

        try:
            await self._app(asked, receive, without_body)
        finally:
            scope["route"] = asked.get("route")


async def answer_http_error(request: Request, error: Exception) -> Response:
    """What the framework refuses, but for OPTIONS: it knows of no such method."""
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for these only
    if error.status_code != HTTPStatus.METHOD_NOT_ALLOWED:
        return http_problem(request, error, error.headers or {})
    allow = {"allow": _allowed(request)}
    return (
        Response(status_code=204, headers=allow) if request.method == "OPTIONS" else http_problem(request, error, allow)
    )


def _allowed(request: Request) -> str:
    """The methods of the request's path, as `Allow` names them."""
    routes = request.app.routes
    of_files = any(isinstance(one, Mount) and one.matches(request.scope)[0] is Match.FULL for one in routes)
    found = {
        method
        for method in (("GET",) if of_files else _METHODS)
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in routes)
    }
    return ", ".join(sorted(found | {"OPTIONS"} | ({"HEAD"} if "GET" in found else set())))
