"""Alembic's entry: one transaction under an advisory lock, so that concurrent upgrades wait for each other."""

from __future__ import annotations

import asyncio

from alembic import context
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from hermod.settings import load_settings
from hermod.storage import (  # noqa: F401 - all that declare tables
    device_tables,
    event_tables,
    form_tables,
    tables,
    webhook_tables,
)
from hermod.storage.engine import async_url

_LOCK = 4_843_113
"""Hermod's key among PostgreSQL's advisory locks."""


def _url() -> str:
    given: str | None = context.config.attributes.get("database_url")
    return given or load_settings(HERMOD_SECRET_KEY="unused").database_url.get_secret_value()


def _migrate(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=tables.metadata)
    with context.begin_transaction():
        connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
        context.run_migrations()


async def _run() -> None:
    engine = create_async_engine(async_url(_url()), poolclass=NullPool)
    async with engine.connect() as connection:
        await connection.run_sync(_migrate)
        await connection.commit()
    await engine.dispose()


asyncio.run(_run())
