"""What IngestEvents does: takes acknowledged rows, has ClickHouse add them, and lets go of them.

PostgreSQL lets go of a row only after ClickHouse has it. Whatever is lost in between is repeated with the same rows and
the same tokens, and ClickHouse adds nothing twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from temporalio import activity

from activities import errors
from activities.analytics.event_inserts import Insert, Part, halves, part_token, planned
from activities.heartbeat import current_heartbeat
from hermod.contracts.analytics.events import IngestInput, IngestReport
from hermod.contracts.errors import Unavailable
from hermod.ports.analytics import Claimed, EventOutbox, EventSink, Refused, RefusedLines
from hermod.telemetry import EVENTS_REFUSED, get_logger

AT_ONCE: Final = 4
"""Inserts of one round under way."""
MOST_SEARCHED: Final = 200
"""Refusals that are looked into for the very lines, in one try; beyond that, whole pieces are set aside."""

_log = get_logger(__name__)


class EventActivities:
    def __init__(self, outbox: EventOutbox, sink: EventSink) -> None:
        self._outbox = outbox
        self._sink = sink

    @activity.defn(name="ingest_events")
    async def ingest_events(self, order: IngestInput) -> IngestReport:
        claimed = await self._outbox.claim(order.tenant, order.insert, current_heartbeat().now())
        inserts = planned(claimed)
        refused = await _Round(self._outbox, self._sink, order.tenant, claimed.apart).insert(inserts)
        more = await self._let_go(order.tenant, claimed, refused)
        events = sum(batch.events for batch in claimed.batches)
        return IngestReport(events=events, inserts=len(inserts), more=more)

    async def _let_go(self, tenant: str, claimed: Claimed, refused: Sequence[RefusedLines]) -> bool:
        if not claimed.batches:
            return False
        more = await self._outbox.done(tenant, [batch.id for batch in claimed.batches], refused)
        for one in refused:
            EVENTS_REFUSED.labels(one.table).inc(one.lines.count(b"\n"))
            names = {"tenant": tenant, "batch": one.batch, "type": one.type, "events": one.lines.count(b"\n")}
            _log.error("events_set_aside", reason=one.reason, **names)
        return more


class _Round:
    """The inserts of one round, and the search for what is wrong where ClickHouse refuses one."""

    def __init__(self, outbox: EventOutbox, sink: EventSink, tenant: str, apart: frozenset[str]) -> None:
        self._outbox = outbox
        self._sink = sink
        self._tenant = tenant
        self._apart = apart
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._searched = 0

    async def insert(self, inserts: Sequence[Insert]) -> list[RefusedLines]:
        """What ClickHouse cannot take of them; it has the rest. All are brought to an end before one's error counts."""
        results = await asyncio.gather(*(self._one(insert) for insert in inserts), return_exceptions=True)
        refused: list[RefusedLines] = []
        for result in results:
            if isinstance(result, BaseException):
                raise result
            refused += result
        return refused

    async def _one(self, insert: Insert) -> list[RefusedLines]:
        async with self._turns:
            if insert.token not in self._apart:
                if await self._add(insert.table, insert.lines, insert.token) is None:
                    return []
                await self._part(insert.parts[0].batch, insert.token)
            found = [await self._search(insert.table, part) for part in insert.parts]
            return [one for one in found if one is not None]

    async def _search(self, table: str, part: Part) -> RefusedLines | None:
        """Insert a part, in halves where it is refused, down to the lines that ClickHouse cannot take."""
        pieces, bad, reason = [part.lines], [], ""
        while pieces:
            piece = pieces.pop()
            token = part_token(table, part, piece)
            if token in self._apart:
                pieces += reversed(halves(piece))
            elif (refusal := await self._add(table, piece, token)) is not None:
                if piece.count(b"\n") > 1 and self._searched < MOST_SEARCHED:
                    self._searched += 1
                    await self._part(part.batch, token)
                    pieces += reversed(halves(piece))
                else:
                    bad.append(piece)
                    reason = refusal
        return RefusedLines(part.batch, table, part.type, b"".join(bad), reason) if bad else None

    async def _add(self, table: str, lines: bytes, token: str) -> str | None:
        """Why ClickHouse cannot take them, where that is so."""
        try:
            await self._sink.insert(table, lines, token=token)
        except Unavailable as error:
            raise errors.clickhouse_unavailable(str(error)) from None
        except Refused as error:
            return str(error)
        return None

    async def _part(self, batch: str, token: str) -> None:
        """From here on a repeat must not try them together: some of them may be there already."""
        await self._outbox.part(self._tenant, batch, token)
