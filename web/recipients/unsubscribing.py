"""`/u/{token}`: where the link in a mail leads. A page for people, and one click for mail programs (RFC 8058).

Looking changes nothing: mail scanners open every link. A POST acts at once, without a redirect, whoever sends it; the
link itself is what allows it.
"""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Annotated, Final
from urllib.parse import parse_qs

from fastapi import APIRouter, Path
from jinja2 import Environment, PackageLoader
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from hermod.contracts.errors import NotFound
from hermod.contracts.notifications.content import Channel
from hermod.ports.notifications.unsubscribing import Subscription
from starter.notifications.suppressions import is_unsubscribed, opened, resubscribe, unsubscribe
from web.bodies import read_body
from web.context import core_of

MAX_FORM_BYTES: Final = 16 * 1024

router: Final = APIRouter(prefix="/u", include_in_schema=False)
Token = Annotated[str, Path()]

_PAGE: Final = Environment(loader=PackageLoader("web", "recipients"), autoescape=True).get_template("unsubscribe.html")
_STYLE: Final = re.search(r"<style>(.*?)</style>", _PAGE.render(about=None, title=""), re.DOTALL)
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256((_STYLE[1] if _STYLE else "").encode()).digest()).decode()
_HEADERS: Final = {
    "cache-control": "no-store",
    "content-security-policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; frame-ancestors 'none'; "
        "base-uri 'none'"
    ),
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-robots-tag": "noindex",
}
_TITLES: Final = {
    "subscribed": "Unsubscribe?",
    "unsubscribed": "You are unsubscribed",
    "resubscribed": "You are subscribed again",
}
_KINDS: Final = {
    Channel.EMAIL: "emails",
    Channel.SMS: "text messages",
    Channel.WHATSAPP: "WhatsApp messages",
    Channel.PUSH: "notifications",
}


@router.get("/{token}")
async def show(token: Token, request: Request) -> Response:
    """How the subscription stands, with a button to change it."""
    try:
        about = opened(core_of(request), token)
    except NotFound:
        return _lost()
    unsubscribed = await is_unsubscribed(core_of(request), about)
    return await _page(request, about, "unsubscribed" if unsubscribed else "subscribed")


@router.post("/{token}")
async def act(token: Token, request: Request) -> Response:
    """Unsubscribe, whatever the body says, unless it is our own page's form for the opposite."""
    core = core_of(request)
    try:
        about = opened(core, token)
    except NotFound:
        return _lost()
    form = _form(request, await read_body(request, MAX_FORM_BYTES))
    if form.get("action") == ["resubscribe"]:
        await resubscribe(core, about)
        return await _page(request, about, "resubscribed")
    await unsubscribe(core, about)
    if form.get("action") == ["unsubscribe"]:
        return await _page(request, about, "unsubscribed")
    return PlainTextResponse("unsubscribed\n", headers=_HEADERS)


def _form(request: Request, body: bytes) -> dict[str, list[str]]:
    """The fields of a form like our page's. One click may come as multipart: it says one thing, and is not read."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        return {}
    try:
        return parse_qs(body.decode("ascii"), max_num_fields=20)
    except ValueError:
        return {}


async def _page(request: Request, about: Subscription, state: str) -> Response:
    sender = (await core_of(request).storage.tenants.get(about.tenant)).name
    words = {
        "title": _TITLES[state],
        "about": about,
        "state": state,
        "sender": sender,
        "kind": f"{about.category.value} {_KINDS[about.channel]}",
        "address": _shortened(about),
    }
    return Response(_PAGE.render(words), headers=_HEADERS, media_type="text/html")


def _lost() -> Response:
    page = _PAGE.render(title="This link does not work", about=None)
    return Response(page, 404, headers=_HEADERS, media_type="text/html")


def _shortened(about: Subscription) -> str:
    """Enough of the address for its owner to know it, and too little for somebody to whom the mail was forwarded."""
    if about.channel is Channel.EMAIL:
        name, _, domain = about.address.rpartition("@")
        return f"{name[:1]}…@{domain}"
    return f"…{about.address[-4:]}"
