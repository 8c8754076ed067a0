"""Who is calling: an API key becomes a client that acts for the key's tenant, before anything of the body is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import Security
from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase
from starlette.requests import Request
from structlog.contextvars import bind_contextvars

from hermod.contracts.errors import Unauthorized
from starter.client import Hermod
from starter.tenants.tokens import WeakSecret, verify
from web.context import context_of, hermod_of

_SCHEME: Final = "bearer "


class ApiKey(SecurityBase):
    """`Authorization: Bearer <api key>`, as a dependency of a route and as a scheme of the reference."""

    def __init__(self) -> None:
        self.model = HTTPBearer(description="A tenant's key, made with `hermod keys create`. It begins with `hk_`.")
        self.scheme_name = "API key"

    async def __call__(self, request: Request) -> Hermod:
        """The client for the key's tenant. Raises Unauthorized and Unavailable."""
        given = request.headers.get("authorization", "")
        if given[: len(_SCHEME)].lower() != _SCHEME:
            raise Unauthorized("give an API key: `Authorization: Bearer hk_…`")
        hermod = hermod_of(request)
        tenant, key = await hermod.core.storage.tenants.authenticate(given[len(_SCHEME) :].strip())
        context_of(request).tenant = tenant
        bind_contextvars(tenant=tenant)
        return hermod.as_tenant(tenant, key)


class AdminToken(SecurityBase):
    """`Authorization: Bearer <admin token>`, for calls that are about all tenants."""

    def __init__(self) -> None:
        self.model = HTTPBearer(description="An administrator's token, made with `hermod token`.")
        self.scheme_name = "Admin token"

    async def __call__(self, request: Request) -> Administrator:
        """Raises Unauthorized."""
        given = request.headers.get("authorization", "")
        if given[: len(_SCHEME)].lower() != _SCHEME:
            raise Unauthorized("give an admin token: `Authorization: Bearer …`, from `hermod token`")
        hermod = hermod_of(request)
        try:
            token = verify(hermod.core.settings.jwt_secret.get_secret_value(), given[len(_SCHEME) :].strip())
        except WeakSecret as weak:
            raise Unauthorized(f"no admin token is taken here: {weak}") from None
        return Administrator(hermod, token.subject)


@dataclass(frozen=True, slots=True)
class Administrator:
    """Who calls, for the audit, and the client of this process."""

    hermod: Hermod
    subject: str


Admin = Annotated[Administrator, Security(AdminToken())]
Caller = Annotated[Hermod, Security(ApiKey())]
