"""Alembic's entry: one transaction under an advisory lock, so that concurrent upgrades wait for each other."""

from __future__ import annotations

import asyncio
from typing import Any

from alembic import context
from alembic.util import CommandError
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from hermod.settings import SettingsError, load_settings
from hermod.storage.database.engine import async_url
from hermod.storage.database.schema import metadata

_LOCK = 4_843_113
"""Hermod's key among PostgreSQL's advisory locks."""


def _url() -> str:
    given: str | None = context.config.attributes.get("database_url")
    try:
        return given or load_settings(HERMOD_SECRET_KEY="unused").database_url.get_secret_value()
    except SettingsError as error:
        raise CommandError(str(error)) from None  # alembic's own, which its command line says in one line


def _migrate(connection: Connection) -> None:
    applied: list[Any] = context.config.attributes.setdefault("applied", [])
    context.configure(
        connection=connection,
        target_metadata=metadata,
        on_version_apply=lambda step, **_: applied.append(step),
    )
    with context.begin_transaction():
        connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
        context.run_migrations()
    by_hand = context.config.cmd_opts  # of alembic's own command line
    if by_hand is not None and by_hand.cmd[0].__name__ in ("upgrade", "downgrade"):
        _tell(applied)


def _tell(applied: list[Any]) -> None:
    for step in applied:
        done = "applied" if step.is_upgrade else "taken back"
        context.config.print_stdout("%s %s: %s", done, step.up_revision.revision, step.up_revision.doc)
    if not applied:
        context.config.print_stdout("the database is there already, nothing was done")


async def _run() -> None:
    engine = create_async_engine(async_url(_url()), poolclass=NullPool)
    async with engine.connect() as connection:
        await connection.run_sync(_migrate)
        await connection.commit()
    await engine.dispose()


asyncio.run(_run())
