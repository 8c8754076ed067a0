"""`hermod suppressions`: addresses that get no more messages."""

from __future__ import annotations

from typing import Annotated, Final

import typer
from pydantic import ValidationError

from hermod.contracts.errors import InvalidInput
from hermod.contracts.notifications.content import Channel
from hermod.contracts.notifications.messages import Category
from hermod.contracts.notifications.suppressions import Reason, SuppressionInput
from starter.cli.moments import ahead
from starter.cli.output import Json, hint, print_json, print_list, print_table, say
from starter.cli.session import TenantName, client, command
from starter.notifications.suppressions import allow, suppress, suppressions
from starter.validation_errors import field_errors

PAGE: Final = 200

app: Final = typer.Typer(help="Addresses that get no more messages.", no_args_is_help=True)

OfChannel = Annotated[Channel | None, typer.Option("--channel", help="Only this channel; all of them without it.")]


@app.command("list")
@command
async def list_suppressions(
    address: Annotated[str | None, typer.Option(help="Only this address, number or token.")] = None,
    channel: OfChannel = None,
    reason: Annotated[Reason | None, typer.Option(help="Only this reason.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=PAGE)] = 50,
    cursor: Annotated[str | None, typer.Option(help="Go on where the last page ended.")] = None,
    tenant: TenantName = None,
    as_json: Json = False,
) -> None:
    """List those in force, newest first, and who said so."""
    async with client(tenant) as hermod:
        page = await suppressions(hermod, address=address, channel=channel, reason=reason, cursor=cursor, limit=limit)
    if as_json:
        print_list(page.items, page.next_cursor)
        return
    rows = [
        (one.id, one.address, one.channel or "all", one.category or "all", one.reason, one.source, one.expires_at)
        for one in page.items
    ]
    columns = ("id", "address", "channel", "category", "reason", "source", "expires")
    print_table(columns, rows, empty="no suppressions")
    if page.next_cursor is not None:
        hint(f"more: hermod suppressions list --cursor {page.next_cursor}")


@app.command("add")
@command
async def add_suppression(
    address: Annotated[str, typer.Argument(help="An email address, a number with + and country code, a push token.")],
    channel: OfChannel = None,
    category: Annotated[Category | None, typer.Option(help="Only this kind of message; both without it.")] = None,
    reason: Annotated[Reason, typer.Option(help="Why.")] = Reason.MANUAL,
    detail: Annotated[str | None, typer.Option(help="A note; no personal data, please.")] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Until then: a time, or +7d.")] = None,
    tenant: TenantName = None,
    as_json: Json = False,
) -> None:
    """Send nothing more to an address. Messages that wait are dropped when their time comes.

    \b
    Examples:
      hermod suppressions add ada@example.com --category marketing
      hermod suppressions add +14155550100 --channel sms --until +7d --detail "ticket 4711"
    """
    given = {
        "address": address,
        "channel": channel,
        "category": category,
        "reason": reason,
        "detail": detail,
        "expires_at": ahead(until),
    }
    try:
        asked = SuppressionInput.model_validate(given)
    except ValidationError as error:
        raise InvalidInput(field_errors(error, given)) from None
    async with client(tenant) as hermod:
        saved = await suppress(hermod, asked)
    if as_json:
        print_json(saved.view)
    else:
        say(f"{saved.view.id} suppressed ({saved.view.reason.value})")


@app.command("remove")
@command
async def remove_suppression(
    suppression: Annotated[str, typer.Argument(metavar="ID", help="sup_…, as the list shows it.")],
    tenant: TenantName = None,
    as_json: Json = False,
) -> None:
    """Let an address have messages again.

    \b
    Example:
      hermod suppressions remove sup_019aa1c2d3e40123456789abcdef
    """
    async with client(tenant) as hermod:
        await allow(hermod, suppression)
    if as_json:
        print_json({"id": suppression, "removed": True})
    else:
        say(f"{suppression} removed")
