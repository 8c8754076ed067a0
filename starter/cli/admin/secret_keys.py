"""`hermod secrets` and `hermod token`: keys that protect stored credentials, and tokens for administrators."""

from __future__ import annotations

import getpass
import re
import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final

import typer

from hermod.storage.secrets.vault import Vault
from starter.cli.output import Json, complain, print_json, say
from starter.cli.session import ACTOR, FAILED, command, settings, storage
from starter.tenants import tokens

app: Final = typer.Typer(
    help="The secrets of a deployment, and the keys that encrypt stored credentials.", no_args_is_help=True
)


def add_to(root: typer.Typer) -> None:
    root.command("token")(make_token)


@app.command("new")
def new(as_json: Json = False) -> None:
    """Print new secrets for a deployment, as lines for `.env`: two passwords and two keys.

    Nothing is printed where `.env` in this folder has some already: what the old HERMOD_SECRET_KEY has encrypted could
    not be opened any more.

    \b
    Example:
      cp .env.example .env
      hermod secrets new >> .env
    """
    made = {
        "POSTGRES_PASSWORD": secrets.token_hex(24),
        "HERMOD_SECRET_KEY": Vault.new_key(),
        "CLICKHOUSE_PASSWORD": secrets.token_hex(24),
        "HERMOD_JWT_SECRET": secrets.token_hex(32),
    }
    kept = [name for name in made if name in _given()]
    if kept:
        complain(
            f".env has {', '.join(kept)} already; nothing was made. "
            "To change the key of credentials, `hermod secrets new-key --help`"
        )
        raise typer.Exit(FAILED)
    if as_json:
        print_json(made)
        return
    say("# By `hermod secrets new`. Keep them: without HERMOD_SECRET_KEY no stored credential can be opened.")
    for name, value in made.items():
        say(f"{name}={value}")


def _given() -> set[str]:
    """The variables that `.env` in this folder gives a value."""
    file = Path(".env")
    written = file.read_text(encoding="utf-8") if file.is_file() else ""
    return set(re.findall(r"^\s*(?:export\s+)?([A-Z_]+)[ \t]*=[ \t]*[^\s#]", written, re.MULTILINE))


@app.command("new-key")
def new_key(as_json: Json = False) -> None:
    """Print a new key for HERMOD_SECRET_KEY.

    \b
    To change keys: put the new one in front of the old (HERMOD_SECRET_KEY=new,old), restart everything, run
    `hermod secrets rotate`, and take the old one away.
    """
    key = Vault.new_key()
    if as_json:
        print_json({"key": key})
    else:
        say(key)


_KINDS = {
    "resealed": "accounts",
    "webhook_endpoints": "webhook endpoints",
    "stripe_accounts": "accounts at Stripe",
    "tenant_keys": "tenants' keys",
}


@app.command("rotate")
@command
async def rotate(as_json: Json = False) -> None:
    """Encrypt all that is stored as a secret under the first key of HERMOD_SECRET_KEY.

    That is: the credentials of accounts, the secrets of webhook endpoints and of Stripe, and the tenants' own keys.
    What none of the keys opens is named, and stays as it is; the exit code is 1 then.
    """
    async with storage() as opened:
        done = {
            "resealed": await opened.accounts.reseal(),
            "webhook_endpoints": await opened.webhook_endpoints.reseal(),
            "stripe_accounts": await opened.stripe_accounts.reseal(),
            "tenant_keys": await opened.contents.reseal(),
        }
    unreadable = {name: list(one.unreadable) for name, one in done.items() if one.unreadable}
    if as_json:
        print_json({**{name: one.done for name, one in done.items()}, "unreadable": unreadable})
    else:
        say(
            f"{done['resealed'].done} accounts, {done['webhook_endpoints'].done} webhook endpoints, "
            f"{done['stripe_accounts'].done} accounts at Stripe, {done['tenant_keys'].done} tenants' keys: "
            "all under the newest key"
        )
        for name, records in unreadable.items():
            say(f"not opened by any key of HERMOD_SECRET_KEY ({_KINDS[name]}): {', '.join(records)}")
    if unreadable:
        raise typer.Exit(1)


@command
async def make_token(
    hours: Annotated[float, typer.Option(min=0.01, max=24 * 366, help="How long it works.")] = 12.0,
    subject: Annotated[str, typer.Option(help="Who it is for; the audit names them (default: you).")] = "",
    as_json: Json = False,
) -> None:
    """Print an admin token for the admin API and the console, signed with HERMOD_JWT_SECRET.

    \b
    Example:
      export HERMOD_ADMIN_TOKEN="$(hermod token --hours 1)"
    """
    now, valid_for = datetime.now(UTC), timedelta(hours=hours)
    secret = settings().jwt_secret.get_secret_value()
    token = tokens.issue(secret, subject=subject or _user(), valid_for=valid_for, now=now)
    if as_json:
        print_json({"token": token, "expires_at": now + valid_for})
    else:
        say(token)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ACTOR  # a container's user may have a number and no name
