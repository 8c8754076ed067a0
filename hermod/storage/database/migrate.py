"""Brings a database to the newest schema. Several processes may try at once: one does it, the others wait."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ProgrammingError, SQLAlchemyError

from hermod.storage.database.engine import Database

MIGRATIONS = Path(__file__).resolve().parents[3] / "migrations"


_one_at_a_time = threading.Lock()
"""Alembic keeps its context in a module, so within a process upgrades take turns."""


@dataclass(frozen=True, slots=True)
class Step:
    """A migration that was applied: its number, and what it is for."""

    number: str
    title: str


class MigrationFailed(Exception):
    """The database is as it was. The text says why and what to do."""


def upgrade(database_url: str, revision: str = "head") -> None:
    with _one_at_a_time:
        command.upgrade(alembic_config(database_url), revision)


def migrate(database_url: str) -> list[Step]:
    """Bring the database to the newest schema; what was applied, in order. Raises MigrationFailed."""
    config = alembic_config(database_url)
    url = make_url(database_url)
    try:
        with _one_at_a_time:
            command.upgrade(config, "head")
    except CommandError as error:
        raise MigrationFailed(
            f"{url.database} was migrated by a newer version than this one, which does not know its migration "
            f"({error}): run the newer version"
        ) from None
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, SQLAlchemyError) as error:
        said = " ".join(str(getattr(error, "orig", None) or error).split())[:200] or type(error).__name__
        raise MigrationFailed(
            f"the database at {url.host}:{url.port or 5432} cannot be migrated: {said}; "
            "is DATABASE_URL right, the server running, and the database made?"
        ) from None
    applied = config.attributes.get("applied", [])
    return [Step(step.up_revision.revision, step.up_revision.doc) for step in applied]


def newest_migration() -> str:
    """The number of the newest migration that this version has."""
    return str(ScriptDirectory(str(MIGRATIONS)).get_current_head())


def alembic_config(database_url: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["database_url"] = database_url
    return config


class SchemaOutdated(Exception):
    """The database is not at the newest migration. The text says what to do."""


class SchemaNewer(SchemaOutdated):
    """It is past the newest migration of this version: a newer one has migrated it."""


async def check_schema(database: Database) -> None:
    """Raises SchemaOutdated, SchemaNewer, and Unavailable."""
    newest = newest_migration()
    try:
        rows = await database.rows(text("SELECT version_num FROM alembic_version"), {})
    except ProgrammingError:
        rows = []
    found = rows[0].version_num if rows else None
    if found is not None and found > newest:  # numbers of four digits
        raise SchemaNewer(
            f"the database is at migration {found}, this version knows {newest} and none after it: run a newer version"
        )
    if found != newest:
        raise SchemaOutdated(
            f"the database is at migration {found or 'none'}, this version needs {newest}: "
            "run `hermod migrate` (or `alembic upgrade head`)"
        )
