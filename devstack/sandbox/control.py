"""The sandbox's own API under `/_sandbox`: what arrived, what is to go wrong, how it fares."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final
from urllib.parse import quote

import orjson
from aiohttp import web
from pydantic import ValidationError

from devstack.sandbox.entry import Attachment, Entry
from devstack.sandbox.faults import FaultBoard, FaultOrder
from devstack.sandbox.front import Route, route
from devstack.sandbox.inbox import Counts, Filter, Inbox
from devstack.sandbox.providers.registry import PROVIDER_NAMES

DEFAULT_LIMIT: Final = 50
MAX_LIMIT: Final = 10_000
_SHOWN_INLINE: Final = frozenset(("image/png", "image/jpeg", "image/gif", "image/webp", "image/svg+xml"))
_HEAD: Final = re.compile(r"<head\b[^>]*>", re.IGNORECASE)
_HTML_POLICY: Final = (
    "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; "
    "img-src http: https: data:; style-src 'unsafe-inline' http: https:; font-src http: https: data:"
)
"""A received mail may look as it likes; it runs nothing and posts nothing."""


Path = Mapping[str, str]
"""The named parts of a request's path."""


class Control:
    def __init__(self, inbox: Inbox, faults: FaultBoard) -> None:
        self._inbox = inbox
        self._faults = faults

    def routes(self) -> list[Route]:
        return [
            route("GET", "/_sandbox/health", self._health),
            route("GET", "/_sandbox/stats", self._stats),
            route("GET", "/_sandbox/overview", self._overview),
            route("GET", "/_sandbox/inbox", self._list),
            route("DELETE", "/_sandbox/inbox", self._clear),
            route("GET", "/_sandbox/inbox/ids", self._ids),
            route("GET", "/_sandbox/inbox/requests", self._requests),
            route("GET", "/_sandbox/inbox/{number:int}", self._one),
            route("GET", "/_sandbox/inbox/{number:int}/html", self._html),
            route("GET", "/_sandbox/inbox/{number:int}/raw", self._raw),
            route("GET", "/_sandbox/inbox/{number:int}/attachments/{position:int}", self._attachment),
            route("GET", "/_sandbox/faults", self._faults_list),
            route("DELETE", "/_sandbox/faults", self._faults_clear),
            route("PUT", "/_sandbox/faults/{provider}", self._fault_set),
            route("DELETE", "/_sandbox/faults/{provider}", self._faults_clear),
        ]

    async def _health(self, request: web.BaseRequest, path: Path) -> web.Response:
        return _json({"status": "ok", "messages": len(self._inbox)})

    async def _stats(self, request: web.BaseRequest, path: Path) -> web.Response:
        """`{provider: {accepted, repeated, refused, faults}}`, every provider named."""
        return _json(self._counts())

    async def _overview(self, request: web.BaseRequest, path: Path) -> web.Response:
        """Everything the page shows beside the list, in one answer."""
        return _json({"stats": self._counts(), "channels": self._inbox.channels(), "faults": self._faults.list()})

    def _counts(self) -> dict[str, dict[str, int]]:
        return {name: asdict(Counts()) for name in sorted(PROVIDER_NAMES)} | self._inbox.stats()

    async def _list(self, request: web.BaseRequest, path: Path) -> web.Response:
        query = request.query
        wanted = Filter(
            provider=query.get("provider") or None,
            channel=query.get("channel") or None,
            to=query.get("to") or None,
            message_id=query.get("message_id") or None,
            after=_number(query.get("after"), "after"),
            before=_number(query.get("before"), "before"),
        )
        limit = _number(query.get("limit"), "limit")
        page, total = self._inbox.find(wanted, min(DEFAULT_LIMIT if limit is None else limit, MAX_LIMIT))
        brief = query.get("brief") == "1"
        return _json({"items": [entry.brief() if brief else entry.as_dict() for entry in page], "total": total})

    async def _clear(self, request: web.BaseRequest, path: Path) -> web.Response:
        self._inbox.clear()
        return web.Response(status=204)

    async def _ids(self, request: web.BaseRequest, path: Path) -> web.Response:
        return _json({"ids": self._inbox.ids(request.query.get("provider") or None)})

    async def _requests(self, request: web.BaseRequest, path: Path) -> web.Response:
        return _json({"ids": self._inbox.requests(request.query.get("provider") or None)})

    async def _one(self, request: web.BaseRequest, path: Path) -> web.Response:
        return _json(self._entry(path).as_dict())

    async def _html(self, request: web.BaseRequest, path: Path) -> web.Response:
        """The HTML of a mail with its inline images, safe to show in a frame or a tab of its own."""
        entry = self._entry(path)
        if entry.html is None:
            raise problem(web.HTTPNotFound, "not_found", "This message has no HTML.")
        response = web.Response(text=_with_images(entry), content_type="text/html")
        response.headers["Content-Security-Policy"] = _HTML_POLICY
        response.headers["Referrer-Policy"] = "no-referrer"
        return response

    async def _raw(self, request: web.BaseRequest, path: Path) -> web.Response:
        """The request body or mail as it came over the wire."""
        content = self._entry(path).raw
        if content is None:
            raise problem(web.HTTPNotFound, "not_found", "The raw request is only kept while the sandbox runs.")
        response = web.Response(body=content, content_type="text/plain", charset="utf-8")
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    async def _attachment(self, request: web.BaseRequest, path: Path) -> web.Response:
        entry, position = self._entry(path), int(path["position"])
        attachment = entry.attachments[position] if position < len(entry.attachments) else None
        if attachment is None or attachment.content is None:
            raise problem(web.HTTPNotFound, "not_found", "There is no such file, or its bytes are no longer kept.")
        return web.Response(body=attachment.content, headers=_file_headers(attachment))

    async def _faults_list(self, request: web.BaseRequest, path: Path) -> web.Response:
        return _json({"items": self._faults.list()})

    async def _fault_set(self, request: web.BaseRequest, path: Path) -> web.Response:
        provider = _provider(path)
        try:
            order = FaultOrder.model_validate_json(await request.read())
        except ValidationError as reason:
            first = reason.errors()[0]
            field = ".".join(str(part) for part in first["loc"]) or "body"
            raise problem(web.HTTPUnprocessableEntity, "invalid_fault", f"{field}: {first['msg']}") from None
        return _json(self._faults.set(provider, order))

    async def _faults_clear(self, request: web.BaseRequest, path: Path) -> web.Response:
        self._faults.clear(_provider(path) if "provider" in path else None, request.query.get("to"))
        return web.Response(status=204)

    def _entry(self, path: Path) -> Entry:
        entry = self._inbox.get(int(path["number"]))
        if entry is None:
            raise problem(web.HTTPNotFound, "not_found", "There is no such message in the inbox.")
        return entry


