"""`/api/admin/tenants`: what administrators do with tenants."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Path
from starlette.responses import Response

from hermod.contracts.errors import NotFound
from web.authentication import Admin
from web.reference import answers

TenantId = Annotated[str, Path(description="Its id.", alias="id", json_schema_extra={"maxLength": 64})]

router: Final = APIRouter(prefix="/api/admin/tenants", tags=["administration"])


@router.delete(
    "/{id}",
    summary="Delete a tenant",
    status_code=204,
    responses={204: {"description": "It is gone; its records go within the hour."}, **answers({}, 401, 404, 409, 503)},
)
async def delete_tenant(tenant: TenantId, admin: Admin) -> Response:
    """Refused (409) while it has provider accounts, API keys that work, webhook endpoints, forms, an account at Stripe,
    or open messages, deliveries or submissions; `detail` counts them. All else that it has goes with it, but for the
    audit; its id is free again when that is done.
    """
    if len(tenant) > 64 or not (tenant.isascii() and tenant.isprintable()):
        raise NotFound("there is no such tenant")
    core = admin.hermod.core
    await core.storage.tenants.delete(tenant, actor=admin.subject, now=core.clock.now())
    return Response(status_code=204)
