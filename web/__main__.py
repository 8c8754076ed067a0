"""`python -m web`: the API on HERMOD_HOST and HERMOD_PORT, until SIGTERM or SIGINT."""

from __future__ import annotations

import contextlib
import sys

import uvloop

from hermod.contracts.errors import Unavailable
from hermod.settings import Settings, SettingsError, load_settings
from hermod.storage.database.engine import Database
from hermod.storage.database.migrate import SchemaNewer, SchemaOutdated, check_schema
from hermod.telemetry import configure_logging, get_logger
from starter.client import Hermod
from starter.process.exit import leave
from starter.process.health import PortTaken
from starter.process.processes import stop_on_signals, tune_gc
from web.app import create_app
from web.http.server import serve

_log = get_logger(__name__)


async def _until_signalled(settings: Settings) -> int:
    stop = stop_on_signals()
    try:
        async with await Hermod.connect(settings=settings, actor="web") as hermod:
            await _look_at_schema(hermod.core.storage.database)
            tune_gc()
            await serve(create_app(settings, hermod=hermod), settings, stop)
    except (PortTaken, SchemaOutdated) as error:
        _log.error("cannot_start", error=str(error))
        return 1
    return 0


async def _look_at_schema(database: Database) -> None:
    """Raises SchemaOutdated. A database that is away may come, and a newer one serves the version before."""
    with contextlib.suppress(Unavailable, SchemaNewer):
        await check_schema(database)


def main() -> None:
    try:
        settings = load_settings()
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        leave(2)
    configure_logging(settings.log_level, settings.log_format)
    leave(uvloop.run(_until_signalled(settings)))


if __name__ == "__main__":
    main()
