"""`hermod keys`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Final

import typer

from starter.cli.output import Json, hint, print_facts, print_json, print_list, print_table, say
from starter.cli.session import TenantName, command, settings, storage, tenant_of

app: Final = typer.Typer(help="API keys: what a tenant's programs sign in with.", no_args_is_help=True)


@app.command("create")
@command
async def create_key(
    tenant: TenantName = None,
    name: Annotated[str, typer.Option(help="What it is for.")] = "default",
    as_json: Json = False,
) -> None:
    """Create an API key. It is shown this once.

    \b
    Example:
      hermod keys create --tenant shop --name checkout
    """
    owner = tenant_of(tenant, settings())
    async with storage() as opened:
        created = await opened.tenants.create_key(owner, name, datetime.now(UTC))
    if as_json:
        print_json(created)
        return
    print_facts([("id", created.id), ("tenant", created.tenant), ("name", created.name), ("key", created.key)])
    hint("keep the key now: only its fingerprint is stored")


@app.command("list")
@command
async def list_keys(tenant: TenantName = None, as_json: Json = False) -> None:
    """List a tenant's keys, without their secrets."""
    owner = tenant_of(tenant, settings())
    async with storage() as opened:
        await opened.tenants.get(owner)
        found = await opened.tenants.keys(owner)
    if as_json:
        print_list(found)
        return
    rows = [(one.id, one.name, one.created_at, one.revoked_at) for one in found]
    print_table(("id", "name", "created", "revoked"), rows, empty="no keys yet; `hermod keys create`")


@app.command("revoke")
@command
async def revoke_key(
    key: Annotated[str, typer.Argument(help="Its id, `hk_` and twelve digits.")],
    tenant: TenantName = None,
    as_json: Json = False,
) -> None:
    """Revoke a key. It stops working everywhere within five seconds.

    \b
    Example:
      hermod keys revoke hk_0123456789ab --tenant shop
    """
    owner = tenant_of(tenant, settings())
    async with storage() as opened:
        await opened.tenants.revoke_key(owner, key, datetime.now(UTC))
    if as_json:
        print_json({"id": key, "revoked": True})
        return
    say(f"revoked {key}")
