"""What every command stands on: settings, a client for a tenant, and errors as one clear line instead of a traceback.

Exit codes: 0 done, 1 failed, 2 the command or the settings are wrong.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import wraps
from typing import Annotated, Any, Final, ParamSpec

import typer
from sqlalchemy.exc import SQLAlchemyError
from temporalio.client import Client
from temporalio.exceptions import TemporalError

from hermod.bootstrap import Storage, open_storage
from hermod.contracts.errors import HermodError, InvalidInput
from hermod.settings import Settings, SettingsError, local_settings
from hermod.storage.database.migrate import MigrationFailed, SchemaOutdated
from hermod.storage.secrets.vault import UndecryptableSecret
from hermod.telemetry import configure_logging
from starter.cli.output import complain
from starter.client import Hermod
from starter.temporal.connection import connect
from starter.temporal.search_attributes import WrongSearchAttributes
from starter.tenants.tokens import WeakSecret

ACTOR: Final = "cli"
PATIENCE: Final = 10.0
"""Seconds that a command waits for Temporal; left to itself, its client waits for thirty."""
FAILED: Final = 1
_NO_SUCH_TABLE: Final = "42P01"
"""PostgreSQL's code."""
USAGE: Final = 2

TenantName = Annotated[
    str | None,
    typer.Option("--tenant", metavar="NAME", help="Act for this tenant (default: HERMOD_TENANT, or the dev stack's)."),
]
_P = ParamSpec("_P")
_EXPLAINED: Final = (
    HermodError,
    MigrationFailed,
    SchemaOutdated,
    UndecryptableSecret,
    WeakSecret,
    WrongSearchAttributes,
)
"""Errors whose text says what happened and what to do."""


def command(work: Callable[_P, Coroutine[Any, Any, None]]) -> Callable[_P, None]:
    """Makes a coroutine a command: runs it, and turns what it raises into a line and an exit code."""

    @wraps(work)
    def run(*arguments: _P.args, **options: _P.kwargs) -> None:
        try:
            asyncio.run(work(*arguments, **options))
        except (typer.Exit, typer.Abort, typer.BadParameter):
            raise
        except BrokenPipeError:
            raise typer.Exit from None  # whoever read the answer has enough, as `head` does
        except Exception as error:  # noqa: BLE001 - a command ends with a line, whatever happened
            code = explain(error)
            raise typer.Exit(code) from None

    return run


def explain(error: Exception) -> int:
    """Say what went wrong; the exit code that goes with it."""
    if isinstance(error, SettingsError):
        complain(str(error))
        return USAGE
    if isinstance(error, InvalidInput):
        for one in error.errors:
            complain(f"{one.field}: {one.message}")
    elif isinstance(error, _EXPLAINED):
        complain(str(error))
    elif isinstance(error, TemporalError) or _is_temporal_away(error):
        complain(f"Temporal does not answer: {brief(error)}; `hermod doctor` looks closer")
    elif getattr(getattr(error, "orig", None), "sqlstate", None) == _NO_SUCH_TABLE:
        complain("the database has not the tables of this version: run `hermod migrate`")
    elif isinstance(error, SQLAlchemyError):
        complain(f"the database refused: {brief(error)}; `hermod doctor` looks closer")
    else:
        complain(f"unexpected {type(error).__name__}: {brief(error)}; LOG_LEVEL=DEBUG shows where")
        if _debugging():
            traceback.print_exception(error)
    return FAILED


def brief(error: Exception) -> str:
    """The beginning of an error's text."""
    return " ".join(str(getattr(error, "orig", None) or error).split())[:200]


def settings() -> Settings:
    """The settings, with the log kept out of the way of the answers. Raises SettingsError."""
    found = local_settings()
    configure_logging(found.log_level if found.log_level == "DEBUG" else "ERROR", "console")
    return found


@asynccontextmanager
async def storage() -> AsyncIterator[Storage]:
    """The database alone, for commands that do not need Temporal."""
    async with open_storage(settings()) as opened:
        yield opened


@asynccontextmanager
async def client(tenant: str | None) -> AsyncIterator[Hermod]:
    """A client for a tenant that exists. Raises NotFound.

    What it accepts is handed to Temporal before this ends, unless Temporal lets us wait; then the sweeper does it.
    """
    found = settings()
    name = tenant_of(tenant, found)
    hermod = await Hermod.connect(settings=found, tenant=name, actor=ACTOR)
    try:
        await hermod.core.storage.tenants.get(name)
        yield hermod
    finally:
        await _hand_over(hermod)


async def temporal(found: Settings | None = None) -> Client:
    """A client of the cluster, connected. Raises RuntimeError where there is none, or none that answers."""
    found = found or settings()
    try:
        async with asyncio.timeout(PATIENCE):
            return await connect(found, lazy=False)
    except TimeoutError:
        raise RuntimeError(f"client connect: {found.temporal_address} says nothing for {PATIENCE:.0f} s") from None


async def _hand_over(hermod: Hermod) -> None:
    try:
        async with asyncio.timeout(PATIENCE):
            await hermod.close()
    except TimeoutError:
        complain("Temporal does not answer; what was accepted is sent when it is back")


def tenant_of(tenant: str | None, found: Settings) -> str:
    name = tenant or found.tenant
    if name is None:
        raise typer.BadParameter("say for which tenant: --tenant NAME, or set HERMOD_TENANT")
    return name


def _is_temporal_away(error: Exception) -> bool:
    return isinstance(error, RuntimeError) and "client connect" in str(error)


def _debugging() -> bool:
    try:
        return local_settings().log_level == "DEBUG"
    except SettingsError:
        return False
