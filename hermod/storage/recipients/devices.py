"""The devices of contacts, by token: registered by apps, moved when somebody else signs in, removed when they are gone.

A removed device stays as a row: a contact whose last device is gone is still a contact, and no token.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

import orjson
from sqlalchemy import Row

from hermod.contracts.errors import NotFound
from hermod.contracts.notifications.content import Channel
from hermod.contracts.notifications.devices import MOST_DEVICES, DeviceView
from hermod.domain.notifications.push_tokens import platform
from hermod.domain.notifications.recipients import bare, fingerprint
from hermod.storage.database.engine import Database, sql
from hermod.storage.database.readable import listed

Token = str | dict[str, Any]

_ID: Final = "dev_"

_LOCK: Final = sql("SELECT pg_advisory_xact_lock(hashtextextended(CAST(:tenant AS text), CAST(:key AS bigint)))")
"""One registration of a token at a time, so that it never belongs to two contacts."""

_REGISTER: Final = sql(f"""
    WITH moved AS (
      UPDATE devices SET removed_at = :now, removed_reason = 'moved'
       WHERE tenant_id = :tenant AND token_hash = CAST(:hash AS bytea) AND contact_id <> CAST(:contact AS text)
         AND removed_at IS NULL
    ), crowded AS (
      UPDATE devices SET removed_at = :now, removed_reason = 'replaced'
       WHERE tenant_id = :tenant AND contact_id = CAST(:contact AS text) AND token_hash IN (
         SELECT token_hash FROM devices
          WHERE tenant_id = :tenant AND contact_id = CAST(:contact AS text) AND token_hash <> CAST(:hash AS bytea)
            AND removed_at IS NULL
          ORDER BY seen_at DESC, token_hash OFFSET {MOST_DEVICES - 1})
    ), believed AS (
      DELETE FROM suppressions
       WHERE tenant_id = :tenant AND address_hash = CAST(:hash AS bytea) AND channel = 'push'
         AND reason = 'unregistered'
    ), cleared AS (
      DELETE FROM suspect_tokens WHERE tenant_id = :tenant AND token_hash = CAST(:hash AS bytea)
    )
    INSERT INTO devices AS d (tenant_id, contact_id, token_hash, token, platform, created_at, seen_at)
    VALUES (:tenant, CAST(:contact AS text), CAST(:hash AS bytea), CAST(:token AS jsonb), CAST(:platform AS text),
            :now, :now)
    ON CONFLICT (tenant_id, contact_id, token_hash) DO UPDATE
       SET token = excluded.token, platform = excluded.platform, seen_at = excluded.seen_at, suspect_since = NULL,
           created_at = CASE WHEN d.removed_at IS NULL THEN d.created_at ELSE excluded.created_at END,
           removed_at = NULL, removed_reason = NULL
    RETURNING d.*, d.created_at = :now AS fresh
""")  # noqa: S608 - the number is ours

_OF_CONTACT: Final = sql("""
    SELECT * FROM devices WHERE tenant_id = :tenant AND contact_id = CAST(:contact AS text)
     ORDER BY seen_at DESC, token_hash
""")

_REMOVE: Final = sql("""
    UPDATE devices SET removed_at = :now, removed_reason = 'deleted'
     WHERE tenant_id = :tenant AND contact_id = CAST(:contact AS text) AND token_hash = CAST(:hash AS bytea)
       AND removed_at IS NULL
    RETURNING token_hash
""")


class Registered(NamedTuple):
    view: DeviceView
    created: bool


class Devices:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def register(self, tenant: str, contact: str, token: Token, now: datetime) -> Registered:
        """The token is this contact's from now on, and nobody else's.

        The app itself has just been given it, so what was held against the token is void: that it was unregistered,
        that its push service called it wrong.
        """
        hash_ = fingerprint(Channel.PUSH, token)
        names = {
            "tenant": tenant,
            "contact": contact,
            "hash": hash_,
            "token": _as_json(token),
            "platform": platform(token).value,
            "now": now,
        }
        async with self._database.begin() as connection:
            await connection.execute(_LOCK, {"tenant": tenant, "key": int.from_bytes(hash_[:8], "big", signed=True)})
            row = (await connection.execute(_REGISTER, names)).one()
        return Registered(_view(row), row.fresh)

    async def of(self, tenant: str, contact: str) -> list[DeviceView]:
        """The living ones, last seen first; none where nobody knows the contact."""
        living = [row for row in await self._rows(tenant, contact) if row.removed_at is None]
        return list(listed("device", living, _view, key="token_hash"))

    async def remove(self, tenant: str, contact: str, device: str, now: datetime) -> None:
        """Raises NotFound."""
        try:
            hash_ = bytes.fromhex(device.removeprefix(_ID))
        except ValueError:
            hash_ = b""
        names = {"tenant": tenant, "contact": contact, "hash": hash_, "now": now}
        if not await self._database.rows(_REMOVE, names):
            raise NotFound(f"contact {contact} has no device {device}")

    async def tokens(self, tenant: str, contact: str) -> list[Token] | None:
        """Where a message to the contact goes, last seen first; None for somebody who never had a device."""
        rows = await self._rows(tenant, contact)
        return [row.token for row in rows if row.removed_at is None] if rows else None

    async def _rows(self, tenant: str, contact: str) -> Sequence[Row[Any]]:
        return await self._database.rows(_OF_CONTACT, {"tenant": tenant, "contact": contact})


def _as_json(token: Token) -> str:
    return orjson.dumps(token).decode()


def _view(row: Row[Any]) -> DeviceView:
    return DeviceView(
        id=_ID + bytes(row.token_hash).hex(),
        platform=row.platform,
        token=bare(Channel.PUSH, row.token),
        created_at=row.created_at,
        seen_at=row.seen_at,
        suspect_since=row.suspect_since,
    )
