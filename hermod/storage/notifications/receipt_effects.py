"""What a report brings about: its message moves on, its address is suppressed or free again, and why is written down.

The rules are `hermod.domain.notifications.receipts`; this applies them to what a transaction has locked.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncConnection

from hermod.contracts.notifications.content import Channel
from hermod.contracts.notifications.messages import Outcome, Status
from hermod.contracts.notifications.receipts import ReceiptEventType
from hermod.contracts.notifications.suppressions import Reason
from hermod.domain.notifications.keywords import Keyword
from hermod.domain.notifications.receipts import (
    REST,
    SOFT_BOUNCES,
    Sign,
    Suppress,
    address_effect,
    next_status,
    status_shown,
)
from hermod.domain.states import PROGRESS
from hermod.storage.database.engine import sql
from hermod.storage.recipients.suppressions import Entry, lift, suppress

_MOVE: Final = sql("""
    UPDATE messages m SET status = c.status, error_code = c.code, error = c.error, provider = c.provider,
           provider_message_id = c.theirs, next_attempt_at = NULL, wait_reason = NULL, failed_run = NULL,
           dead_at = NULL, finished_at = coalesce(m.finished_at, :now), updated_at = :now
      FROM unnest(CAST(:ids AS text[]), CAST(:statuses AS text[]), CAST(:codes AS text[]), CAST(:errors AS text[]),
                  CAST(:providers AS text[]), CAST(:theirs AS text[]))
        AS c(id, status, code, error, provider, theirs)
     WHERE m.tenant_id = :tenant AND m.id = ANY(CAST(:ids AS text[])) AND m.id = c.id
""")

_DECIDE: Final = sql("""
    INSERT INTO decisions (tenant_id, message_id, at, kind, verdict, reason)
    SELECT d.tenant, d.id, :now, d.kind, d.verdict, d.reason
      FROM unnest(CAST(:tenants AS text[]), CAST(:ids AS text[]), CAST(:kinds AS text[]), CAST(:verdicts AS text[]),
                  CAST(:reasons AS text[])) AS d(tenant, id, kind, verdict, reason)
""")

_COUNT: Final = sql("""
    INSERT INTO soft_bounces AS b (tenant_id, channel, address_hash, count, last_at)
    SELECT :tenant, CAST(:channel AS text), f.hash, f.count, :now
      FROM unnest(CAST(:hashes AS bytea[]), CAST(:counts AS int[])) AS f(hash, count)
     ORDER BY f.hash
    ON CONFLICT (tenant_id, channel, address_hash) DO UPDATE SET count = b.count + excluded.count, last_at = :now
    RETURNING address_hash, b.count AS n
""")

_FORGET: Final = sql("""
    DELETE FROM soft_bounces
     WHERE tenant_id = :tenant AND channel = CAST(:channel AS text) AND address_hash IN (
       SELECT address_hash FROM soft_bounces
        WHERE tenant_id = :tenant AND channel = CAST(:channel AS text)
          AND address_hash = ANY(CAST(:hashes AS bytea[]))
          FOR UPDATE SKIP LOCKED)
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """An event of a provider as it is kept."""

    tenant: str
    account: str
    id: str
    kind: ReceiptEventType
    word: str
    code: str | None
    text: str | None
    at: datetime | None
    own: str | None
    """Our id of its message."""
    theirs: str | None
    """The provider's."""
    channel: Channel | None = None
    """The account's; None for a report that waited, whose message tells."""
    address: str | None = None
    hash: bytes | None = None
    asked: Keyword | None = None
    """What an inbound message asks for."""
    heard: bool = False
    """What it says about its address has been acted on."""

    @property
    def alone(self) -> bool:
        """There is no message of ours to look for."""
        return self.kind is ReceiptEventType.INBOUND or (self.own is None and self.theirs is None)

    def words(self) -> str:
        code = f" ({self.code})" if self.code and self.code not in self.word else ""
        return f"{self.account}: {self.word}{code}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A message as it stands, locked. `asked`: account, provider and outcome of each request, in their order."""

    tenant: str
    id: str
    channel: Channel
    status: Status
    address: str
    hash: bytes | None
    provider: str | None
    provider_message_id: str | None
    error_code: str | None
    error: str | None
    asked: tuple[tuple[str, str, str | None], ...]
    soft: bool = False
    """It bounced, and softly: no report says more."""

    def has_unknown_attempt(self) -> bool:
        return any(outcome is None or outcome == Outcome.UNKNOWN for _, _, outcome in self.asked)

    def replaced(self, account: str) -> bool:
        """Whether other accounts accepted the message, and this one did not."""
        accepted = {asked for asked, _, outcome in self.asked if outcome == Outcome.ACCEPTED}
        return bool(accepted) and account not in accepted

    def other_recipient(self, report: Report) -> bool:
        """Whether the report is about somebody in copy. Only a mail has several recipients."""
        return self.channel is Channel.EMAIL and None not in (report.hash, self.hash) and report.hash != self.hash


