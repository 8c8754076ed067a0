"""Provider accounts: settings, sealed credentials, and the breaker that every worker sees."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson
from sqlalchemy import Row

from hermod.contracts.errors import InvalidInput, NotFound
from hermod.contracts.notifications.content import Channel
from hermod.contracts.tenants.accounts import Account, AccountInput, AccountView
from hermod.domain.notifications.account_health import FailuresInARow
from hermod.domain.notifications.routing import BREAKER
from hermod.domain.rates import countable, effective
from hermod.domain.webhooks.origins import same_address
from hermod.storage.database.engine import Database, sql
from hermod.storage.database.readable import listed
from hermod.storage.database.ttl_cache import TtlCache
from hermod.storage.secrets.rotation import Rotated, rotate
from hermod.storage.secrets.vault import UndecryptableSecret, Vault
from hermod.storage.tenants.deleting import Deleting
from hermod.storage.tenants.retry_defaults import stored_retry
from hermod.telemetry import get_logger

CACHE_SECONDS: Final = 1.0
UNREADABLE: Final = "undecryptable"
UNREADABLE_WAIT: Final = timedelta(minutes=1)
MOVED: Final = "needed again when base_url changes: what is stored was given for another address"

_log = get_logger(__name__)

_PUT: Final = sql("""
    WITH saved AS (
      INSERT INTO provider_accounts AS a (tenant_id, name, channel, provider, credentials, base_url, sender, position,
                                          rate_per_second, retry, enabled)
      VALUES (:tenant, :id, CAST(:channel AS text), CAST(:provider AS text), CAST(:credentials AS bytea),
              CAST(:base_url AS text), CAST(:sender AS text), CAST(:position AS int), CAST(:rate AS float8),
              CAST(:retry AS jsonb), CAST(:enabled AS bool))
      ON CONFLICT (tenant_id, name) DO UPDATE SET
        channel = excluded.channel, provider = excluded.provider, credentials = excluded.credentials,
        base_url = excluded.base_url, sender = excluded.sender, position = excluded.position,
        rate_per_second = excluded.rate_per_second, retry = excluded.retry, enabled = excluded.enabled,
        revision = a.revision + 1,
        identity_revision = CASE WHEN (a.provider, a.base_url, a.credentials)
                                      IS DISTINCT FROM (excluded.provider, excluded.base_url, excluded.credentials)
                                 THEN a.revision + 1 ELSE a.identity_revision END,
        blocked_until = NULL, blocked_reason = NULL, blocked_count = 0, updated_at = :now, deleted_at = NULL
      RETURNING *
    ), audited AS (
      INSERT INTO audit (tenant_id, at, actor, action, subject) VALUES (:tenant, :now, :actor, 'account.put', :id)
    )
    SELECT * FROM saved
""")
_ONE: Final = sql("SELECT * FROM provider_accounts WHERE tenant_id = :tenant AND name = :id AND deleted_at IS NULL")
_LOCKED: Final = sql(
    "SELECT provider, base_url, credentials FROM provider_accounts "
    "WHERE tenant_id = :tenant AND name = :id AND deleted_at IS NULL FOR UPDATE"
)
_ALL: Final = sql(
    "SELECT * FROM provider_accounts WHERE tenant_id = :tenant AND deleted_at IS NULL ORDER BY channel, position, name"
)
_SEALED: Final = sql("""
    SELECT tenant_id AS tenant, name AS id, credentials AS sealed
      FROM provider_accounts WHERE deleted_at IS NULL FOR UPDATE
""")
_RESEAL: Final = sql(
    "UPDATE provider_accounts SET credentials = CAST(:sealed AS bytea) WHERE tenant_id = :tenant AND name = :id"
)
_BLOCK: Final = sql("""
    UPDATE provider_accounts
       SET blocked_until = greatest(blocked_until, :until),
           blocked_reason = CASE WHEN blocked_until IS NOT NULL AND :reason <> 'halted'
                                      AND blocked_reason IN ('halted', 'away') THEN blocked_reason
                                 ELSE :reason END,
           blocked_count = greatest(blocked_count, CAST(:times AS int))
     WHERE tenant_id = :tenant AND name = :id AND revision = CAST(:revision AS int)
""")
_CLAIM: Final = sql("""
    UPDATE provider_accounts SET blocked_until = :until
     WHERE tenant_id = :tenant AND name = :id AND blocked_reason IN ('halted', 'away') AND blocked_until <= :now
    RETURNING name
