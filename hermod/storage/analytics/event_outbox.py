"""Taking events in: many in one row, in the form in which ClickHouse takes them.

A row's body for the table `events` is cut into sections, one for each type, so that whoever inserts it need not read
the lines (`cut`):

    order.paid 2 391\\n                          the type, how many lines, and how many bytes they have
    {"tenant":"demo","type":"order.paid",…}\\n
    {"tenant":"demo","type":"order.paid",…}\\n
    page.view 1 180\\n
    {"tenant":"demo","type":"page.view",…}\\n

For `message_states` it is the lines alone, made by the database itself (see the triggers in migration 0006). Bodies of
`events` are encrypted where the tenant asks for it, bound to their row.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import orjson
from sqlalchemy.ext.asyncio import AsyncConnection

from hermod.contracts.ids import new_id
from hermod.storage.database.engine import Database, sql
from hermod.storage.secrets.contents import Contents, Seal

EVENTS: Final = "events"
MESSAGE_STATES: Final = "message_states"
BODY_BYTES: Final = 1024 * 1024
"""A row holds so much at the most, and one event more."""

_KNOWN_IDS: Final = sql("""
    INSERT INTO event_ids (tenant_id, fingerprint, created_at)
    SELECT :tenant, f, :now FROM unnest(CAST(:fingerprints AS bytea[])) AS f ORDER BY f
    ON CONFLICT DO NOTHING
    RETURNING fingerprint
""")

_ADD: Final = sql("""
    INSERT INTO event_batches (tenant_id, id, sink, events, body, created_at)
    SELECT :tenant, b.id, 'events', b.events, b.body, :now
      FROM unnest(CAST(:ids AS text[]), CAST(:events AS int[]), CAST(:bodies AS bytea[])) AS b(id, events, body)
""")

# What is told of a call outlives its rows, which go as soon as ClickHouse has them.
_ADD_ONCE: Final = sql("""
    WITH first AS (
      INSERT INTO event_ids (tenant_id, fingerprint, created_at) VALUES (:tenant, CAST(:call AS bytea), :now)
      ON CONFLICT DO NOTHING
      RETURNING fingerprint
    )
    INSERT INTO event_batches (tenant_id, id, sink, events, body, created_at)
    SELECT :tenant, b.id, 'events', b.events, b.body, :now
      FROM unnest(CAST(:ids AS text[]), CAST(:events AS int[]), CAST(:bodies AS bytea[])) AS b(id, events, body)
     WHERE EXISTS (SELECT FROM first)
""")

_KNOWN_SINCE: Final = sql("""
    SELECT fingerprint FROM event_ids
     WHERE tenant_id = :tenant AND fingerprint = ANY(CAST(:fingerprints AS bytea[])) AND created_at = :now
