"""What push services say about tokens, kept until it is clear what it means. The rules are
`hermod.domain.notifications.dead_tokens`.

Implements `hermod.ports.notifications.hygiene.AddressFeedback` for the push channel. Suspects are kept by account and
fingerprint, also for tokens that belong to no contact: it is their number that tells a wrong account from a dead token.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from hermod.contracts.notifications.content import Channel
from hermod.contracts.notifications.devices import DeviceReport
from hermod.contracts.notifications.outcomes import Fault
from hermod.domain.backoff import probe_wait
from hermod.domain.notifications.dead_tokens import is_mass, is_wrong_account
from hermod.domain.notifications.recipients import fingerprint
from hermod.domain.notifications.routing import HALTED
from hermod.ports.notifications.hygiene import Refused
from hermod.ports.notifications.ledger import Accounts
from hermod.storage.database.engine import Database, sql
from hermod.telemetry import get_logger

WINDOW: Final = timedelta(days=7)
"""How long an account's acceptances are counted together, before the count begins anew."""
FORGOTTEN: Final = timedelta(days=30)
"""A suspect that nobody wrote to for so long is forgotten."""
COUNT_EVERY: Final = 1.0
"""Seconds for which acceptances are only counted in memory: one row per account must not be everybody's bottleneck."""

_log = get_logger(__name__)

_TALLY: Final = sql("""
    INSERT INTO push_tallies AS t (tenant_id, account, accepted, since, last_accepted_at)
    VALUES (:tenant, CAST(:account AS text), CAST(:accepted AS bigint), :now,
            CASE WHEN CAST(:accepted AS bigint) > 0 THEN CAST(:now AS timestamptz) END)
    ON CONFLICT (tenant_id, account) DO UPDATE
       SET accepted = excluded.accepted + CASE WHEN t.since < CAST(:until AS timestamptz) THEN 0 ELSE t.accepted END,
           since = CASE WHEN t.since < CAST(:until AS timestamptz) THEN excluded.since ELSE t.since END,
           last_accepted_at = greatest(t.last_accepted_at, excluded.last_accepted_at)
    RETURNING last_accepted_at
""")

_SUSPECT: Final = sql("""
    WITH suspects AS (
      INSERT INTO suspect_tokens AS s (tenant_id, account, token_hash, since, last_at, confirmed)
      SELECT :tenant, CAST(:account AS text), f.hash, :now, :now, false
        FROM unnest(CAST(:hashes AS bytea[])) AS f(hash) ORDER BY f.hash
      ON CONFLICT (tenant_id, account, token_hash) DO UPDATE
         SET last_at = excluded.last_at,
             confirmed = s.confirmed OR coalesce(CAST(:worked AS timestamptz) >= s.since, false)
    )
    UPDATE devices SET suspect_since = :now
     WHERE tenant_id = :tenant AND token_hash = ANY(CAST(:hashes AS bytea[])) AND removed_at IS NULL
       AND suspect_since IS NULL
""")

_IN_A_ROW: Final = sql("""
    SELECT count(*) AS n FROM suspect_tokens
     WHERE tenant_id = :tenant AND account = CAST(:account AS text)
       AND (CAST(:worked AS timestamptz) IS NULL OR last_at > CAST(:worked AS timestamptz))
""")

_UNREGISTERED: Final = sql("""
    UPDATE devices SET removed_at = :now, removed_reason = 'unregistered', suspect_since = NULL
     WHERE tenant_id = :tenant AND token_hash = ANY(CAST(:hashes AS bytea[])) AND removed_at IS NULL
""")

_UNREGISTERED_BY_RECEIPT: Final = sql("""
    UPDATE devices d SET removed_at = :now, removed_reason = 'unregistered', suspect_since = NULL
      FROM messages m
     WHERE m.tenant_id = :tenant AND m.provider_message_id = ANY(CAST(:theirs AS text[]))
       AND m.provider_message_id IS NOT NULL AND m.channel = 'push'
       AND d.tenant_id = m.tenant_id AND d.token_hash = m.address_hash AND d.removed_at IS NULL
       AND d.seen_at <= coalesce(m.finished_at, m.updated_at)
""")
"""A receipt tells of the time when the message was sent: an app that came back since then is there."""

_HALT: Final = sql("""
    WITH decided AS (
      INSERT INTO decisions (tenant_id, message_id, at, kind, verdict, reason)
      SELECT :tenant, m.id, :now, 'account', 'halted', :reason FROM unnest(CAST(:messages AS text[])) AS m(id)
    )
    INSERT INTO audit (tenant_id, at, actor, action, subject, detail)
    VALUES (:tenant, :now, 'hermod', 'account.halt', CAST(:account AS text), jsonb_build_object('reason', :reason))
""")

_FORGET: Final = sql("""
    WITH gone AS (DELETE FROM suspect_tokens WHERE last_at < :until RETURNING tenant_id, token_hash)
    UPDATE devices d SET suspect_since = NULL FROM gone
     WHERE d.tenant_id = gone.tenant_id AND d.token_hash = gone.token_hash AND d.suspect_since < :until
""")

_CONFIRMED: Final = sql("""
    SELECT s.tenant_id, s.account, count(*) AS suspects, t.accepted
      FROM suspect_tokens s JOIN push_tallies t USING (tenant_id, account)
     WHERE s.confirmed
     GROUP BY s.tenant_id, s.account, t.accepted
""")

