"""The command line `hermod`, put together from its groups."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from starter.cli import (
    accounts,
    analytics,
    dead_letters,
    doctor,
    emitting,
    forms,
    messages,
    partials,
    payments,
    providers,
    schedules,
    secret_keys,
    submissions,
    suppressions,
    templates,
    tenants,
    tracking,
    webhooks,
)
from starter.cli.output import say
from starter.version import product_version

_ABOUT: Final = """Hand messages to Hermod, follow them, and look after the installation.

Settings come from the environment (DATABASE_URL, TEMPORAL_ADDRESS, HERMOD_SECRET_KEY, HERMOD_TENANT), from `.env`, or
from a dev stack that runs in this folder (`make run`). Exit codes: 0 done, 1 failed, 2 wrong usage.

\b
Begin with:
  hermod doctor
  hermod send --to ada@example.com --subject Hello --text "It works" --wait
  hermod dlq list
"""

app: Final = typer.Typer(
    name="hermod",
    help=_ABOUT,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
messages.add_to(app)
emitting.add_to(app)
partials.add_to(app)
tracking.add_to(app)
forms.add_to(app)
app.add_typer(dead_letters.app, name="dlq")
app.add_typer(accounts.app, name="accounts")
app.add_typer(templates.app, name="templates")
app.add_typer(suppressions.app, name="suppressions")
app.add_typer(webhooks.app, name="webhooks")
app.add_typer(analytics.app, name="analytics")
app.add_typer(forms.app, name="forms")
app.add_typer(submissions.app, name="submissions")
app.add_typer(payments.app, name="payments")
app.add_typer(tenants.tenants, name="tenants")
app.add_typer(tenants.keys, name="keys")
app.add_typer(schedules.app, name="schedules")
app.add_typer(secret_keys.app, name="secrets")
secret_keys.add_to(app)
doctor.add_to(app)
providers.add_to(app)


def _print_version(wanted: bool) -> None:
    if wanted:
        say(product_version())
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass
