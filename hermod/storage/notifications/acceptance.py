"""Taking messages in: message, content and idempotency key in one statement, for one as for five thousand.

The same statement runs inside a caller's own transaction (`stage`): then the message exists if and only if the caller's
other changes do.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson
from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from hermod.contracts.errors import IdempotencyMismatch
from hermod.contracts.notifications.content import AnyContent, Channel, Sms
from hermod.contracts.notifications.messages import Receipt, Status, Submission
from hermod.domain.notifications.recipients import fingerprint
from hermod.domain.notifications.segments import segments
from hermod.storage.database.engine import Database, sql
from hermod.storage.secrets.contents import Contents, Seal

_INSERT: Final = sql("""
    WITH draft AS (
      SELECT * FROM unnest(
          CAST(:ids AS text[]), CAST(:channels AS text[]), CAST(:recipients AS text[]), CAST(:categories AS text[]),
          CAST(:guarantees AS text[]), CAST(:presets AS text[]), CAST(:priorities AS smallint[]),
          CAST(:accounts AS text[]), CAST(:workflows AS text[]), CAST(:requests AS text[]), CAST(:metadata AS text[]),
          CAST(:send_at AS timestamptz[]), CAST(:not_after AS timestamptz[]), CAST(:bodies AS bytea[]),
          CAST(:keys AS text[]), CAST(:hashes AS bytea[]), CAST(:addresses AS bytea[]), CAST(:templates AS text[]),
          CAST(:segments AS smallint[]), CAST(:groups AS text[]), CAST(:retries AS text[]))
        AS d(id, channel, recipient, category, guarantee, preset, priority, account, workflow, request, metadata,
             send_at, not_after, body, key, hash, address, template, segments, group_id, retry)
    ), chosen AS (
      SELECT d.id, coalesce(CAST(d.retry AS jsonb), t.retry -> d.channel, t.retry -> 'default') AS retry,
             CASE WHEN d.retry IS NOT NULL THEN 'message' WHEN t.retry -> d.channel IS NOT NULL THEN 'channel'
                  WHEN t.retry -> 'default' IS NOT NULL THEN 'tenant' ELSE 'built_in' END AS retry_from
        FROM draft d LEFT JOIN tenants t ON t.id = :tenant
    ), keyed AS (
      INSERT INTO idempotency_keys (tenant_id, key, body_hash, message_id)
      SELECT :tenant, key, hash, id FROM draft WHERE key IS NOT NULL ORDER BY key
      ON CONFLICT DO NOTHING
      RETURNING message_id
    ), taken AS (
      INSERT INTO messages (tenant_id, id, channel, status, recipient, category, guarantee, preset, waits, retry_from,
                            priority, requested_account, workflow_id, request_id, metadata, send_at, not_after,
                            address_hash, template, segments, group_id, created_at, updated_at)
      SELECT :tenant, d.id, d.channel, 'pending', d.recipient, d.category, d.guarantee,
             CASE WHEN jsonb_typeof(c.retry) = 'string' THEN c.retry #>> '{}' ELSE d.preset END,
             CASE WHEN jsonb_typeof(c.retry) = 'array' THEN c.retry END, c.retry_from, d.priority, d.account,
             d.workflow, d.request, CAST(d.metadata AS jsonb), d.send_at, d.not_after, d.address, d.template,
             d.segments, d.group_id, :now, :now
        FROM draft d JOIN chosen c USING (id) LEFT JOIN keyed k ON k.message_id = d.id
       WHERE d.key IS NULL OR k.message_id IS NOT NULL
      ON CONFLICT (tenant_id, id) DO NOTHING
      RETURNING id
    )
    INSERT INTO message_contents (tenant_id, message_id, body)
    SELECT :tenant, d.id, d.body FROM draft d JOIN taken USING (id)
    RETURNING message_id
""")

_KNOWN: Final = sql("""
    SELECT k.key, k.body_hash, m.id, m.status, m.workflow_id
      FROM idempotency_keys k JOIN messages m ON m.tenant_id = k.tenant_id AND m.id = k.message_id
     WHERE k.tenant_id = :tenant AND k.key = ANY(:keys)
""")


_USED: Final = sql("SELECT count(*) AS n FROM idempotency_keys WHERE tenant_id = :tenant AND key = ANY(:keys)")


@dataclass(frozen=True, slots=True)
class Ready:
    """A submission as it will be stored. Its fingerprint is of what was asked, its content is in words."""

    submission: Submission
    content: AnyContent
    """With the words of the template, where one was named, and to one device, where a contact was."""
    template: str | None = None
    """Name, locale and version that the words were made from: `welcome/de@3`."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A message with the ids it will have."""

    id: str
    workflow_id: str
    request_id: str | None
    ready: Ready
    group_id: str | None = None

    @property
    def submission(self) -> Submission:
        return self.ready.submission


Accepted = dict[str, Receipt | IdempotencyMismatch]
"""By draft id: the receipt (an earlier one's for a repeated key), or why the key does not fit."""