@dataclass(slots=True)
class _Moving:
    """A message on its way through the reports of one call."""

    found: Found
    status: Status
    code: str | None
    error: str | None
    provider: str | None
    theirs: str | None
    soft: bool
    moved: bool = False

    @classmethod
    def of(cls, found: Found) -> _Moving:
        answer = (found.error_code, found.error, found.provider, found.provider_message_id)
        return cls(found, found.status, *answer, found.soft)

    def follow(self, report: Report) -> bool:
        """Whether the report moves the message."""
        found = self.found
        shown = status_shown(
            report.kind, other_recipient=found.other_recipient(report), replaced=found.replaced(report.account)
        )
        soft = report.kind is ReceiptEventType.SOFT_BOUNCED
        new = next_status(
            self.status, shown, has_unknown_attempt=found.has_unknown_attempt(), soft=soft, was_soft=self.soft
        )
        if shown is Status.BOUNCED:
            self.soft = soft and (self.soft or new is Status.BOUNCED)
        if new is None:
            return False
        if self.status not in PROGRESS:
            # Until now another account may have been the last one asked; it is this one that took it.
            self.code = self.error = None
            self.provider = next((one for name, one, _ in found.asked if name == report.account), self.provider)
            self.theirs = report.theirs or self.theirs
        if new is Status.BOUNCED:
            self.code, self.error = report.code or report.word, report.text or report.word
        elif new is not Status.COMPLAINED:
            self.code = self.error = None
        self.status, self.moved = new, True
        return True


@dataclass(slots=True)
class _Story:
    """The decisions that are to be written."""

    rows: list[tuple[str, str, str, str, str]] = field(default_factory=list)

    def add(self, found: Found, kind: str, verdict: str, reason: str) -> None:
        self.rows.append((found.tenant, found.id, kind, verdict, reason))


async def act(connection: AsyncConnection, reports: Sequence[tuple[Report, Found | None]], now: datetime) -> None:
    """Do what the reports ask for, within the caller's transaction, which holds the locks of the messages."""
    story = _Story()
    await _move(connection, reports, story, now)
    heard: defaultdict[tuple[str, Channel], list[tuple[Report, Found | None]]] = defaultdict(list)
    for report, found in reports:
        channel = report.channel or (found.channel if found else None)
        if channel is not None and not report.heard:
            heard[report.tenant, channel].append((report, found))
    for (tenant, channel), said in sorted(heard.items()):
        await _Addresses(connection, tenant, channel, story, now).hear(said)
    if story.rows:
        names = ("tenants", "ids", "kinds", "verdicts", "reasons")
        columns: dict[str, Any] = {
            name: list(column) for name, column in zip(names, zip(*story.rows, strict=True), strict=True)
        }
        await connection.execute(_DECIDE, columns | {"now": now})


