"""Addresses that get no more messages. Also `hermod.ports.notifications.hygiene.AddressFeedback`: what sending learns
about addresses.

One row for an address, a channel and a category (`*` for all of them). Two reasons for the same row are one row: the
stronger one (`hermod.domain.notifications.suppressions`), and a lasting one before one that expires.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from hermod.contracts.errors import NotFound
from hermod.contracts.ids import new_id
from hermod.contracts.notifications.content import Channel
from hermod.contracts.notifications.messages import Category
from hermod.contracts.notifications.outcomes import Fault
from hermod.contracts.notifications.suppressions import Reason, SuppressionPage, SuppressionView
from hermod.domain.notifications.recipients import bare, fingerprint
from hermod.domain.notifications.suppressions import LIFTED_BY_RECIPIENT, STRENGTH
from hermod.ports.notifications.hygiene import Refused
from hermod.storage.database.engine import Database, sql
from hermod.storage.database.readable import page_of

ANY: Final = "*"
_REASONS: Final = {
    Fault.INVALID: Reason.HARD_BOUNCE,
    Fault.OPTED_OUT: Reason.STOP,
    Fault.UNREGISTERED: Reason.UNREGISTERED,
    Fault.LISTED: Reason.LISTED,
}
_ORDER: Final = "ARRAY[" + ", ".join(f"'{reason.value}'" for reason in STRENGTH) + "]"
_LIFTED: Final = [reason.value for reason in sorted(LIFTED_BY_RECIPIENT)]

_ADD: Final = sql(f"""
    INSERT INTO suppressions AS s (tenant_id, address_hash, channel, category, id, address, reason, source, detail,
                                   created_at, expires_at)
    SELECT :tenant, f.hash, f.channel, f.category, f.id, f.address, f.reason, f.source, f.detail, :now, f.expires
      FROM unnest(CAST(:hashes AS bytea[]), CAST(:channels AS text[]), CAST(:categories AS text[]),
                  CAST(:ids AS text[]), CAST(:addresses AS text[]), CAST(:reasons AS text[]), CAST(:sources AS text[]),
                  CAST(:details AS text[]), CAST(:expires AS timestamptz[]))
        AS f(hash, channel, category, id, address, reason, source, detail, expires)
     ORDER BY f.hash, f.channel, f.category
    ON CONFLICT (tenant_id, address_hash, channel, category) DO UPDATE
       SET reason = excluded.reason, source = excluded.source, detail = excluded.detail, address = excluded.address,
           created_at = excluded.created_at, expires_at = excluded.expires_at
     WHERE s.expires_at <= :now
        OR (s.expires_at IS NOT NULL AND excluded.expires_at IS NULL)
        OR ((s.expires_at IS NULL) = (excluded.expires_at IS NULL)
            AND (array_position({_ORDER}, excluded.reason) > array_position({_ORDER}, s.reason)
                 OR (excluded.reason = s.reason
                     AND (excluded.reason = 'manual' OR excluded.expires_at > s.expires_at))))
    RETURNING address_hash, channel, category, xmax = 0 AS fresh
""")  # noqa: S608 - the reasons are ours

_ONE: Final = sql("""
    SELECT * FROM suppressions
     WHERE tenant_id = :tenant AND address_hash = CAST(:hash AS bytea) AND channel = CAST(:channel AS text)
       AND category = CAST(:category AS text) AND (expires_at IS NULL OR expires_at > :now)
""")

_BY_ID: Final = sql("SELECT * FROM suppressions WHERE tenant_id = :tenant AND id = :id")

_PAGE: Final = sql("""
    SELECT * FROM suppressions
     WHERE tenant_id = :tenant AND (expires_at IS NULL OR expires_at > :now)
       AND (CAST(:hashes AS bytea[]) IS NULL OR address_hash = ANY(CAST(:hashes AS bytea[])))
       AND (CAST(:channel AS text) IS NULL OR channel = CAST(:channel AS text))
       AND (CAST(:reason AS text) IS NULL OR reason = CAST(:reason AS text))
       AND (CAST(:cursor AS text) IS NULL OR id < CAST(:cursor AS text))
     ORDER BY id DESC LIMIT CAST(:limit AS int)
""")

_REMOVE: Final = sql("""
    WITH gone AS (DELETE FROM suppressions WHERE tenant_id = :tenant AND id = :id RETURNING id, reason)
    INSERT INTO audit (tenant_id, at, actor, action, subject, detail)
    SELECT :tenant, :now, :actor, 'suppression.remove', id, jsonb_build_object('reason', reason) FROM gone
    RETURNING subject
""")

_LIFT: Final = sql("""
    WITH gone AS (
      DELETE FROM suppressions
       WHERE tenant_id = :tenant AND address_hash = ANY(CAST(:hashes AS bytea[])) AND channel = CAST(:channel AS text)
         AND reason = ANY(CAST(:reasons AS text[]))
         AND (CAST(:category AS text) IS NULL OR category = CAST(:category AS text))
      RETURNING id, reason
    )
    INSERT INTO audit (tenant_id, at, actor, action, subject, detail)
    SELECT :tenant, :now, :actor, 'suppression.lift', id,
           jsonb_build_object('reason', reason, 'source', CAST(:source AS text))
      FROM gone
    RETURNING subject