class Acceptance:
    def __init__(self, database: Database, contents: Contents) -> None:
        self._database = database
        self._contents = contents

    async def take(self, tenant: str, drafts: Sequence[Draft], now: datetime) -> Accepted:
        """Store the drafts, durably by the time this returns.

        Raises Unavailable, with nothing stored, and MaybeStored where the database went away and stayed away.
        """
        seal = await self._contents.sealing(tenant)
        return await self._database.idempotent(lambda connection: take(connection, tenant, drafts, seal, now))

    async def repeated(self, tenant: str, submission: Submission) -> Receipt | IdempotencyMismatch | None:
        """The answer that this key was given before, or None where it is new."""
        if submission.idempotency_key is None:
            return None
        rows = await self._database.rows(_KNOWN, {"tenant": tenant, "keys": [submission.idempotency_key]})
        return _answer(rows[0], submission) if rows else None

    async def used(self, tenant: str, keys: Sequence[str]) -> int:
        """How many of these idempotency keys stand for a message."""
        rows = await self._database.rows(_USED, {"tenant": tenant, "keys": list(keys)})
        count: int = rows[0].n
        return count


async def take(
    connection: AsyncConnection, tenant: str, drafts: Sequence[Draft], seal: Seal, now: datetime
) -> Accepted:
    """Store the drafts on this connection, within whatever transaction it is in. `seal` is `Contents.sealing`'s.

    Drafts that are stored already, under their own ids, have the answer that they had then.
    """
    first_of_key: dict[str, Draft] = {}
    for draft in drafts:
        if (key := draft.submission.idempotency_key) is not None:
            first_of_key.setdefault(key, draft)
    fresh = [draft for draft in drafts if _key(draft) is None or first_of_key[_key(draft) or ""] is draft]
    inserted = await connection.execute(_INSERT, {"tenant": tenant, "now": now} | _columns(fresh, seal))
    taken = {row.message_id for row in inserted}
    answer: Accepted = {
        draft.id: Receipt(id=draft.id, status=Status.PENDING, workflow_id=draft.workflow_id)
        for draft in fresh
        if draft.id in taken or _key(draft) is None
    }
    repeated = [draft for draft in drafts if draft.id not in taken and _key(draft) is not None]
    if repeated:
        answer |= await _known(connection, tenant, repeated)
    return answer


async def _known(connection: AsyncConnection, tenant: str, drafts: Sequence[Draft]) -> Accepted:
    keys = sorted({_key(draft) or "" for draft in drafts})
    rows = {row.key: row for row in await connection.execute(_KNOWN, {"tenant": tenant, "keys": keys})}
    return {draft.id: _answer(rows[_key(draft) or ""], draft.submission) for draft in drafts}


def _answer(row: Row[Any], submission: Submission) -> Receipt | IdempotencyMismatch:
    if bytes(row.body_hash) != body_hash(submission):
        return IdempotencyMismatch()
    return Receipt(id=row.id, status=Status(row.status), workflow_id=row.workflow_id)


def body_hash(submission: Submission) -> bytes:
    """A fingerprint of everything the caller asked for, whatever the order of the keys."""
    asked = [
        submission.content.model_dump(mode="json", by_alias=True),
        submission.options.model_dump(mode="json"),
    ]
    return hashlib.sha256(orjson.dumps(asked, option=orjson.OPT_SORT_KEYS)).digest()


def body(content: AnyContent) -> bytes:
    """The content as the ledger keeps it, before it is sealed."""
    return content.model_dump_json(by_alias=True, exclude_defaults=True).encode()


def recipient(content: AnyContent) -> str:
    """The address as the record shows it; a Web Push subscription by its endpoint."""
    to = content.to
    return to if isinstance(to, str) else str(to.get("endpoint", "subscription"))


def _key(draft: Draft) -> str | None:
    return draft.submission.idempotency_key


def _columns(drafts: Sequence[Draft], seal: Seal) -> dict[str, list[Any]]:
    submissions = [draft.submission for draft in drafts]
    options = [submission.options for submission in submissions]
    contents = [draft.ready.content for draft in drafts]
    return {
        "ids": [draft.id for draft in drafts],
        "channels": [content.channel.value for content in contents],
        "recipients": [recipient(content) for content in contents],
        "categories": [option.category.value for option in options],
        "guarantees": [option.guaranteed().value for option in options],
        "presets": [option.preset(content.channel).value for option, content in zip(options, contents, strict=True)],
        "retries": [None if option.retry is None else orjson.dumps(option.retry).decode() for option in options],
        "priorities": [option.priority for option in options],
        "accounts": [option.provider_account for option in options],
        "workflows": [draft.workflow_id for draft in drafts],
        "requests": [draft.request_id for draft in drafts],
        "metadata": [orjson.dumps(option.metadata).decode() for option in options],
        "send_at": [option.send_at for option in options],
        "not_after": [option.not_after for option in options],
        "bodies": [seal(draft.id, body(draft.ready.content)) for draft in drafts],
        "keys": [submission.idempotency_key for submission in submissions],
        "addresses": [fingerprint(Channel(content.channel), content.to) for content in contents],
        "templates": [draft.ready.template for draft in drafts],
        "segments": [segments(content.body or "") if isinstance(content, Sms) else None for content in contents],
        "groups": [draft.group_id for draft in drafts],
        "hashes": [None if submission.idempotency_key is None else body_hash(submission) for submission in submissions],
    }
