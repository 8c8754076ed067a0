"""Addresses that get no more messages. Also `hermod.ports.hygiene.Hygiene`: what sending learns about addresses."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from hermod.contracts.content import Channel
from hermod.contracts.ids import new_id
from hermod.contracts.outcomes import Fault
from hermod.contracts.suppressions import Reason
from hermod.domain.recipients import bare, fingerprint
from hermod.ports.hygiene import Refused
from hermod.storage.engine import Database, sql

_REASONS: Final = {Fault.INVALID: Reason.HARD_BOUNCE, Fault.OPTED_OUT: Reason.STOP, Fault.LISTED: Reason.LISTED}

_ADD: Final = sql("""
    INSERT INTO suppressions AS s (tenant_id, address_hash, channel, category, id, address, reason, source, detail,
                                   created_at, expires_at)
    SELECT :tenant, f.hash, f.channel, f.category, f.id, f.address, f.reason, f.source, f.detail, :now, f.expires
      FROM unnest(CAST(:hashes AS bytea[]), CAST(:channels AS text[]), CAST(:categories AS text[]),
                  CAST(:ids AS text[]), CAST(:addresses AS text[]), CAST(:reasons AS text[]), CAST(:sources AS text[]),
                  CAST(:details AS text[]), CAST(:expires AS timestamptz[]))
        AS f(hash, channel, category, id, address, reason, source, detail, expires)
     ORDER BY f.hash
    ON CONFLICT (tenant_id, address_hash, channel, category) DO UPDATE
       SET reason = excluded.reason, source = excluded.source, detail = excluded.detail, address = excluded.address,
           created_at = excluded.created_at, expires_at = excluded.expires_at
     WHERE s.expires_at IS NOT NULL
""")


class Suppressions:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def learn(
        self, tenant: str, channel: Channel, account: str, refused: Sequence[Refused], accepted: int, now: datetime
    ) -> None:
        known = {fingerprint(channel, one.to): one for one in refused if one.fault in _REASONS}
        if not known:
            return
        await self._database.execute(
            _ADD,
            {
                "tenant": tenant,
                "now": now,
                "hashes": list(known),
                "channels": [channel.value for _ in known],
                "categories": ["*" for _ in known],
                "ids": [new_id("sup") for _ in known],
                "addresses": [bare(channel, one.to) for one in known.values()],
                "reasons": [_REASONS[one.fault].value for one in known.values()],
                "sources": [account for _ in known],
                "details": [one.code for one in known.values()],
                "expires": [None for _ in known],
            },
        )