_REMOVE: Final = sql("""
    WITH gone AS (
      DELETE FROM suspect_tokens s USING push_tallies t
       WHERE s.tenant_id = :tenant AND s.account = CAST(:account AS text) AND s.confirmed
         AND t.tenant_id = s.tenant_id AND t.account = s.account AND t.last_accepted_at >= s.since
      RETURNING s.token_hash
    )
    UPDATE devices SET removed_at = :now, removed_reason = 'wrong_token', suspect_since = NULL
     WHERE tenant_id = :tenant AND token_hash IN (SELECT token_hash FROM gone) AND removed_at IS NULL
""")


class DeadTokens:
    """`accounts`: where an account is made to rest."""

    def __init__(
        self, database: Database, accounts: Accounts, *, seconds: Callable[[], float] = time.monotonic
    ) -> None:
        self._database = database
        self._accounts = accounts
        self._seconds = seconds
        self._uncounted: dict[tuple[str, str], int] = {}
        self._counted_at: dict[tuple[str, str], float] = {}

    async def learn(
        self, tenant: str, channel: Channel, account: str, refused: Sequence[Refused], accepted: int, now: datetime
    ) -> None:
        if channel is not Channel.PUSH:
            return
        gone = [fingerprint(channel, one.to) for one in refused if one.fault is Fault.UNREGISTERED]
        wrong = [one for one in refused if one.fault is Fault.WRONG_TOKEN]
        if gone:
            await self._database.execute(_UNREGISTERED, {"tenant": tenant, "hashes": gone, "now": now})
        if not wrong:
            await self._count(tenant, account, accepted, now)
            return
        in_a_row = await self._suspect(tenant, account, [fingerprint(channel, one.to) for one in wrong], accepted, now)
        if is_wrong_account(in_a_row):
            await self._halt(tenant, account, [one.message for one in wrong], in_a_row, now)

    async def unregister(self, tenant: str, theirs: Sequence[str], now: datetime) -> None:
        """Remove the devices to which these messages (the provider's ids) went: their receipts call them gone."""
        names = {"tenant": tenant, "theirs": list(theirs), "now": now}
        await self._database.execute(_UNREGISTERED_BY_RECEIPT, names)

    async def sweep(self, now: datetime, *, beat: Callable[[], None]) -> DeviceReport:
        """Remove the devices of confirmed suspects, where they are few. Looks at all tenants."""
        await self._database.execute(_FORGET, {"until": now - FORGOTTEN})
        removed = kept = 0
        for row in await self._database.rows(_CONFIRMED, {}):
            beat()
            if is_mass(row.suspects, row.accepted):
                kept += row.suspects
                _log.warning("suspects_kept", tenant=row.tenant_id, account=row.account, suspects=row.suspects)
                continue
            names = {"tenant": row.tenant_id, "account": row.account, "now": now}
            removed += await self._database.execute(_REMOVE, names)
        return DeviceReport(removed=removed, kept=kept)

    async def _count(self, tenant: str, account: str, accepted: int, now: datetime) -> None:
        key, seconds = (tenant, account), self._seconds()
        uncounted = self._uncounted.pop(key, 0) + accepted
        if not uncounted:
            return
        if key in self._counted_at and seconds - self._counted_at[key] < COUNT_EVERY:
            self._uncounted[key] = uncounted
            return
        self._counted_at[key] = seconds
        await self._database.execute(_TALLY, _tally(tenant, account, uncounted, now))

    async def _suspect(self, tenant: str, account: str, hashes: Sequence[bytes], accepted: int, now: datetime) -> int:
        """How many different tokens were refused since the account last accepted anything, these included."""
        accepted += self._uncounted.pop((tenant, account), 0)
        async with self._database.begin() as connection:
            # The tally's row is the account's lock: whoever comes second sees what the first one wrote.
            worked = (await connection.execute(_TALLY, _tally(tenant, account, accepted, now))).scalar_one()
            names = {"tenant": tenant, "account": account, "worked": worked}
            await connection.execute(_SUSPECT, names | {"hashes": sorted(set(hashes)), "now": now})
            return await _count_of(connection, names)

    async def _halt(self, tenant: str, account: str, messages: Sequence[str], count: int, now: datetime) -> None:
        known = next(
            (one for one in await self._accounts.for_channel(tenant, Channel.PUSH) if one.name == account), None
        )
        if known is None or (known.blocked_reason == HALTED and known.blocked_until and known.blocked_until > now):
            return
        until = now + probe_wait(known.blocked_count + 1)
        await self._accounts.block(tenant, account, known.revision, until, HALTED, now, known.blocked_count + 1)
        reason = f"{account} refused {count} tokens in a row and accepted none: it may be of another app or environment"
        names = {"tenant": tenant, "account": account, "messages": list(messages), "reason": reason, "now": now}
        await self._database.execute(_HALT, names)
        _log.warning("account_halted", tenant=tenant, until=until.isoformat(), wrong_tokens=count, **known.describe())


def _tally(tenant: str, account: str, accepted: int, now: datetime) -> dict[str, object]:
    return {"tenant": tenant, "account": account, "accepted": accepted, "now": now, "until": now - WINDOW}


async def _count_of(connection: AsyncConnection, names: dict[str, object]) -> int:
    count: int = (await connection.execute(_IN_A_ROW, names)).scalar_one()
    return count
