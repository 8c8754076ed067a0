"""The command line `hermod`: which commands there are, and which module has each.

A command's module is imported when the command is called, and not for `--version` or `--help`: most of them need the
database, Temporal and the providers, whose libraries take a second or two to load.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, MutableMapping
from importlib import import_module
from typing import Annotated, Any, Final

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_group

from hermod.version import product_version

_ABOUT: Final = """Hand messages to Hermod, follow them, and look after the installation.

Settings come from the environment (DATABASE_URL, TEMPORAL_ADDRESS, HERMOD_SECRET_KEY, HERMOD_TENANT), from `.env`, or
from a dev stack that runs in this folder (`make run`). Exit codes: 0 done, 1 failed, 2 wrong usage.

\b
Begin with:
  hermod doctor
  hermod send --to ada@example.com --subject Hello --text "It works" --wait
  hermod dlq list
"""
_TABLE: Final[Mapping[str, tuple[str, str]]] = {
    "send": ("notifications.messages", "Send one message."),
    "send-batch": ("notifications.messages", "Send a file of messages."),
    "status": (
        "notifications.messages",
        "Tell a message's story: where it is, every attempt, every decision, what comes next.",
    ),
    "cancel": (
        "notifications.messages",
        "Withdraw a message that waits. One that is on its way, or has ended, stays as it is.",
    ),
    "emit": ("webhooks.emit", "Send an event to every endpoint that asked for its type."),
    "journey": (
        "forms.partials",
        "Tell what somebody did with forms, and what they were told, from the first change to the last receipt.",
    ),
    "track": ("analytics.track", "Tell what happened, for analytics."),
    "submit": ("forms.forms", "Submit a form."),
    "token": (
        "admin.secret_keys",
        "Print an admin token for the admin API and the console, signed with HERMOD_JWT_SECRET.",
    ),
    "doctor": (
        "admin.doctor",
        "Check the installation: settings, database, keys, Temporal, schedules, workers. Exit code 1 if any is wrong.",
    ),
    "migrate": ("admin.migrate", "Make the database's tables, or bring them to this version, and say what was done."),
    "providers": ("admin.providers", "List the providers and what each can do."),
    "partials": ("forms.partials:app", "Forms that visitors have not sent yet."),
    "dlq": ("notifications.dead_letters:app", "Dead letters: messages that were given up."),
    "accounts": ("admin.accounts:app", "Provider accounts: what messages are sent with."),
    "templates": ("notifications.templates:app", "Stored templates: versions, locales, previews."),
    "suppressions": ("notifications.suppressions:app", "Addresses that get no more messages."),
    "webhooks": ("webhooks.webhooks:app", "Signed events to the endpoints that asked for them."),
    "analytics": ("analytics.analytics:app", "What events and messages come to, counted by ClickHouse."),
    "forms": ("forms.forms:app", "Forms: schemas, spam guards, payments, and what they tell."),
    "submissions": (
        "forms.submissions:app",
        "Submissions of forms: follow them, retry dead letters, and what is no spam.",
    ),
    "payments": ("forms.payments:app", "Payments for submissions of forms."),
    "tenants": ("admin.tenants:tenants", "Tenants: everything belongs to one."),
    "keys": ("admin.api_keys:app", "API keys: what a tenant's programs sign in with."),
    "schedules": ("admin.schedules:app", "The housekeeping schedules."),
    "secrets": ("admin.secret_keys:app", "The secrets of a deployment, and the keys that encrypt stored credentials."),
}
"""Each command by its name: its module in `starter.cli`, with `:` the group in it, and the first line of its help."""


class _Commands(MutableMapping[str, Any]):
    """The commands by name, in the order of the table; one is imported when it is looked up."""

    def __init__(self) -> None:
        self._loaded: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._loaded:
            self._loaded[name] = _load(name, _TABLE[name][0])
        return self._loaded[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._loaded[name] = command

    def __delitem__(self, name: str) -> None:
        del self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(_TABLE)

    def __len__(self) -> int:
        return len(_TABLE)


def _load(name: str, home: str) -> Any:
    module_name, _, group = home.partition(":")
    module = import_module(f"starter.cli.{module_name}")
    parent = typer.Typer()
    if group:
        parent.add_typer(getattr(module, group), name=name)
    else:
        module.add_to(parent)
    return get_group(parent).commands[name]


class _Root(TyperGroup):
    """The commands of the table."""

    table: Final = _TABLE

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = _Commands()

    @property
    def summaries(self) -> dict[str, str]:
        return {name: summary for name, (_, summary) in _TABLE.items()}

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """From the table, so that nothing is imported for it."""
        shown = copy.copy(self)
        shown.commands = {name: TyperCommand(name, help=summary) for name, summary in self.summaries.items()}
        TyperGroup.format_help(shown, ctx, formatter)

    def list_commands(self, _ctx: Any) -> list[str]:
        return list(self.commands)


app: Final = typer.Typer(
    name="hermod",
    cls=_Root,
    help=_ABOUT,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(product_version())
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass
