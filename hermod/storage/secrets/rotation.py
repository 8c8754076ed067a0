"""Secrets that are stored under an older key are encrypted under the newest one."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import TextClause

from hermod.storage.database.engine import Database
from hermod.storage.secrets.vault import UndecryptableSecret, Vault


class Rotated(NamedTuple):
    done: int
    """Secrets that are under the newest key now."""
    unreadable: tuple[str, ...]
    """Those that no key of HERMOD_SECRET_KEY opens, as `tenant` or `tenant/id`. They stay as they are."""


async def rotate(database: Database, vault: Vault, select: TextClause, update: TextClause) -> Rotated:
    """`select` locks the rows and gives `tenant`, `id` (or null) and `sealed`, by which `update` stores what is new."""
    count = 0
    unreadable: list[str] = []
    async with database.begin() as connection:
        for row in (await connection.execute(select)).all():
            try:
                sealed = vault.reseal(row.sealed)
            except UndecryptableSecret:
                unreadable.append(row.tenant if row.id is None else f"{row.tenant}/{row.id}")
                continue
            await connection.execute(update, {"tenant": row.tenant, "id": row.id, "sealed": sealed})
            count += 1
    return Rotated(count, tuple(unreadable))
