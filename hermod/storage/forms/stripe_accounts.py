"""Tenants' accounts at Stripe: the secrets that its calls are signed with, sealed, and which of its modes they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row

from hermod.contracts.errors import InvalidInput, NotFound, Unavailable
from hermod.contracts.forms.payments import StripeAccountInput
from hermod.storage.database.engine import Database, sql
from hermod.storage.secrets.rotation import Rotated, rotate
from hermod.storage.secrets.vault import UndecryptableSecret, Vault
from hermod.telemetry import get_logger

_log = get_logger(__name__)

_ONE: Final = sql("SELECT * FROM stripe_accounts WHERE tenant_id = :tenant")
_PUT: Final = sql("""
    WITH saved AS (
      INSERT INTO stripe_accounts AS a (tenant_id, secrets, livemode, connected_accounts, created_at, updated_at)
      VALUES (:tenant, CAST(:secrets AS bytea), CAST(:livemode AS bool), coalesce(CAST(:connected AS text[]), '{}'),
              :now, :now)
      ON CONFLICT (tenant_id) DO UPDATE SET
        secrets = excluded.secrets, livemode = excluded.livemode, updated_at = excluded.updated_at,
        connected_accounts = coalesce(CAST(:connected AS text[]), a.connected_accounts)
      RETURNING *
    ), audited AS (
      INSERT INTO audit (tenant_id, at, actor, action, subject)
      VALUES (:tenant, :now, :actor, 'payment_account.put', 'stripe')
    )
    SELECT * FROM saved
""")
_DELETE: Final = sql("""
    WITH gone AS (
      DELETE FROM stripe_accounts WHERE tenant_id = :tenant RETURNING tenant_id
    )
    INSERT INTO audit (tenant_id, at, actor, action, subject)
    SELECT :tenant, :now, :actor, 'payment_account.delete', 'stripe' FROM gone
    RETURNING subject
""")
_SEALED: Final = sql("SELECT tenant_id AS tenant, NULL AS id, secrets AS sealed FROM stripe_accounts FOR NO KEY UPDATE")
_RESEAL: Final = sql("UPDATE stripe_accounts SET secrets = CAST(:sealed AS bytea) WHERE tenant_id = :tenant")


@dataclass(frozen=True, slots=True)
class StripeAccount:
    livemode: bool
    created_at: datetime
    updated_at: datetime
    connected_accounts: tuple[str, ...]
    secrets: tuple[str, ...] = field(repr=False)


class StripeAccounts:
    def __init__(self, database: Database, vault: Vault) -> None:
        self._database = database
        self._vault = vault

    async def find(self, tenant: str) -> StripeAccount | None:
        """As it is now: once a secret was put, in whatever process, Stripe may sign with it. Raises Unavailable."""
        return await self._read(tenant)

    async def get(self, tenant: str) -> StripeAccount:
        """Raises NotFound."""
        account = await self._read(tenant)
        if account is None:
            raise _none()
        return account

    async def put(self, tenant: str, given: StripeAccountInput, *, actor: str, now: datetime) -> StripeAccount:
        """Create or replace. Without secrets, the stored ones stay. Raises InvalidInput where there are none."""
        if given.secrets is None:
            stored = await self._read(tenant)
            if stored is None:
                raise InvalidInput.of("secrets", "needed for a new account")
            secrets: Sequence[str] = stored.secrets
        else:
            secrets = [secret.get_secret_value() for secret in given.secrets]
        sealed = self._vault.seal({"secrets": list(dict.fromkeys(secrets))})
        connected = None if given.connected_accounts is None else list(dict.fromkeys(given.connected_accounts))
        names = {"tenant": tenant, "secrets": sealed, "livemode": given.livemode, "connected": connected}
        names |= {"actor": actor, "now": now}
        (row,) = await self._database.rows(_PUT, names)
        return self._opened(row)

    async def delete(self, tenant: str, *, actor: str, now: datetime) -> None:
        """Calls of Stripe are refused from now on; what it has told stays. Raises NotFound."""
        if not await self._database.rows(_DELETE, {"tenant": tenant, "actor": actor, "now": now}):
            raise _none()

    async def unreadable(self, tenant: str) -> bool:
        """Whether there are secrets that no key in HERMOD_SECRET_KEY opens."""
        rows = await self._database.rows(_ONE, {"tenant": tenant})
        try:
            return any(not self._vault.open(row.secrets) for row in rows)
        except UndecryptableSecret:
            return True

    async def reseal(self) -> Rotated:
        """Encrypt all secrets under the newest key."""
        return await rotate(self._database, self._vault, _SEALED, _RESEAL)

    async def _read(self, tenant: str) -> StripeAccount | None:
        rows = await self._database.rows(_ONE, {"tenant": tenant})
        return self._opened(rows[0]) if rows else None

    def _opened(self, row: Row[Any]) -> StripeAccount:
        """Raises Unavailable: Stripe repeats its calls for days, until the key is back."""
        try:
            secrets = tuple(self._vault.open(row.secrets)["secrets"])
        except UndecryptableSecret as reason:
            _log.error("stripe_secrets_undecryptable", tenant=row.tenant_id)
            raise Unavailable(f"the secrets of the account at Stripe cannot be read: {reason}") from None
        return StripeAccount(row.livemode, row.created_at, row.updated_at, tuple(row.connected_accounts), secrets)


def _none() -> NotFound:
    return NotFound("there is no account at Stripe; put one with its signing secret")
