"""As much of ClickHouse's HTTP interface as its clients use: statements, inserts with a body, settings in the URL,
parameters, errors with their codes, `/ping`. One user signs in, `hermod`, with the password of the one who started it:
by HTTP's own Basic, by ClickHouse's headers, or by the URL. Only `/ping` answers everybody.

Not there, and refused where it would matter: sessions (each request stands for itself), ClickHouse's own compression of
bodies (`compress`, `decompress`; HTTP's is), external tables.
"""

from __future__ import annotations

import asyncio
import hmac
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final
from uuid import uuid4

from aiohttp import BasicAuth, web
from aiohttp.typedefs import Handler
from pydantic import ValidationError

from devstack.clickhouse.access import USER
from devstack.clickhouse.engine import Engine, EngineError, Statement
from devstack.clickhouse.faults import NOT_RUN, Fault, FaultName, Faults
from devstack.servers.local_http import REFUSAL, is_local

_MAX_BODY: Final = 256 * 1024 * 1024
_AT_ONCE: Final = 8
_TRANSPORT: Final = frozenset(
    {
        "buffer_size", "client_protocol_version", "database", "enable_http_compression", "password", "query",
        "http_headers_progress_interval_ms", "query_id", "quota_key", "role", "send_progress_in_http_headers",
        "session_check", "session_id", "session_timeout", "user", "wait_end_of_query",
    }
)  # fmt: skip
"""Parameters of the URL that are for the HTTP interface itself; all others are settings."""
_NOT_IMPLEMENTED: Final = 48
_AUTHENTICATION_FAILED: Final = 516
_STATUS: Final = {
    **dict.fromkeys((6, 25, 26, 27, 33, 36, 38, 41, 53, 62, 69, 70, 72, 117, 321, 349, 427, 469), 400),
    **dict.fromkeys((192, 193, 194, 497, _AUTHENTICATION_FAILED), 403),
    **dict.fromkeys((16, 46, 47, 50, 56, 60, 73, 81, 115), 404),
    159: 408,
    _NOT_IMPLEMENTED: 501,
    439: 503,
}
"""HTTP statuses of ClickHouse's codes; 500 for all others."""
_GIVES_ROWS: Final = re.compile(rb"\s*(?:\(|select|with|show|desc|describe|exists|explain|check)\b", re.IGNORECASE)
_FORMAT: Final = re.compile(rb"\bformat\s+(\w+)\s*;?\s*$", re.IGNORECASE)


