"""Around every request: its id, its line in the log, its time in the metrics, and an answer to what nobody expected.

A line names the route, never the path or the query, and neither bodies nor addresses.
"""

from __future__ import annotations

from time import perf_counter
from typing import Final

from prometheus_client import Histogram
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bind_contextvars, unbind_contextvars

from hermod.telemetry import fault, get_logger
from web.context import RequestContext, open_context
from web.problems import UNEXPECTED

CLIENT_GONE: Final = 499
"""What the log says where the caller hung up before its answer; no such status is ever sent."""
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_QUIET: Final = frozenset({"/health", "/metrics", "/queue/metrics", "/queue/health", "/api/v1/workers/health"})
"""Routes that machines ask every few seconds: their successes are counted, not logged."""

SECONDS: Final = Histogram(
    "hermod_http_request_seconds",
    "Requests to the API, by route and class of status",
    ["method", "route", "status"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
_log = get_logger(__name__)


class RequestLogMiddleware:
    """ASGI middleware; only `Arrival` is outside of it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        context = open_context(scope)
        header = (b"x-request-id", context.request_id.encode())
        begun, status = perf_counter(), 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], header]
            await send(message)

        bind_contextvars(request_id=context.request_id)
        try:
            await self._app(scope, receive, answer)
        except ClientDisconnect:
            status = CLIENT_GONE
        except Exception as error:
            _log.error("request_failed", **fault(error))
            if status:
                raise  # half an answer is out; the server can only hang up
            await UNEXPECTED.response(context.request_id)(scope, receive, answer)
        finally:
            _tell(scope, context, status or CLIENT_GONE, perf_counter() - begun)
            unbind_contextvars("request_id", "tenant")


def _tell(scope: Scope, context: RequestContext, status: int, seconds: float) -> None:
    route = getattr(scope.get("route"), "path", "unmatched" if status == 404 else "other")
    method = scope["method"] if scope["method"] in _METHODS else "other"
    SECONDS.labels(method, route, f"{status // 100}xx").observe(seconds)
    if status >= 400 or route not in _QUIET:
        whose = {} if context.tenant is None else {"tenant": context.tenant}
        _log.info("request", method=method, route=route, status=status, ms=round(seconds * 1000, 1), **whose)