""")
_UNBLOCK: Final = sql("""
    UPDATE provider_accounts SET blocked_until = NULL, blocked_reason = NULL, blocked_count = 0
     WHERE tenant_id = :tenant AND name = :id AND blocked_until IS NOT NULL
""")


class ProviderAccounts:
    """Implements `hermod.ports.notifications.ledger.Accounts`, and what the API needs to manage accounts."""

    def __init__(self, database: Database, vault: Vault, usual_rates: Mapping[str, float | None] | None = None) -> None:
        """`usual_rates`: messages a second by provider, for accounts that name no rate."""
        self._database = database
        self._vault = vault
        self._usual_rates = usual_rates or {}
        self._recent = TtlCache(self._read, CACHE_SECONDS)
        self._failures: dict[tuple[str, str, int], FailuresInARow] = {}
        """Only of accounts whose last request failed."""

    async def for_channel(self, tenant: str, channel: Channel, *, fresh: bool = False) -> Sequence[Account]:
        if fresh:
            self._recent.forget(tenant)
        return [account for account in await self._recent.get(tenant) if account.channel is channel]

    async def find(self, tenant: str, name: str) -> Account | None:
        """An account by its name, for callers who have not shown that they know the tenant: no guess is kept."""
        accounts = await self._recent.get(tenant)
        found = next((account for account in accounts if account.name == name), None)
        if found is not None or not accounts:
            if not accounts:
                self._recent.forget(tenant)
            return found
        return await self.stored(tenant, name)  # it may be new

    async def names(self, tenant: str, *, fresh: bool = False) -> dict[str, Channel]:
        """Every account's channel, by name; also of an account whose credentials cannot be read."""
        if fresh:
            self._recent.forget(tenant)
        return {account.name: account.channel for account in await self._recent.get(tenant)}

    async def get(self, tenant: str, name: str, now: datetime) -> AccountView:
        rows = await self._database.rows(_ONE, {"tenant": tenant, "id": name})
        if not rows:
            raise NotFound(f"there is no provider account {name}")
        return self._view(rows[0], now)

    async def stored(self, tenant: str, name: str) -> Account | None:
        """The account as it is stored at this moment, with its credentials."""
        rows = await self._database.rows(_ONE, {"tenant": tenant, "id": name})
        return self._account(rows[0]) if rows else None

    async def all(self, tenant: str, now: datetime) -> list[AccountView]:
        rows = await self._database.rows(_ALL, {"tenant": tenant})
        return list(listed("account", rows, lambda row: self._view(row, now), key="name"))

    async def put(self, tenant: str, name: str, account: AccountInput, *, actor: str, now: datetime) -> AccountView:
        """Create or replace; the breaker is closed, as it may now work.

        Without credentials, the stored ones stay, unless the provider or its address is another one: InvalidInput.
        """
        settings = {
            "tenant": tenant,
            "id": name,
            "channel": account.channel.value,
            "provider": account.provider,
            "base_url": account.base_url,
            "sender": account.from_,
            "position": account.order,
            "rate": account.rate_per_second,
            "retry": None if account.retry is None else orjson.dumps(account.retry).decode(),
            "enabled": account.enabled,
            "actor": actor,
            "now": now,
        }
        async with self._database.begin() as connection:
            stored = (await connection.execute(_LOCKED, {"tenant": tenant, "id": name})).one_or_none()
            credentials = self._sealed(account, stored)
            row = (await connection.execute(_PUT, settings | {"credentials": credentials})).one()
        self._recent.forget(tenant)
        return self._view(row, now)

    async def delete(self, tenant: str, name: str, *, actor: str, now: datetime) -> None:
        """Raises NotFound, and Conflict, with what hangs on it."""
        await Deleting(self._database).account(tenant, name, actor=actor, now=now)
        self._recent.forget(tenant)

    async def unreadable(self, tenant: str) -> list[str]:
        """The accounts whose credentials no key in HERMOD_SECRET_KEY opens."""
        return [account.name for account in await self._recent.get(tenant) if account.blocked_reason == UNREADABLE]

    async def reseal(self) -> Rotated:
        """Encrypt all credentials under the newest key."""
        return await rotate(self._database, self._vault, _SEALED, _RESEAL)

    async def block(
        self, tenant: str, account: str, revision: int, until: datetime, reason: str, now: datetime, times: int = 0
    ) -> None:
        """`times` is a number and not one more: many requests under way meet the same trouble."""
        names = {"tenant": tenant, "id": account, "revision": revision, "until": until, "reason": reason}
        await self._database.execute(_BLOCK, names | {"times": times})
        self._recent.forget(tenant)

    def failed(self, account: Account, requests: int, messages: Collection[str]) -> bool:
        """Counted by each worker for itself: no statement for a failure, and what others see is the breaker."""
        key = (account.tenant, account.name, account.revision)
        enough = self._failures.setdefault(key, FailuresInARow()).add(requests, messages)
        if enough:
            del self._failures[key]
        return enough

    def worked(self, account: Account) -> None:
        self._failures.pop((account.tenant, account.name, account.revision), None)

    async def claim_probe(self, tenant: str, account: str, now: datetime, lease_until: datetime) -> bool:
        names = {"tenant": tenant, "id": account, "now": now, "until": lease_until}
        won = bool(await self._database.rows(_CLAIM, names))
        self._recent.forget(tenant)
        return won

    async def unblock(self, tenant: str, account: str, now: datetime) -> None:
        await self._database.execute(_UNBLOCK, {"tenant": tenant, "id": account})
        self._recent.forget(tenant)

    async def _read(self, tenant: str) -> tuple[Account, ...]:
        rows = await self._database.rows(_ALL, {"tenant": tenant})
        return listed("account", rows, self._account, key="name")

    def _sealed(self, account: AccountInput, stored: Row[Any] | None) -> bytes:
        """The stored bytes where they hold the same: sealed anew, they would seem to be other credentials."""
        if account.credentials is None:
            if stored is None:
                raise InvalidInput.of("credentials", "needed for a new account")
            if stored.provider != account.provider:
                raise InvalidInput.of("credentials", "needed when the provider changes")
            if not same_address(stored.base_url, account.base_url):
                raise InvalidInput.of("credentials", MOVED)
            return bytes(stored.credentials)
        given = {key: value.get_secret_value() for key, value in account.credentials.items()}
        if stored is not None and self._holds(stored.credentials, given):
            return bytes(stored.credentials)
        return self._vault.seal(given)

    def _holds(self, sealed: bytes, credentials: Mapping[str, str]) -> bool:
        try:
            return self._vault.open(sealed) == credentials
        except UndecryptableSecret:
            return False

    def _account(self, row: Row[Any]) -> Account:
        """An account whose credentials cannot be read counts as blocked: its messages wait for the key to come back."""
        credentials: dict[str, str] = {}
        blocked_until, blocked_reason = row.blocked_until, row.blocked_reason
        try:
            credentials = self._vault.open(row.credentials)
        except UndecryptableSecret:
            _log.error("credentials_undecryptable", tenant=row.tenant_id, account=row.name)
            blocked_until, blocked_reason = datetime.now(UTC) + UNREADABLE_WAIT, UNREADABLE
        return Account(
            tenant=row.tenant_id,
            name=row.name,
            channel=Channel(row.channel),
            provider=row.provider,
            credentials=credentials,
            base_url=row.base_url,
            from_=row.sender,
            order=row.position,
            rate_per_second=None if row.rate_per_second is None else countable(row.rate_per_second),
            enabled=row.enabled,
            retry=stored_retry(row.retry),
            blocked_until=blocked_until,
            blocked_reason=blocked_reason,
            blocked_count=row.blocked_count,
            revision=row.revision,
            identity_revision=row.identity_revision,
            bucket=f"account/{self._vault.fingerprint(row.provider, row.base_url, sorted(credentials.items()))}",
        )

    def _view(self, row: Row[Any], now: datetime) -> AccountView:
        blocked = row.blocked_until is not None and (row.blocked_until > now or row.blocked_reason in BREAKER)
        return AccountView(
            name=row.name,
            channel=Channel(row.channel),
            provider=row.provider,
            base_url=row.base_url,
            from_=row.sender,
            order=row.position,
            rate_per_second=row.rate_per_second,
            retry=stored_retry(row.retry),
            effective_rate=effective(row.rate_per_second, self._usual_rates.get(row.provider)),
            enabled=row.enabled,
            available=row.enabled and not blocked,
            blocked_until=row.blocked_until if blocked else None,
            blocked_reason=row.blocked_reason if blocked else None,
            updated_at=row.updated_at,
        )