class Front:
    """The HTTP interface of one engine."""

    def __init__(self, engine: Engine, password: str) -> None:
        self._engine = engine
        self._password = password
        self._faults = Faults()
        self._threads = ThreadPoolExecutor(_AT_ONCE, "statement")

    def application(self) -> web.Application:
        application = web.Application(client_max_size=_MAX_BODY, middlewares=[self._guarded])
        application.add_routes(
            [
                web.get("/ping", _pong),
                web.get("/", self._statement),
                web.post("/", self._statement),
                web.post("/_faults", self._add_fault),
                web.delete("/_faults", self._clear_faults),
            ]
        )
        return application

    @web.middleware
    async def _guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Nothing for pages of other names, and no more than `/ping` for who does not sign in."""
        if not is_local(request.headers.get("Host")):
            return web.Response(status=421, text=f"{REFUSAL}\n")
        if request.path == "/ping" or self._signs_in(request):
            return await handler(request)
        text = f"{USER}: Authentication failed: the password is in dev.json, in clickhouse_url. (AUTHENTICATION_FAILED)"
        return self._refused(EngineError(_AUTHENTICATION_FAILED, text), str(uuid4()))

    def _signs_in(self, request: web.Request) -> bool:
        headers, query = request.headers, request.query
        user, password = headers.get("X-ClickHouse-User"), headers.get("X-ClickHouse-Key", "")
        if "Authorization" in headers:
            try:
                given = BasicAuth.decode(headers["Authorization"], encoding="utf-8")
            except ValueError:
                return False
            user, password = given.login, given.password
        elif user is None:
            user, password = query.get("user"), query.get("password", "")
        return user == USER and hmac.compare_digest(password.encode(), self._password.encode())

    async def _statement(self, request: web.Request) -> web.StreamResponse:
        query_id = request.query.get("query_id") or str(uuid4())
        try:
            statement = await _read(request)
            if not statement.text.strip():
                return await _pong(request)
            fault = self._faults.meet(statement)
            if fault is not None and fault.name in NOT_RUN:
                return _failing(request, fault, query_id)
            rows = await asyncio.get_running_loop().run_in_executor(self._threads, self._engine.run, statement)
        except EngineError as error:
            return self._refused(error, query_id)
        if fault is not None:
            await asyncio.sleep(fault.delay)
            if fault.name is FaultName.RUN_THEN_RESET:
                return _reset(request)
        answer = _answered(statement, rows, query_id)
        return await _half(request, answer) if fault and fault.name is FaultName.TRUNCATED else answer

    def _refused(self, error: EngineError, query_id: str) -> web.Response:
        return web.Response(
            status=_STATUS.get(error.code, 500),
            text=f"Code: {error.code}. DB::Exception: {error} (version {self._engine.version})\n",
            headers={"X-ClickHouse-Exception-Code": str(error.code), "X-ClickHouse-Query-Id": query_id},
        )

    async def _add_fault(self, request: web.Request) -> web.Response:
        try:
            self._faults.add(Fault.model_validate_json(await request.read()))
        except ValidationError as error:
            return web.Response(status=422, text=error.json())
        return web.Response(status=204)

    async def _clear_faults(self, _request: web.Request) -> web.Response:
        self._faults.clear()
        return web.Response(status=204)


async def _pong(_request: web.Request) -> web.Response:
    return web.Response(text="Ok.\n")


async def _read(request: web.Request) -> Statement:
    """The statement is `query` of the URL, a line break, and the body; a form has its own `query` and parameters."""
    asked: Mapping[str, str] = request.query
    if {"compress", "decompress"} & asked.keys():
        raise EngineError(_NOT_IMPLEMENTED, "only HTTP's own compression is there. (NOT_IMPLEMENTED)")
    if request.content_type == "multipart/form-data":
        fields = await request.post()
        if not all(isinstance(value, str) for value in fields.values()):
            raise EngineError(_NOT_IMPLEMENTED, "there are no external tables. (NOT_IMPLEMENTED)")
        asked, body = {**asked, **{name: str(value) for name, value in fields.items()}}, b""
    else:
        body = _unpacked(await request.read(), request.headers.get("Content-Encoding", ""))
    query = asked.get("query", "").encode()
    settings = {
        name: value for name, value in asked.items() if name not in _TRANSPORT and not name.startswith("param_")
    }
    return Statement(
        text=query + b"\n" + body if query and body else query or body,
        database=asked.get("database"),
        settings=settings | ({"readonly": "2"} if request.method == "GET" else {}),
        parameters={name[6:]: value for name, value in asked.items() if name.startswith("param_")},
    )


def _unpacked(body: bytes, encoding: str) -> bytes:
    """aiohttp has undone the others."""
    if encoding != "lz4":
        return body
    import lz4.frame

    return bytes(lz4.frame.decompress(body))


def _answered(statement: Statement, rows: bytes, query_id: str) -> web.Response:
    """Whoever asks for rows learns their format, even where there are none."""
    headers = {"X-ClickHouse-Query-Id": query_id, "X-ClickHouse-Timezone": "UTC"}
    if _GIVES_ROWS.match(statement.text):
        named = _FORMAT.search(statement.text[-100:])
        headers["X-ClickHouse-Format"] = named[1].decode() if named else "TabSeparated"
    return web.Response(body=rows, headers=headers, content_type="application/octet-stream")


def _failing(request: web.Request, fault: Fault, query_id: str) -> web.Response:
    if fault.name is FaultName.RESET:
        return _reset(request)
    if fault.name is FaultName.CODE:
        return web.Response(
            status=_STATUS.get(fault.code, 500),
            text=f"Code: {fault.code}. DB::Exception: as the test asked. (AS_ASKED)\n",
            headers={"X-ClickHouse-Exception-Code": str(fault.code), "X-ClickHouse-Query-Id": query_id},
        )
    status = 503 if fault.name is FaultName.BUSY else 502
    return web.Response(status=status, text="<html><h1>Try again later</h1></html>", content_type="text/html")


def _reset(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


async def _half(request: web.Request, whole: web.Response) -> web.StreamResponse:
    """The answer says how long its body is, and ends before."""
    body = whole.body if isinstance(whole.body, bytes) and whole.body else b"\x00" * 16
    answer = web.StreamResponse(headers=whole.headers)
    answer.content_length = len(body)
    await answer.prepare(request)
    await answer.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.close()
    return answer
