"""`/ingress/receipts`: where providers report what became of messages. Their signatures stand for an API key.

Everything that is wrong with who calls is the same 401: a wrong signature, no such tenant, no such account, an account
of another provider, a provider that reports nothing. Whoever guesses addresses learns nothing from the answers.
"""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Path
from starlette.requests import Request
from starlette.responses import Response

from hermod.contracts.ids import TENANT_PATTERN
from hermod.ports.notifications.receipts import Callback
from starter.notifications.receipts import receive, reporter
from web.bodies import MIB, unverified_body
from web.context import context_of, core_of
from web.reference import answers

MAX_REPORT_BYTES: Final = MIB
KEPT_OF_STRANGERS: Final = 8 * 1024
"""Bytes of a call that are looked at where there is no such account: for a provider's test call."""

router: Final = APIRouter(prefix="/ingress/receipts", tags=["providers"])
Provider = Annotated[
    str, Path(description="As the account names it.", json_schema_extra={"pattern": r"^[a-z][a-z0-9_]{0,39}$"})
]
Tenant = Annotated[str, Path(description="Whose account it is.", json_schema_extra={"pattern": TENANT_PATTERN})]
Account = Annotated[
    str,
    Path(description="The name of the provider account.", json_schema_extra={"pattern": r"^[a-z0-9][a-z0-9_-]{0,62}$"}),
]

_ANSWERS: Final = {
    200: {"description": "Kept, or known already. Some providers are answered in their own form."},
    **answers({}, 400, 401, 413, 503),
}


@router.post("/{provider}/{tenant}/{account}", summary="A provider reports", responses=_ANSWERS)
async def take_report(provider: Provider, tenant: Tenant, account: Account, request: Request) -> Response:
    """Give this address to the provider: as webhook, event URL or status callback. Its signature is checked.

    The answer comes when the events are durable; until then the provider repeats the call. Repeats change nothing.
    """
    return await _take(provider, tenant, account, request)


@router.get("/{provider}/{tenant}/{account}", summary="A provider checks its webhook", responses=_ANSWERS)
async def answer_handshake(provider: Provider, tenant: Tenant, account: Account, request: Request) -> Response:
    """Some providers ask by GET whether the address is theirs, and some report by GET."""
    return await _take(provider, tenant, account, request)


async def _take(provider: str, tenant: str, account: str, request: Request) -> Response:
    core = core_of(request)
    found = await reporter(core, provider, tenant, account)
    async with unverified_body(
        request, MAX_REPORT_BYTES, keep=MAX_REPORT_BYTES if found else KEPT_OF_STRANGERS
    ) as body:
        call = as_called(request, body, core.settings.public_url)
        answered = await receive(core, provider, tenant, found, call)
    context_of(request).tenant = tenant
    return Response(answered.body, answered.status, media_type=answered.content_type)


def as_called(request: Request, body: bytes, public_url: str | None) -> Callback:
    """The call as its provider made it."""
    return Callback(method=request.method, url=_url(request, public_url), headers=_headers(request), body=body)


def _url(request: Request, public_url: str | None) -> str:
    """What the provider called, and perhaps signed: behind a proxy we only know it from HERMOD_PUBLIC_URL."""
    base = public_url or f"{request.url.scheme}://{request.headers.get('host', '')}"
    path: bytes = request.scope.get("raw_path") or request.scope["path"].encode()
    query: bytes = request.scope["query_string"]
    return base + path.decode("latin-1") + (f"?{query.decode('latin-1')}" if query else "")


def _headers(request: Request) -> dict[str, str]:
    joined: dict[str, str] = {}
    for name, value in request.headers.items():
        joined[name] = f"{joined[name]}, {value}" if name in joined else value
    return joined
