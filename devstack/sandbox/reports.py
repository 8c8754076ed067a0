"""Lets a provider of the sandbox report about a message in the inbox, by the call that the vendor itself would make.

    POST /_sandbox/inbox/{number}/report
    {"happening": "delivered", "url": "http://127.0.0.1:8080/ingress/…", "credentials": {"webhook_secret": "…"}}
    200 {"status": 200, "body": "…"}        what the call was answered

`happening` is one of Hermod's words, `credentials` are those of the account, which sign the call. `words` is what an
inbound message says.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Final

import httpx
import orjson
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from devstack.sandbox.control import Path, problem
from devstack.sandbox.entry import Entry
from devstack.sandbox.front import Route, route
from devstack.sandbox.inbox import Inbox
from devstack.sandbox.providers.contract import Call, Target
from devstack.sandbox.providers.registry import HTTP_PROVIDERS

SECONDS: Final = 15.0
_PROVIDERS: Final = {provider.name: provider for provider in HTTP_PROVIDERS}


class ReportOrder(BaseModel):
    """What is to be reported, and where to."""

    model_config = ConfigDict(extra="forbid")

    happening: str
    url: Annotated[str, Field(pattern=r"^https?://[^\s]+$")]
    credentials: dict[str, str] = Field(default_factory=dict)
    words: str = "STOP"


class Reports:
    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox

    def routes(self) -> list[Route]:
        return [route("POST", "/_sandbox/inbox/{number:int}/report", self._report)]

    async def _report(self, request: web.BaseRequest, path: Path) -> web.Response:
        entry = self._inbox.get(int(path["number"]))
        if entry is None:
            raise problem(web.HTTPNotFound, "not_found", "There is no such message in the inbox.")
        try:
            order = ReportOrder.model_validate_json(await request.read())
        except ValidationError as reason:
            first = reason.errors()[0]
            field = ".".join(str(part) for part in first["loc"]) or "body"
            raise problem(web.HTTPUnprocessableEntity, "invalid_report", f"{field}: {first['msg']}") from None
        call = _call(entry, order, f"http://{request.host}")
        if call is None:
            text = f"{entry.provider} reports nothing like {order.happening!r}."
            raise problem(web.HTTPUnprocessableEntity, "no_such_report", text)
        try:
            answered = await _make(call)
        except httpx.HTTPError as reason:
            text = f"The address does not answer: {type(reason).__name__}."
            raise problem(web.HTTPUnprocessableEntity, "no_answer", text) from None
        body = orjson.dumps({"status": answered.status_code, "body": answered.text})
        return web.Response(body=body, content_type="application/json")


def _call(entry: Entry, order: ReportOrder, sandbox: str) -> Call | None:
    provider = _PROVIDERS.get(entry.provider)
    if provider is None:
        return None
    target = Target(order.url, order.credentials, datetime.now(UTC), sandbox, order.words)
    return provider.report(entry, order.happening, target)


async def _make(call: Call) -> httpx.Response:
    """httpx leaves an address as it is written, escapes and all; vendors sign it."""
    async with httpx.AsyncClient(timeout=SECONDS, trust_env=False) as client:
        return await client.request(call.method, call.path, headers=dict(call.headers), content=call.body)
