"""`hermod accounts`: a tenant's accounts at its providers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

import typer
from pydantic import TypeAdapter, ValidationError

from hermod.channels.registry import KITS
from hermod.contracts.errors import InvalidInput
from hermod.contracts.notifications.content import Channel
from hermod.contracts.notifications.messages import AccountName
from hermod.contracts.tenants.accounts import AccountInput
from starter.cli.json_files import read_object
from starter.cli.notifications.waits import Retry, retry_of, shown
from starter.cli.output import Json, print_json, print_list, print_table, say
from starter.cli.session import TenantName, client, command
from starter.cli.words import pair
from starter.tenants.accounts import save_account
from starter.validation_errors import field_errors

app: Final = typer.Typer(help="Provider accounts: what messages are sent with.", no_args_is_help=True)
_NAME: Final[TypeAdapter[str]] = TypeAdapter(AccountName)


@app.command("put")
@command
async def put_account(
    name: Annotated[str, typer.Argument(help="Lower-case letters, digits, - and _.")],
    channel: Annotated[Channel, typer.Option(help="What it sends.")],
    provider: Annotated[str, typer.Option(help=f"Whose account it is: {', '.join(sorted(KITS))}.")],
    credential: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE", help="One of them. Other users of this machine may see it in its list of processes."
        ),
    ] = None,
    credentials: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="All of them, as a JSON object; - for standard input.", allow_dash=True),
    ] = None,
    base_url: Annotated[str | None, typer.Option(help="Instead of the provider's own address.")] = None,
    sender: Annotated[str | None, typer.Option("--from", help="The sender where a message names none.")] = None,
    order: Annotated[int, typer.Option(min=0, max=1000, help="Lower numbers are tried first.")] = 10,
    rate: Annotated[
        float | None, typer.Option(help="Messages a second at most (default: as usual for its provider).")
    ] = None,
    retry: Retry = None,
    disabled: Annotated[bool, typer.Option("--disabled", help="Keep it, but do not use it.")] = False,
    tenant: TenantName = None,
    as_json: Json = False,
) -> None:
    """Create or replace an account. Without credentials, the stored ones stay, at the same address.

    \b
    Examples:
      hermod accounts put main --channel email --provider smtp \\
             --credentials smtp.json --from shop@example.com
      hermod accounts put backup --channel email --provider sendgrid \\
             --credential api_key=SG.x --order 20
    """
    given: dict[str, Any] = {
        "channel": channel,
        "provider": provider,
        "base_url": base_url,
        "from": sender,
        "order": order,
        "rate_per_second": rate,
        "retry": retry_of(retry) if retry is not None else None,
        "enabled": not disabled,
    }
    if credential or credentials:
        given["credentials"] = (read_object(credentials) if credentials else {}) | dict(
            pair("credential", one) for one in credential or []
        )
    account = _checked(name, given)
    async with client(tenant) as hermod:
        saved = await save_account(hermod, name, account)
    if as_json:
        print_json(saved.view)
    else:
        say(f"{'created' if saved.created else 'replaced'} {name}")


@app.command("delete")
@command
async def delete_account(
    name: Annotated[str, typer.Argument(help="Its name.")], tenant: TenantName = None, as_json: Json = False
) -> None:
    """Delete an account, with its credentials. Refused while messages need it.

    \b
    Example:
      hermod accounts delete backup
    """
    async with client(tenant) as hermod:
        core = hermod.core
        await core.storage.accounts.delete(hermod.tenant, name, actor=hermod.actor, now=core.clock.now())
    print_json({"name": name, "deleted": True}) if as_json else say(f"deleted {name}")


@app.command("list")
@command
async def list_accounts(tenant: TenantName = None, as_json: Json = False) -> None:
    """List the accounts in the order in which they are tried, and whether they can send now."""
    async with client(tenant) as hermod:
        found = await hermod.core.storage.accounts.all(hermod.tenant, hermod.core.clock.now())
    if as_json:
        print_list(found)
        return
    rows = [
        (
            *(one.channel, one.order, one.name, one.provider, one.from_, shown(one.retry)),
            *(one.enabled, one.available, one.blocked_reason),
        )
        for one in found
    ]
    columns = ("channel", "order", "name", "provider", "from", "retry", "enabled", "available", "blocked")
    print_table(columns, rows, empty="no accounts yet; `hermod accounts put --help` shows how to add one")


def _checked(name: str, given: dict[str, Any]) -> AccountInput:
    """Raises InvalidInput."""
    try:
        _NAME.validate_python(name)
    except ValidationError as error:
        raise InvalidInput(field_errors(error, name, whole="name")) from None
    try:
        return AccountInput.model_validate(given)
    except ValidationError as error:
        raise InvalidInput(field_errors(error, given)) from None
