"""Taking events in: the event and its deliveries in one statement, for one event as for many.

The bytes that are signed and sent are made here, once, and stored as they are, or encrypted where the tenant asks for
it:

    {"type": "order.paid", "timestamp": "2026-05-01T12:00:00.123456Z", "data": {…the payload as it was given…}}

Each endpoint's state is read by the statement itself: a delivery to a disabled endpoint is stored as parked, so that
it counts and can be replayed, and one to an endpoint that was deleted in the meantime is not stored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from hermod.contracts.errors import InvalidInput
from hermod.contracts.webhooks.deliveries import MAX_PAYLOAD_BYTES, DeliveryRef, EventInput, EventReceipt
from hermod.storage.database.engine import Database, sql
from hermod.storage.secrets.contents import Contents, Seal

_INSERT: Final = sql("""
    WITH draft AS (
      SELECT * FROM unnest(CAST(:events AS text[]), CAST(:types AS text[]), CAST(:bodies AS bytea[]),
                           CAST(:hashes AS bytea[]), CAST(:keys AS text[]), CAST(:requests AS text[]))
                    AS d(event, type, body, hash, key, request)
    ), taken AS (
      INSERT INTO webhook_events (tenant_id, id, type, body, body_hash, ordering_key, request_id, created_at)
      SELECT :tenant, event, type, body, hash, key, request, :now FROM draft ORDER BY event
      ON CONFLICT DO NOTHING
      RETURNING id, type, request_id
    ), planned AS (
      SELECT p.*, e.enabled FROM unnest(CAST(:ids AS text[]), CAST(:of AS text[]), CAST(:endpoints AS text[]),
                                        CAST(:order_keys AS text[]), CAST(:workflows AS text[]))
                               WITH ORDINALITY AS p(id, event, endpoint, order_key, workflow, place)
        JOIN webhook_endpoints e ON e.tenant_id = :tenant AND e.id = p.endpoint AND e.deleted_at IS NULL
    ), placed AS (
      INSERT INTO webhook_deliveries (tenant_id, id, endpoint_id, event_id, event_type, order_key, status, workflow_id,
                                      request_id, parked_at, finished_at, created_at, updated_at)
      SELECT :tenant, p.id, p.endpoint, t.id, t.type, p.order_key,
             CASE WHEN p.enabled THEN 'pending' ELSE 'parked' END, p.workflow, t.request_id,
             CASE WHEN NOT p.enabled THEN CAST(:now AS timestamptz) END,
             CASE WHEN NOT p.enabled THEN CAST(:now AS timestamptz) END, :now, :now
        FROM planned p JOIN taken t ON t.id = p.event ORDER BY p.place
      RETURNING id, event_id, endpoint_id, status
    )
    SELECT t.id AS event, p.id, p.endpoint_id, p.status FROM taken t LEFT JOIN placed p ON p.event_id = t.id
""")

_KNOWN: Final = sql("""
    SELECT e.id AS event, e.body_hash, d.id, d.endpoint_id, d.status
      FROM webhook_events e
      LEFT JOIN webhook_deliveries d ON d.tenant_id = e.tenant_id AND d.event_id = e.id
     WHERE e.tenant_id = :tenant AND e.id = ANY(:events) ORDER BY d.place
""")

_IN_DOUBT: Final = (
    "the database did not answer: the event may be stored all the same; only with an event_id is it safe to repeat"
)


@dataclass(frozen=True, slots=True)
class PlannedDelivery:
    """A delivery with the ids that it will have."""

    id: str
    endpoint: str
    order_key: str | None
    workflow_id: str


@dataclass(frozen=True, slots=True)
class EventDraft:
    """An event with its id, its bytes (`event_body`), and a delivery for each endpoint that asked for it."""

    id: str
    event: EventInput
    body: bytes
    request_id: str | None
    deliveries: tuple[PlannedDelivery, ...]


@dataclass(frozen=True, slots=True)
class TakenEvent:
    """What became of a draft. `started` are its deliveries that want a workflow now; none where it was known before."""

    receipt: EventReceipt
    started: tuple[PlannedDelivery, ...] = ()


Taken = Sequence[TakenEvent | InvalidInput]
"""In the order of the drafts: the receipt, an earlier one's for a known id, or that the id stands for another event."""


