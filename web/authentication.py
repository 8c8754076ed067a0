"""Who is calling: an API key becomes a client that acts for the key's tenant, before anything of the body is read."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import Security
from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase
from starlette.requests import Request
from structlog.contextvars import bind_contextvars

from hermod.contracts.errors import Unauthorized
from starter.client import Hermod
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


Caller = Annotated[Hermod, Security(ApiKey())]
