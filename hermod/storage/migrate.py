"""Brings a database to the newest schema. Several processes may try at once: one does it, the others wait."""

from __future__ import annotations

import threading
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from hermod.storage.engine import Database

MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"


_one_at_a_time = threading.Lock()
"""Alembic keeps its context in a module, so within a process upgrades take turns."""


def upgrade(database_url: str, revision: str = "head") -> None:
    with _one_at_a_time:
        command.upgrade(alembic_config(database_url), revision)


def alembic_config(database_url: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["database_url"] = database_url
    return config


class SchemaOutdated(Exception):
    """The database is not at the newest migration. The text says what to do."""


async def check_schema(database: Database) -> None:
    """Raises SchemaOutdated, and Unavailable."""
    newest = ScriptDirectory(str(MIGRATIONS)).get_current_head()
    try:
        rows = await database.rows(text("SELECT version_num FROM alembic_version"), {})
    except ProgrammingError:
        rows = []
    found = rows[0].version_num if rows else None
    if found != newest:
        raise SchemaOutdated(
            f"the database is at migration {found or 'none'}, this version needs {newest}: run `alembic upgrade head`"
        )