""")

_AUDIT: Final = sql("""
    INSERT INTO audit (tenant_id, at, actor, action, subject, detail)
    VALUES (:tenant, :now, :actor, 'suppression.add', :id, jsonb_build_object('reason', CAST(:reason AS text)))
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A suppression to be made. `channel` and `category`: None for all of them."""

    hash: bytes
    address: str | None
    channel: Channel | None
    category: Category | None
    reason: Reason
    source: str
    detail: str | None = None
    expires_at: datetime | None = None

    @property
    def key(self) -> tuple[bytes, str, str]:
        return self.hash, self.channel or ANY, self.category or ANY


class Suppressions:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def learn(
        self, tenant: str, channel: Channel, account: str, refused: Sequence[Refused], accepted: int, now: datetime
    ) -> None:
        entries = [
            Entry(
                hash=fingerprint(channel, one.to),
                address=bare(channel, one.to),
                channel=channel,
                category=None,
                reason=_REASONS[one.fault],
                source=account,
                detail=one.code,
            )
            for one in refused
            if one.fault in _REASONS
        ]
        if entries:
            async with self._database.begin() as connection:
                await suppress(connection, tenant, entries, now)

    async def add(self, tenant: str, entry: Entry, *, actor: str, now: datetime) -> tuple[SuppressionView, bool]:
        """What stands for the address from now on, and whether it is new. A stronger one that was there stays."""
        hash_, channel, category = entry.key
        key = {"tenant": tenant, "hash": hash_, "channel": channel, "category": category, "now": now}
        async with self._database.begin() as connection:
            written = await suppress(connection, tenant, [entry], now)
            row = (await connection.execute(_ONE, key)).one_or_none()
            if row is None:
                raise NotFound("the suppression expires at once")
            if written:
                names = {"tenant": tenant, "now": now, "actor": actor, "id": row.id, "reason": entry.reason.value}
                await connection.execute(_AUDIT, names)
        return _view(row), any(one.fresh for one in written)

    async def get(self, tenant: str, suppression: str) -> SuppressionView:
        """Raises NotFound."""
        rows = await self._database.rows(_BY_ID, {"tenant": tenant, "id": suppression})
        if not rows:
            raise NotFound(f"there is no suppression {suppression}")
        return _view(rows[0])

    async def page(
        self,
        tenant: str,
        *,
        hashes: Sequence[bytes] | None,
        channel: Channel | None,
        reason: Reason | None,
        cursor: str | None,
        limit: int,
        now: datetime,
    ) -> SuppressionPage:
        """Those in force, newest first. `hashes`: of one address, in the forms that it may have."""
        names = {"tenant": tenant, "hashes": hashes, "channel": channel, "reason": reason, "cursor": cursor}
        rows = await self._database.rows(_PAGE, names | {"limit": limit + 1, "now": now})
        items, next_cursor = page_of("suppression", rows, limit, _view)
        return SuppressionPage(items=items, next_cursor=next_cursor)

    async def remove(self, tenant: str, suppression: str, *, actor: str, now: datetime) -> None:
        """Raises NotFound."""
        names = {"tenant": tenant, "id": suppression, "actor": actor, "now": now}
        if not await self._database.rows(_REMOVE, names):
            raise NotFound(f"there is no suppression {suppression}")

    async def stands(
        self, tenant: str, hash_: bytes, channel: Channel, category: Category, now: datetime
    ) -> SuppressionView | None:
        """The suppression for exactly this channel and category, or None."""
        names = {"tenant": tenant, "hash": hash_, "channel": channel, "category": category, "now": now}
        rows = await self._database.rows(_ONE, names)
        return _view(rows[0]) if rows else None

    async def take_back(
        self, tenant: str, hash_: bytes, channel: Channel, category: Category | None, *, source: str, now: datetime
    ) -> None:
        """The recipient wants messages again: lift an unsubscribe or a STOP, and nothing else."""
        async with self._database.begin() as connection:
            await lift(connection, tenant, channel, [hash_], source, now, category=category)


async def suppress(
    connection: AsyncConnection, tenant: str, entries: Iterable[Entry], now: datetime
) -> Sequence[Row[Any]]:
    """Write the suppressions within the caller's transaction; a row (its key, fresh) for each that took effect."""
    strongest: dict[tuple[bytes, str, str], Entry] = {}
    for entry in entries:
        known = strongest.get(entry.key)
        if known is None or _force(entry) > _force(known):
            strongest[entry.key] = entry
    if not strongest:
        return ()
    keys, values = list(strongest), list(strongest.values())
    names = {
        "tenant": tenant,
        "now": now,
        "hashes": [hash_ for hash_, _, _ in keys],
        "channels": [channel for _, channel, _ in keys],
        "categories": [category for _, _, category in keys],
        "ids": [new_id("sup") for _ in keys],
        "addresses": [entry.address for entry in values],
        "reasons": [entry.reason.value for entry in values],
        "sources": [entry.source for entry in values],
        "details": [entry.detail for entry in values],
        "expires": [entry.expires_at for entry in values],
    }
    return (await connection.execute(_ADD, names)).all()


async def lift(
    connection: AsyncConnection,
    tenant: str,
    channel: Channel,
    hashes: Sequence[bytes],
    source: str,
    now: datetime,
    *,
    category: Category | None = None,
) -> None:
    """Take away what recipients may take back themselves, within the caller's transaction."""
    names = {
        "tenant": tenant,
        "hashes": list(hashes),
        "channel": channel.value,
        "category": category,
        "reasons": _LIFTED,
        "actor": "hermod",
        "source": source,
        "now": now,
    }
    await connection.execute(_LIFT, names)


def _force(entry: Entry) -> tuple[bool, int]:
    return entry.expires_at is None, STRENGTH.index(entry.reason)


def _view(row: Row[Any]) -> SuppressionView:
    return SuppressionView(
        id=row.id,
        address=row.address,
        channel=None if row.channel == ANY else Channel(row.channel),
        category=None if row.category == ANY else Category(row.category),
        reason=Reason(row.reason),
        source=row.source,
        detail=row.detail,
        created_at=row.created_at,
        expires_at=row.expires_at,
    )
