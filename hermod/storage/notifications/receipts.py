"""What providers report back: kept once each, matched with its message, and acted on.

A report may come before the outcome of its own request is recorded, or before the provider's id of its message is. It
waits then, and is due again after half a minute, a minute, two, and so on, for a day; `settle` looks every minute.
Locks on messages are never waited for (`SKIP LOCKED`): whoever comes second looks again, so no two writers can wait for
each other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import Row
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from hermod.contracts.errors import InvalidInput, Unavailable
from hermod.contracts.notifications.content import Channel
from hermod.contracts.notifications.messages import Status
from hermod.contracts.notifications.receipts import ReceiptEventType, SettleReport
from hermod.domain.notifications.keywords import keyword
from hermod.domain.notifications.recipients import as_reported, bare, fingerprint
from hermod.ports.notifications.receipts import Event, Taken
from hermod.storage.database.apart import store_apart
from hermod.storage.database.engine import Database, sql
from hermod.storage.notifications.receipt_effects import Found, Report, act
from hermod.telemetry import fault, get_logger

LOOK_AGAIN: Final = timedelta(seconds=30)
GIVE_UP: Final = timedelta(hours=24)
AT_ONCE: Final = 1_000
AT_MOST: Final = 20_000
"""Reports looked at in one pass; the next one comes in a minute."""
EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
MOST_AHEAD: Final = timedelta(days=1)
"""So far may a provider's clock be off."""
_LONGEST_NAME: Final = 200
_LONGEST_TEXT: Final = 300

_MATCH: Final = sql("""
    SELECT e.n, coalesce(own.id, theirs.id, late.id) AS message
      FROM unnest(CAST(:tenants AS text[]), CAST(:accounts AS text[]), CAST(:own AS text[]), CAST(:theirs AS text[]),
                  CAST(:hashes AS bytea[])) WITH ORDINALITY AS e(tenant, account, own, theirs, hash, n)
      LEFT JOIN LATERAL (
        SELECT m.id FROM messages m WHERE m.tenant_id = e.tenant AND m.id = e.own LIMIT 1
      ) AS own ON true
      LEFT JOIN LATERAL (
        SELECT m.id FROM messages m
         WHERE own.id IS NULL AND m.tenant_id = e.tenant AND m.provider_message_id = e.theirs
           AND m.provider_message_id IS NOT NULL
           AND EXISTS (SELECT 1 FROM attempts a
                        WHERE a.tenant_id = m.tenant_id AND a.message_id = m.id AND a.account = e.account)
         ORDER BY (m.address_hash = e.hash) DESC NULLS LAST, m.id DESC
         LIMIT 1
      ) AS theirs ON true
      LEFT JOIN LATERAL (
        SELECT a.message_id AS id FROM attempts a
         WHERE own.id IS NULL AND theirs.id IS NULL AND a.tenant_id = e.tenant
           AND a.late_provider_message_id = e.theirs AND a.late_provider_message_id IS NOT NULL
           AND a.account = e.account
         ORDER BY a.message_id DESC LIMIT 1
      ) AS late ON true
     WHERE own.id IS NOT NULL OR theirs.id IS NOT NULL OR late.id IS NOT NULL
""")
"""A provider's id counts only at an account that was asked to send the message: another one may use the same number. A
message has the id of the request that it stands on; one that was answered late has its own.
The limits keep the planner from joining with the whole table, whatever its statistics say."""

_LOCK: Final = sql("""
    SELECT m.tenant_id, m.id, m.channel, m.status, m.recipient, m.address_hash, m.provider, m.provider_message_id,
           m.error_code, m.error,
           (SELECT json_agg(json_build_array(a.account, a.provider, a.outcome) ORDER BY a.number) FROM attempts a
             WHERE a.tenant_id = m.tenant_id AND a.message_id = m.id) AS asked,
           m.status = 'bounced' AND NOT EXISTS (
             SELECT 1 FROM receipts r WHERE r.tenant_id = m.tenant_id AND r.message_id = m.id
                AND r.kind IN ('bounced', 'failed', 'suppressed', 'unregistered')
                AND (m.channel <> 'email' OR r.address_hash IS NULL OR r.address_hash = m.address_hash)) AS soft
      FROM messages m
     WHERE m.tenant_id = :tenant AND m.id = ANY(CAST(:ids AS text[])) AND m.status <> 'sending'
       FOR NO KEY UPDATE OF m SKIP LOCKED
""")

_INSERT: Final = sql("""
    INSERT INTO receipts (tenant_id, account, event_id, kind, word, message_id, provider_message_id, address_hash, code,
                          text, occurred_at, received_at, place, settled_at, look_at)
    SELECT :tenant, CAST(:account AS text), e.id, e.kind, e.word, e.message, e.theirs, e.hash, e.code, e.text, e.at,
           :now, e.place, CASE WHEN e.settled THEN CAST(:now AS timestamptz) END,
           CASE WHEN NOT e.settled THEN CAST(:now AS timestamptz) END
      FROM unnest(CAST(:ids AS text[]), CAST(:kinds AS text[]), CAST(:words AS text[]), CAST(:messages AS text[]),
                  CAST(:theirs AS text[]), CAST(:hashes AS bytea[]), CAST(:codes AS text[]), CAST(:texts AS text[]),
                  CAST(:times AS timestamptz[]), CAST(:settled AS bool[]))
        WITH ORDINALITY AS e(id, kind, word, message, theirs, hash, code, text, at, settled, place)
     ORDER BY e.id
    ON CONFLICT DO NOTHING
    RETURNING event_id
""")