def _json(value: Any) -> web.Response:
    return web.Response(body=orjson.dumps(value), content_type="application/json")


def problem(kind: type[web.HTTPClientError], code: str, message: str) -> web.HTTPClientError:
    body = orjson.dumps({"error": {"code": code, "message": message}})
    return kind(text=body.decode(), content_type="application/json")


def _provider(path: Path) -> str:
    name = path["provider"]
    if name not in PROVIDER_NAMES:
        known = ", ".join(sorted(PROVIDER_NAMES))
        raise problem(web.HTTPNotFound, "unknown_provider", f"There is no provider {name!r}; there are {known}.")
    return name


def _number(value: str | None, name: str) -> int | None:
    if not value:
        return None
    if not value.isdecimal():
        raise problem(web.HTTPBadRequest, "invalid_query", f"{name} must be a whole number from 0 up.")
    return int(value)


def _with_images(entry: Entry) -> str:
    """The HTML with `cid:` addresses replaced by those of the attachments; its links open in a tab of their own."""
    html = _HEAD.sub(r'\g<0><base target="_blank">', entry.html or "", count=1)
    longest_first = sorted(enumerate(entry.attachments), key=lambda item: -len(item[1].content_id or ""))
    for position, attachment in longest_first:
        if attachment.content_id:
            address = f"/_sandbox/inbox/{entry.number}/attachments/{position}"
            html = html.replace(f"cid:{attachment.content_id}", address)
    return html


def _file_headers(attachment: Attachment) -> dict[str, str]:
    """Images are shown, everything else is handed over as a download that no browser will run."""
    image = attachment.content_type in _SHOWN_INLINE
    disposition = "inline" if image else "attachment"
    return {
        "Content-Type": attachment.content_type if image else "application/octet-stream",
        "Content-Disposition": f"{disposition}; filename*=UTF-8''{quote(attachment.filename or 'file')}",
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "X-Content-Type-Options": "nosniff",
    }
