"""The inbox as a page: one HTML document with its style and script inline, so that it needs nothing from elsewhere."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from importlib.resources import files
from typing import Any, Final

from aiohttp import web

from devstack.sandbox.fault import FaultName
from devstack.sandbox.magic import MAGIC
from devstack.sandbox.providers.registry import HTTP_PROVIDERS, SMTP

_PARTS: Final = {"{{style}}": "style.css", "{{script}}": "inbox.js"}
_FAULTS: Final = {
    FaultName.THROTTLE: "Throttled: 429, SMTP 421",
    FaultName.ERROR_500: "Internal error: 500, SMTP 451",
    FaultName.ERROR_503: "Unavailable: 503, SMTP 452",
    FaultName.HTML_ERROR: "Gateway's 502 page",
    FaultName.SLOW: "Slow, then answered",
    FaultName.ACCEPT_THEN_TIMEOUT: "Stored, answered too late",
    FaultName.RESET: "Reset, not stored",
    FaultName.ACCEPT_THEN_RESET: "Stored, then reset",
    FaultName.WRONG_CONTENT_TYPE: "Stored, answer is plain text",
    FaultName.TRUNCATED_JSON: "Stored, answer cut short",
    FaultName.BAD_CREDENTIALS: "Credentials refused",
    FaultName.REJECTED_RECIPIENT: "Recipient refused",
    FaultName.REJECTED_MESSAGE: "Message refused",
}


class Page:
    """Serves `GET /`. The documents are read once."""

    def __init__(self, host: str, smtp_port: int, apns_port: int) -> None:
        folder = files("devstack.sandbox") / "page"
        document = (folder / "index.html").read_text("utf-8")
        for mark, name in _PARTS.items():
            document = document.replace(mark, (folder / name).read_text("utf-8"))
        self._document = document.replace("{{about}}", _as_script(_about(host, smtp_port, apns_port)))

    async def handle(self, request: web.BaseRequest, path: Mapping[str, str]) -> web.Response:
        nonce = secrets.token_urlsafe(16)
        response = web.Response(text=self._document.replace("{{nonce}}", nonce), content_type="text/html")
        response.headers["Content-Security-Policy"] = (
            f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; "
            "img-src 'self' data:; frame-src 'self'; base-uri 'none'; form-action 'none'"
        )
        response.headers["Cache-Control"] = "no-store"
        return response


def _about(host: str, smtp_port: int, apns_port: int) -> dict[str, Any]:
    """What the page needs to know of the sandbox it belongs to."""
    providers = [
        {
            "name": provider.name,
            "title": provider.title,
            "mount": None if provider.http2 else f"/{provider.name}",
            "address": f"http://{host}:{apns_port}" if provider.http2 else None,
            "path": provider.endpoint,
        }
        for provider in HTTP_PROVIDERS
    ]
    return {
        "providers": [
            *providers,
            {"name": SMTP, "title": "SMTP", "mount": None, "address": f"{host}:{smtp_port}", "path": None},
        ],
        "faults": [{"name": name.value, "title": title} for name, title in _FAULTS.items()],
        "magic": [
            {"word": magic.word, "number": magic.number, "does": magic.does, "fault": magic.fault.name.value}
            for magic in MAGIC
        ],
    }


def _as_script(value: dict[str, Any]) -> str:
    """JSON that cannot end the script element it stands in."""
    return json.dumps(value).replace("<", "\\u003c")