_UNSETTLED: Final = sql("""
    SELECT * FROM receipts WHERE settled_at IS NULL AND look_at <= :now
     ORDER BY look_at, received_at, place LIMIT CAST(:limit AS int) FOR UPDATE SKIP LOCKED
""")

# One whose message has been dropped since is nobody's any more, and goes with the others of that kind.
_LOOKED: Final = sql("""
    UPDATE receipts r SET message_id = l.message, look_at = l.look_at,
           settled_at = CASE WHEN l.look_at IS NULL THEN CAST(:now AS timestamptz) END
      FROM unnest(CAST(:tenants AS text[]), CAST(:accounts AS text[]), CAST(:ids AS text[]), CAST(:messages AS text[]),
                  CAST(:looks AS timestamptz[])) AS l(tenant, account, id, message, look_at)
     WHERE r.tenant_id = l.tenant AND r.account = l.account AND r.event_id = l.id
""")


_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a report belongs: the message's id, and the message itself unless it is under way or in other hands."""

    message: str | None = None
    found: Found | None = None


class Receipts:
    """Implements `hermod.ports.notifications.receipts.ReceiptStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def take(self, tenant: str, account: str, channel: Channel, events: Sequence[Event], now: datetime) -> Taken:
        reports: dict[str, Report] = {}
        for event in events:
            report = _report(tenant, account, channel, event, now)
            reports.setdefault(report.id, report)
        if not reports:
            return Taken(new=0, repeated=0)

        async def keep(some: Sequence[Report]) -> list[bool]:
            """For each, whether it is new."""
            async with self._database.begin() as connection:
                placed = await _placed(connection, some)
                rows = await connection.execute(_INSERT, _kept(tenant, account, placed, now))
                new = {row.event_id for row in rows}
                await act(connection, [(report, place.found) for report, place in placed if report.id in new], now)
            return [report.id in new for report in some]

        answers = await store_apart(keep, list(reports.values()))
        for report, answer in zip(reports.values(), answers, strict=True):
            if isinstance(answer, InvalidInput):
                # It will never be storable, and nobody else's call is refused for it.
                _log.error("report_not_kept", tenant=tenant, account=account, event_id=report.id, error=str(answer))
            elif isinstance(answer, Exception):
                raise answer  # what is our own fault gets no answer: the provider repeats the call
        new = answers.count(True)
        return Taken(new=new, repeated=len(events) - new)

    async def settle(self, now: datetime) -> SettleReport:
        total, most = SettleReport(), AT_ONCE
        looked = 0
        while looked < AT_MOST:
            try:
                report, rows = await self._settle_some(now, most)
            except (Unavailable, DBAPIError):
                raise  # it is no report's fault
            except Exception as error:  # noqa: BLE001 - whatever it is, it is somebody's
                # One of these is at fault: one by one, until that one is found and given up.
                if most == 1:
                    await self._give_up_first(now, error)
                most, looked = 1, looked + 1
                continue
            total = SettleReport(
                settled=total.settled + report.settled,
                waiting=total.waiting + report.waiting,
                given_up=total.given_up + report.given_up,
            )
            looked += rows
            if rows < most:
                break
            most = min(2 * most, AT_ONCE)
        return total

    async def _settle_some(self, now: datetime, most: int) -> tuple[SettleReport, int]:
        """What became of so many reports, and how many there were."""
        async with self._database.begin() as connection:
            rows = (await connection.execute(_UNSETTLED, {"now": now, "limit": most})).all()
            if not rows:
                return SettleReport(), 0
            placed = await _placed(connection, [_read(row) for row in rows])
            looks = [_next_look(row, place, now) for row, (_, place) in zip(rows, placed, strict=True)]
            await connection.execute(_LOOKED, _looked(placed, looks, now))
            found = [(report, place.found) for report, place in placed if place.found is not None]
            await act(connection, found, now)
        gone = looks.count(None)
        report = SettleReport(settled=len(found), waiting=len(looks) - gone, given_up=gone - len(found))
        return report, len(rows)

    async def _give_up_first(self, now: datetime, error: Exception) -> None:
        """The report that is next cannot be acted on: it is kept, and nothing comes of it."""
        async with self._database.begin() as connection:
            rows = (await connection.execute(_UNSETTLED, {"now": now, "limit": 1})).all()
            for row in rows:
                _log.error("report_not_settled", tenant=row.tenant_id, event_id=row.event_id, **fault(error))
                key = {"tenants": [row.tenant_id], "accounts": [row.account], "ids": [row.event_id]}
                await connection.execute(_LOOKED, key | {"now": now, "messages": [row.message_id], "looks": [None]})


def _report(tenant: str, account: str, channel: Channel, event: Event, now: datetime) -> Report:
    address = None if not event.address else as_reported(channel, _plain(event.address, 4096))
    inbound = event.kind is ReceiptEventType.INBOUND
    asked = keyword(event.words) if inbound and event.words else None
    return Report(
        tenant=tenant,
        account=account,
        id=_plain(event.id, _LONGEST_NAME),
        kind=event.kind,
        word=_plain(event.word, _LONGEST_NAME),
        code=asked.value if asked else _short(event.code),
        # What somebody wrote to us is theirs: of an inbound message only the keyword is kept.
        text=None if inbound or event.text is None else _plain(event.text, _LONGEST_TEXT),
        at=_plausible(event.at, now),
        own=_short(event.message_id),
        theirs=_short(event.provider_message_id),
        channel=channel,
        address=address,
        hash=None if address is None else fingerprint(channel, address),
        asked=asked,
    )


def _plausible(at: datetime | None, now: datetime) -> datetime:
    """When it happened; the time it came, where a provider names one that cannot be."""
    return at if at is not None and EARLIEST < at < now + MOST_AHEAD else now


def _read(row: Row[Any]) -> Report:
    """A report that waited. Where its address was known at once, what it says about that has been acted on."""
    return Report(
        tenant=row.tenant_id,
        account=row.account,
        id=row.event_id,
        kind=ReceiptEventType(row.kind),
        word=row.word,
        code=row.code,
        text=row.text,
        at=row.occurred_at,
        own=row.message_id,
        theirs=row.provider_message_id,
        hash=None if row.address_hash is None else bytes(row.address_hash),
        heard=row.address_hash is not None,
    )


async def _placed(connection: AsyncConnection, reports: Sequence[Report]) -> list[tuple[Report, _Place]]:
    """Each report with its place. The messages found are locked for the rest of the transaction."""
    names = {
        "tenants": [report.tenant for report in reports],
        "accounts": [report.account for report in reports],
        "own": [report.own for report in reports],
        "theirs": [None if report.alone else report.theirs for report in reports],
        "hashes": [report.hash for report in reports],
    }
    matched = {row.n - 1: row.message for row in await connection.execute(_MATCH, names)}
    wanted: defaultdict[str, set[str]] = defaultdict(set)
    for place, message in matched.items():
        wanted[reports[place].tenant].add(message)
    found: dict[tuple[str, str], Found] = {}
    for tenant, ids in sorted(wanted.items()):
        rows = await connection.execute(_LOCK, {"tenant": tenant, "ids": sorted(ids)})
        found |= {(tenant, row.id): _found(row) for row in rows}
    places = []
    for place, report in enumerate(reports):
        message = matched.get(place)
        places.append((report, _Place(message, found.get((report.tenant, message)) if message else None)))
    return places


def _found(row: Row[Any]) -> Found:
    channel = Channel(row.channel)
    return Found(
        tenant=row.tenant_id,
        id=row.id,
        channel=channel,
        status=Status(row.status),
        address=bare(channel, row.recipient),
        hash=None if row.address_hash is None else bytes(row.address_hash),
        provider=row.provider,
        provider_message_id=row.provider_message_id,
        error_code=row.error_code,
        error=row.error,
        soft=row.soft,
        asked=tuple((account, provider, outcome) for account, provider, outcome in row.asked or ()),
    )


def _kept(tenant: str, account: str, placed: Sequence[tuple[Report, _Place]], now: datetime) -> dict[str, Any]:
    return {
        "tenant": tenant,
        "account": account,
        "now": now,
        "ids": [report.id for report, _ in placed],
        "kinds": [report.kind.value for report, _ in placed],
        "words": [report.word for report, _ in placed],
        "messages": [place.message for _, place in placed],
        "theirs": [report.theirs for report, _ in placed],
        "hashes": [report.hash or (place.found.hash if place.found else None) for report, place in placed],
        "codes": [report.code for report, _ in placed],
        "texts": [report.text for report, _ in placed],
        "times": [report.at for report, _ in placed],
        "settled": [report.alone or place.found is not None for report, place in placed],
    }


def _next_look(row: Row[Any], place: _Place, now: datetime) -> datetime | None:
    """When to look again, or None where there is nothing more to wait for."""
    waited: timedelta = now - row.received_at
    if place.found is not None or waited >= GIVE_UP:
        return None
    last: datetime = row.received_at + GIVE_UP
    return min(now + max(waited, LOOK_AGAIN), last)


def _looked(placed: Sequence[tuple[Report, _Place]], looks: Sequence[datetime | None], now: datetime) -> dict[str, Any]:
    return {
        "now": now,
        "tenants": [report.tenant for report, _ in placed],
        "accounts": [report.account for report, _ in placed],
        "ids": [report.id for report, _ in placed],
        "messages": [place.message for _, place in placed],
        "looks": list(looks),
    }


def _short(text: str | None) -> str | None:
    return _plain(text, _LONGEST_NAME) or None if text is not None else None


def _plain(text: str, longest: int) -> str:
    """Text that PostgreSQL takes, whatever a provider wrote."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode()[:longest]