""")

_IN_DOUBT: Final = (
    "the database did not answer: the events may be stored all the same; only with an event_id is it safe to repeat"
)

_ONLY_JSON: Final = orjson.OPT_APPEND_NEWLINE | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRow:
    """An event as it will stand in ClickHouse. `properties` are plain JSON, without anything personal in our own."""

    type: str
    occurred_at: datetime
    source: str
    """Who tells it: `api`, `form`, `payment`, `partial` …"""
    event_id: str | None = None
    """With one, the same event of the same source is taken once in seven days, however often it comes."""
    contact: str | None = None
    session: str | None = None
    properties: Mapping[str, Any] = field(default_factory=dict)


class EventLine(NamedTuple):
    """An event on its way: its JSON line, and what tells whether it was there before."""

    type: str
    line: bytes
    fingerprint: bytes | None


async def add(connection: AsyncConnection, tenant: str, rows: Sequence[EventRow], seal: Seal, now: datetime) -> int:
    """Store events within whatever transaction the connection is in; how many of them are new.

    `seal` is `Contents.sealing`'s. The sweeper has them inserted within some twenty seconds of the commit, and
    `starter.analytics.events.Events.look` at once. Raises TypeError where properties are not plain JSON.
    """
    received = clickhouse_time(now)
    lines = [event_line(tenant, row, received) for row in rows]
    return sum(await add_lines(connection, tenant, lines, seal, now))


async def add_lines(
    connection: AsyncConnection, tenant: str, lines: Sequence[EventLine], seal: Seal, now: datetime
) -> list[bool]:
    """`add` for lines that are written already: for each of them, in their order, whether it is new.

    With fingerprints among them, two statements are needed, and so is a transaction around them.
    """
    fresh = await _fresh(connection, tenant, _fingerprints(lines), now)
    added = _new(lines, fresh)
    await _add(connection, tenant, lines, added, seal, now)
    return added


def event_line(tenant: str, row: EventRow, received: str) -> EventLine:
    """`received` is a `clickhouse_time`. Raises TypeError where the properties are not plain JSON."""
    line = orjson.dumps(
        {
            "tenant": tenant,
            "type": row.type,
            "occurred_at": clickhouse_time(row.occurred_at),
            "received_at": received,
            "event_id": row.event_id or "",
            "contact": row.contact or "",
            "session": row.session or "",
            "source": row.source,
            "properties": row.properties if isinstance(row.properties, dict) else dict(row.properties),
        },
        option=_ONLY_JSON,
    )
    return EventLine(row.type, line, None if row.event_id is None else fingerprint(row.source, row.event_id))


def clickhouse_time(at: datetime) -> str:
    """`2026-11-21 10:00:00.123`, which is UTC."""
    return at.astimezone(UTC).isoformat(" ", "milliseconds")[:23]


def fingerprint(source: str, event_id: str) -> bytes:
    """16 bytes. The source is part of it, so that no caller can take the place of an event of our own."""
    return hashlib.blake2b(f"{source}\0{event_id}".encode(), digest_size=16).digest()


def cut(body: bytes) -> Iterator[tuple[str, int, bytes]]:
    """The sections of a body of `events`: the type, how many lines, and the lines."""
    at = 0
    while at < len(body):
        end = body.index(b"\n", at)
        kind, count, size = body[at:end].split(b" ")
        at = end + 1 + int(size)
        yield kind.decode(), int(count), body[end + 1 : at]


def joined(sections: Mapping[str, Sequence[bytes]]) -> bytes:
    """A body of the lines of each type."""
    parts: list[bytes] = []
    for kind, lines in sections.items():
        text = b"".join(lines)
        parts += (f"{kind} {len(lines)} {len(text)}\n".encode(), text)
    return b"".join(parts)


class EventAcceptance:
    """Taking events in outside of anybody's transaction."""

    def __init__(self, database: Database, contents: Contents) -> None:
        self._database = database
        self._contents = contents

    async def take(self, tenant: str, lines: Sequence[EventLine], now: datetime) -> list[bool]:
        """Store them, durably by the time this returns; for each, whether it is new.

        Raises Unavailable, with none stored, and MaybeStored where the database went away and stayed away.
        """
        seal = await self._contents.sealing(tenant)
        call = fingerprint("call", new_id("evb"))
        known = _fingerprints(lines)

        async def work(connection: AsyncConnection) -> list[bool]:
            if not known:
                added = [True] * len(lines)
                await _add(connection, tenant, lines, added, seal, now, call)
                return added
            fresh = await _fresh(connection, tenant, [*known, call], now)
            if call not in fresh:
                return _new(lines, await _known_since(connection, tenant, known, now))
            added = _new(lines, fresh)
            await _add(connection, tenant, lines, added, seal, now)
            return added

        return await self._database.idempotent(work, atomic=bool(known), in_doubt=_IN_DOUBT)


async def _add(
    connection: AsyncConnection,
    tenant: str,
    lines: Sequence[EventLine],
    added: Sequence[bool],
    seal: Seal,
    now: datetime,
    call: bytes | None = None,
) -> None:
    """Store the lines that are to be added. With `call`, nothing where something was stored under that name before."""
    packed = list(_packed([line for line, is_new in zip(lines, added, strict=True) if is_new]))
    if not packed:
        return
    ids = [new_id("evb") for _ in packed]
    bodies = [seal(id, body) for id, (_, body) in zip(ids, packed, strict=True)]
    names = {"tenant": tenant, "ids": ids, "events": [count for count, _ in packed], "bodies": bodies, "now": now}
    if call is None:
        await connection.execute(_ADD, names)
    else:
        await connection.execute(_ADD_ONCE, names | {"call": call})


def _fingerprints(lines: Sequence[EventLine]) -> list[bytes]:
    return sorted({line.fingerprint for line in lines if line.fingerprint is not None})


async def _fresh(connection: AsyncConnection, tenant: str, asked: Sequence[bytes], now: datetime) -> set[bytes]:
    """Those that were not known, and are from now on."""
    if not asked:
        return set()
    rows = await connection.execute(_KNOWN_IDS, {"tenant": tenant, "fingerprints": asked, "now": now})
    return {bytes(row.fingerprint) for row in rows}


async def _known_since(connection: AsyncConnection, tenant: str, asked: Sequence[bytes], now: datetime) -> set[bytes]:
    """Those that are known since the very instant of a call, which are those that were new to it."""
    rows = await connection.execute(_KNOWN_SINCE, {"tenant": tenant, "fingerprints": asked, "now": now})
    return {bytes(row.fingerprint) for row in rows}


def _new(lines: Sequence[EventLine], fresh: set[bytes]) -> list[bool]:
    """For each line, whether it is new, given the fingerprints that are; the first of those that are alike."""
    added = []
    for line in lines:
        added.append(line.fingerprint is None or line.fingerprint in fresh)
        fresh.discard(line.fingerprint or b"")
    return added


def _packed(lines: Sequence[EventLine]) -> Iterator[tuple[int, bytes]]:
    """Bodies with the number of their events, each of about BODY_BYTES at the most."""
    sections: dict[str, list[bytes]] = {}
    count = size = 0
    for line in lines:
        sections.setdefault(line.type, []).append(line.line)
        count, size = count + 1, size + len(line.line)
        if size >= BODY_BYTES:
            yield count, joined(sections)
            sections, count, size = {}, 0, 0
    if count:
        yield count, joined(sections)
