"""`hermod payments`: a tenant's account at Stripe, and what Stripe has told."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

import typer

from hermod.contracts.forms.payments import StripeAccountView
from starter.cli.output import Json, hint, print_facts, print_json, print_list, print_table, say
from starter.cli.session import TenantName, client, command
from starter.forms.payments import delete_stripe_account, payment_events, put_stripe_account, stripe_account

PAGE: Final = 500

app: Final = typer.Typer(help="Payments for submissions of forms.", no_args_is_help=True)
stripe: Final = typer.Typer(help="The account at Stripe.", no_args_is_help=True)
app.add_typer(stripe, name="stripe")


@stripe.command("set")
@command
async def set_account(
    secret: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WHSEC", help="A signing secret. Other users of this machine may see it in its list of processes."
        ),
    ] = None,
    secrets: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="All of them, one a line; - for standard input.", allow_dash=True),
    ] = None,
    live: Annotated[bool, typer.Option("--live/--test", help="Which of Stripe's modes it is of.")] = True,
    connected: Annotated[
        list[str] | None,
        typer.Option(metavar="ACCT", help="A connected account (acct_…) whose payments count; may be repeated."),
    ] = None,
    tenant: TenantName = None,
    as_json: Json = False,
) -> None:
    """Create or replace the account. Without secrets or connected accounts, the stored ones stay.

    While a secret is rolled at Stripe, give the new one and the old one.

    \b
    Examples:
      hermod payments stripe set --secrets - --test < whsec.txt
      hermod payments stripe set --live
    """
    given: dict[str, Any] = {"livemode": live}
    if secret or secrets:
        given["secrets"] = [*(secret or []), *(_lines(secrets) if secrets else [])]
    if connected:
        given["connected_accounts"] = connected
    async with client(tenant) as hermod:
        saved = await put_stripe_account(hermod, given)
    _show(saved, as_json)


@stripe.command("show")
@command
async def show_account(tenant: TenantName = None, as_json: Json = False) -> None:
    """Show its mode, and what to set up at Stripe; never a secret."""
    async with client(tenant) as hermod:
        account = await stripe_account(hermod)
    _show(account, as_json)


@stripe.command("remove")
@command
async def remove_account(tenant: TenantName = None, as_json: Json = False) -> None:
    """Refuse Stripe's calls from now on; what it has told stays.

    \b
    Example:
      hermod payments stripe remove --tenant shop
    """
    async with client(tenant) as hermod:
        await delete_stripe_account(hermod)
    if as_json:
        print_json({"provider": "stripe", "removed": True})
    else:
        say("stripe removed")


@app.command("events")
@command
async def list_events(
    submission: Annotated[str | None, typer.Option(metavar="ID", help="Only of this submission, sub_….")] = None,
    unlinked: Annotated[
        bool, typer.Option("--unlinked", help="Only those of payments that belong to no submission.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, max=PAGE)] = 50,
    cursor: Annotated[str | None, typer.Option(help="Go on where the last page ended.")] = None,
    tenant: TenantName = None,
    as_json: Json = False,
) -> None:
    """List what was told about payments, the newest first.

    \b
    Example:
      hermod payments events --submission sub_019aa1c2d3e40123456789abcdef
    """
    async with client(tenant) as hermod:
        page = await payment_events(hermod, submission=submission, unlinked=unlinked, cursor=cursor, limit=limit)
    if as_json:
        print_list(page.items, page.next_cursor)
        return
    columns = ("received", "event", "type", "submission", "payment", "amount", "code")
    rows = [
        (
            one.received_at,
            one.id,
            one.type,
            one.submission,
            one.payment or one.checkout,
            _amount(one.fact),
            one.fact.get("code"),
        )
        for one in page.items
    ]
    print_table(columns, rows, empty="no payment events")
    if page.next_cursor is not None:
        hint(f"more: hermod payments events --cursor {page.next_cursor}")


def _show(account: StripeAccountView, as_json: bool) -> None:
    if as_json:
        print_json(account)
        return
    print_facts(
        (
            ("secrets", account.secrets),
            ("mode", "live" if account.livemode else "test"),
            ("connected accounts", ", ".join(account.connected_accounts)),
            ("webhook", account.url or "HERMOD_PUBLIC_URL is not set; …/ingress/stripe/<tenant>"),
            ("events", " ".join(account.event_types)),
            ("updated", account.updated_at),
        )
    )


def _lines(path: Path) -> list[str]:
    try:
        text = typer.get_text_stream("stdin").read() if str(path) == "-" else path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"{path}: {error}") from None
    return [line.strip() for line in text.splitlines() if line.strip()]


def _amount(fact: dict[str, Any]) -> str | None:
    return f"{fact['amount']} {fact.get('currency', '')}".strip() if "amount" in fact else None