async def _move(
    connection: AsyncConnection, reports: Sequence[tuple[Report, Found | None]], story: _Story, now: datetime
) -> None:
    moving: defaultdict[str, dict[str, _Moving]] = defaultdict(dict)
    for report, found in reports:
        if found is None:
            continue
        message = moving[found.tenant].get(found.id) or _Moving.of(found)
        moving[found.tenant][found.id] = message
        if message.follow(report):
            story.add(found, "receipt", message.status.value, report.words())
    for tenant, messages in moving.items():
        moved = [message for message in messages.values() if message.moved]
        names = {
            "tenant": tenant,
            "ids": [message.found.id for message in moved],
            "statuses": [message.status.value for message in moved],
            "codes": [message.code for message in moved],
            "errors": [message.error for message in moved],
            "providers": [message.provider for message in moved],
            "theirs": [message.theirs for message in moved],
            "now": now,
        }
        if moved:
            await connection.execute(_MOVE, names)


class _Addresses:
    """What the reports of one tenant and channel say about addresses, in the order in which they say it."""

    def __init__(
        self, connection: AsyncConnection, tenant: str, channel: Channel, story: _Story, now: datetime
    ) -> None:
        self._connection = connection
        self._names = {"tenant": tenant, "channel": channel.value}
        self._tenant = tenant
        self._channel = channel
        self._story = story
        self._now = now
        self._pending: list[tuple[Entry, Report, Found | None]] = []

    async def hear(self, said: Sequence[tuple[Report, Found | None]]) -> None:
        soft: Counter[bytes] = Counter()
        alive: set[bytes] = set()
        last: dict[bytes, tuple[Report, Found | None]] = {}
        for report, found in said:
            hash_ = report.hash or (found.hash if found else None)
            meaning = address_effect(report.kind, self._channel, report.asked)
            if hash_ is None or meaning is None:
                continue
            if isinstance(meaning, Suppress):
                self._pending.append((self._entry(meaning, hash_, report, found), report, found))
            elif meaning is Sign.WANTS_AGAIN:
                await self._write()
                await lift(self._connection, self._tenant, self._channel, [hash_], report.account, self._now)
            elif meaning is Sign.ALIVE:
                alive.add(hash_)
                soft.pop(hash_, None)
            elif not (found is not None and found.status is Status.DELIVERED):
                soft[hash_] += 1
                last[hash_] = (report, found)
        await self._forget(alive)
        await self._rest(soft, last)
        await self._write()

    def _entry(self, meaning: Suppress, hash_: bytes, report: Report, found: Found | None) -> Entry:
        return Entry(
            hash=hash_,
            address=report.address or (found.address if found else None),
            channel=self._channel,
            category=meaning.category,
            reason=meaning.reason,
            source=report.account,
            detail=report.code or report.word,
            expires_at=self._now + REST if meaning.reason is Reason.SOFT_BOUNCES else None,
        )

    async def _write(self) -> None:
        """Write the suppressions gathered so far, and into the stories of the messages that brought them about."""
        pending, self._pending = self._pending, []
        rows = await suppress(self._connection, self._tenant, [entry for entry, _, _ in pending], self._now)
        written = {(bytes(row.address_hash), row.channel, row.category) for row in rows}
        for entry, report, found in pending:
            if found is not None and entry.key in written:
                self._story.add(found, "suppression", entry.reason.value, report.words())

    async def _forget(self, hashes: set[bytes]) -> None:
        """End the rows of soft bounces of these addresses."""
        if hashes:
            await self._connection.execute(_FORGET, self._names | {"hashes": sorted(hashes)})

    async def _rest(self, soft: Counter[bytes], last: dict[bytes, tuple[Report, Found | None]]) -> None:
        """Count soft bounces; too many in a row, and the address rests for a while, then begins anew."""
        if not soft:
            return
        names = {"hashes": list(soft), "counts": list(soft.values()), "now": self._now}
        rows = await self._connection.execute(_COUNT, self._names | names)
        tired = {bytes(row.address_hash) for row in rows if row.n >= SOFT_BOUNCES}
        for hash_ in sorted(tired):
            report, found = last[hash_]
            self._pending.append((self._entry(Suppress(Reason.SOFT_BOUNCES), hash_, report, found), report, found))
        await self._forget(tired)
