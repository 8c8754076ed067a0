"""`hermod migrate`: brings the database to the schema of this version."""

from __future__ import annotations

import asyncio
from dataclasses import asdict

import typer
from sqlalchemy.engine import make_url

from hermod.settings import local_settings
from hermod.storage.database.migrate import migrate, newest_migration
from starter.cli.output import Json, print_json, say
from starter.cli.session import command


def add_to(root: typer.Typer) -> None:
    root.command("migrate")(migrate_database)


@command
async def migrate_database(as_json: Json = False) -> None:
    """Make the database's tables, or bring them to this version, and say what was done.

    It needs DATABASE_URL and nothing else. Repeating it changes nothing, and several at once take turns. Workers of the
    version before may run meanwhile.

    \b
    Example:
      DATABASE_URL=postgresql://hermod:password@localhost:5432/hermod hermod migrate
    """
    url = local_settings(HERMOD_SECRET_KEY="unused").database_url.get_secret_value()
    applied = await asyncio.to_thread(migrate, url)
    name, newest = make_url(url).database, newest_migration()
    if as_json:
        print_json({"database": name, "migration": newest, "applied": [asdict(step) for step in applied]})
    elif not applied:
        say(f"{name} is at {newest} already, the newest migration")
    else:
        before = "nothing" if applied[0].number == "0001" else f"{int(applied[0].number) - 1:04}"
        say(f"{name}: migrated from {before} to {newest} in {len(applied)} steps")
        for step in applied:
            say(f"  {step.number} {step.title}")