class WebhookAcceptance:
    def __init__(self, database: Database, contents: Contents) -> None:
        self._database = database
        self._contents = contents

    async def take(self, tenant: str, drafts: Sequence[EventDraft], now: datetime) -> Taken:
        """Store the events, durably by the time this returns.

        Raises Unavailable, with nothing stored, and MaybeStored where the database went away and stayed away.
        """
        seal = await self._contents.sealing(tenant)
        return await self._database.idempotent(
            lambda connection: take_events(connection, tenant, drafts, seal, now), in_doubt=_IN_DOUBT
        )


async def take_events(
    connection: AsyncConnection, tenant: str, drafts: Sequence[EventDraft], seal: Seal, now: datetime
) -> Taken:
    """Store the events on this connection, within whatever transaction it is in. `seal` is `Contents.sealing`'s.

    Drafts that are stored already, with deliveries of their own ids, have the answer that they had then.
    """
    first: dict[str, EventDraft] = {}
    for draft in drafts:
        first.setdefault(draft.id, draft)
    fresh = list(first.values())
    columns = {"tenant": tenant, "now": now} | _columns(fresh, seal)
    placed: dict[str, list[Row[Any]]] = {}
    for row in await connection.execute(_INSERT, columns):
        placed.setdefault(row.event, []).append(row)
    answers = {id(draft): _placed(draft, placed[draft.id]) for draft in fresh if draft.id in placed}
    repeated = [draft for draft in drafts if id(draft) not in answers]
    known = await _known(connection, tenant, repeated) if repeated else {}
    return [answers.get(id(draft)) or known[id(draft)] for draft in drafts]


def event_body(event: EventInput, now: datetime) -> bytes:
    """The bytes that are signed and sent. Raises InvalidInput where they are too many."""
    at = now.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    body = orjson.dumps({"type": event.type, "timestamp": at, "data": event.payload})
    if len(body) > MAX_PAYLOAD_BYTES:
        raise InvalidInput.of("payload", f"must be at most {MAX_PAYLOAD_BYTES // 1024} KiB as JSON")
    return body


async def _known(
    connection: AsyncConnection, tenant: str, drafts: Sequence[EventDraft]
) -> dict[int, TakenEvent | InvalidInput]:
    names = {"tenant": tenant, "events": sorted({draft.id for draft in drafts})}
    rows: dict[str, list[Row[Any]]] = {}
    for row in await connection.execute(_KNOWN, names):
        rows.setdefault(row.event, []).append(row)
    return {id(draft): _repeated(draft, rows[draft.id]) for draft in drafts}


def _placed(draft: EventDraft, rows: Sequence[Row[Any]]) -> TakenEvent:
    status = {row.id: row.status for row in rows}
    stored = [planned for planned in draft.deliveries if planned.id in status]
    references = tuple(DeliveryRef(id=planned.id, endpoint_id=planned.endpoint) for planned in stored)
    started = tuple(planned for planned in stored if status[planned.id] == "pending")
    return TakenEvent(EventReceipt(event_id=draft.id, deliveries=references), started)


def _repeated(draft: EventDraft, rows: Sequence[Row[Any]]) -> TakenEvent | InvalidInput:
    if bytes(rows[0].body_hash) != _fingerprint(draft.event):
        return InvalidInput.of("event_id", "this id was used before for another event")
    own = {planned.id for planned in draft.deliveries}
    if own & {row.id for row in rows}:
        return _placed(draft, rows)
    references = tuple(DeliveryRef(id=row.id, endpoint_id=row.endpoint_id) for row in rows if row.id is not None)
    return TakenEvent(EventReceipt(event_id=draft.id, deliveries=references))


def _fingerprint(event: EventInput) -> bytes:
    """Of everything that the caller said, whatever the order of the payload's keys."""
    asked = [event.type, event.payload, event.ordering_key]
    return hashlib.sha256(orjson.dumps(asked, option=orjson.OPT_SORT_KEYS)).digest()


def _columns(drafts: Sequence[EventDraft], seal: Seal) -> dict[str, list[Any]]:
    planned = [(draft, delivery) for draft in drafts for delivery in draft.deliveries]
    return {
        "events": [draft.id for draft in drafts],
        "types": [draft.event.type for draft in drafts],
        "bodies": [seal(draft.id, draft.body) for draft in drafts],
        "hashes": [_fingerprint(draft.event) for draft in drafts],
        "keys": [draft.event.ordering_key for draft in drafts],
        "requests": [draft.request_id for draft in drafts],
        "ids": [delivery.id for _, delivery in planned],
        "of": [draft.id for draft, _ in planned],
        "endpoints": [delivery.endpoint for _, delivery in planned],
        "order_keys": [delivery.order_key for _, delivery in planned],
        "workflows": [delivery.workflow_id for _, delivery in planned],
    }
