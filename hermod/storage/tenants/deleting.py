"""Deleting accounts and tenants: refused while something hangs on them.

An account stays as a row without credentials, so that one that is put under its name later counts as another account
(`identity_revision`): a message that may have arrived there is not sent a second time. A tenant's row stays until the
records that it leaves are gone; whoever drops those is `hermod.storage.operations.records`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row

from hermod.contracts.errors import Conflict, NotFound
from hermod.domain.states import OPEN
from hermod.storage.database.engine import Database, sql

_OPEN: Final = ", ".join(f"'{status.value}'" for status in sorted(OPEN))

_ACCOUNT: Final = sql("""
    SELECT channel, enabled FROM provider_accounts
     WHERE tenant_id = :tenant AND name = :id AND deleted_at IS NULL FOR UPDATE
""")
# An attempt without an outcome that is not its message's newest has none any more that counts.
_ON_ACCOUNT: Final = sql(f"""
    WITH open AS MATERIALIZED (
      SELECT id, channel, requested_account, guarantee, attempt_count FROM messages
       WHERE tenant_id = :tenant AND finished_at IS NULL AND status IN ({_OPEN})
    ), unknown AS MATERIALIZED (
      SELECT id FROM messages
       WHERE tenant_id = :tenant AND dead_at IS NOT NULL AND discarded_at IS NULL AND status = 'unknown'
    )
    SELECT (SELECT count(*) FROM open WHERE requested_account = :id) AS named,
           (SELECT count(*) FROM open WHERE channel = :channel AND requested_account IS NULL
              AND CAST(:enabled AS bool) AND NOT EXISTS (
                SELECT 1 FROM provider_accounts a
                 WHERE a.tenant_id = :tenant AND a.channel = :channel AND a.enabled AND a.deleted_at IS NULL
                   AND a.name <> :id)) AS stranded,
           (SELECT count(*) FROM open JOIN attempts a ON a.tenant_id = :tenant AND a.message_id = open.id
             WHERE a.account = :id AND a.outcome IS NULL AND a.number >= open.attempt_count) AS asked,
           (SELECT count(DISTINCT m.id)
              FROM (SELECT id FROM open WHERE guarantee = 'at_most_once' UNION SELECT id FROM unknown) m
              JOIN attempts a ON a.tenant_id = :tenant AND a.message_id = m.id
             WHERE a.account = :id AND a.outcome = 'unknown') AS doubtful
""")  # noqa: S608 - ours
_DELETE_ACCOUNT: Final = sql("""
    WITH gone AS (
      UPDATE provider_accounts
         SET deleted_at = :now, updated_at = :now, credentials = '\\x', base_url = NULL, sender = NULL, enabled = false,
             revision = revision + 1, blocked_until = NULL, blocked_reason = NULL, blocked_count = 0
       WHERE tenant_id = :tenant AND name = :id
      RETURNING name
    ), suspects AS (
      DELETE FROM suspect_tokens WHERE tenant_id = :tenant AND account = :id
    ), tallies AS (
      DELETE FROM push_tallies WHERE tenant_id = :tenant AND account = :id
    )
    INSERT INTO audit (tenant_id, at, actor, action, subject)
    SELECT :tenant, :now, :actor, 'account.delete', name FROM gone
""")

_TENANT: Final = sql("SELECT id FROM tenants WHERE id = :tenant AND deleted_at IS NULL FOR UPDATE")
_ON_TENANT: Final = sql(f"""
    SELECT (SELECT count(*) FROM provider_accounts WHERE tenant_id = :tenant AND deleted_at IS NULL) AS accounts,
           (SELECT count(*) FROM api_keys WHERE tenant_id = :tenant AND revoked_at IS NULL) AS keys,
           (SELECT count(*) FROM webhook_endpoints WHERE tenant_id = :tenant AND deleted_at IS NULL) AS endpoints,
           (SELECT count(*) FROM forms WHERE tenant_id = :tenant AND deleted_at IS NULL) AS forms,
           (SELECT count(*) FROM stripe_accounts WHERE tenant_id = :tenant) AS stripe,
           (SELECT count(*) FROM messages
             WHERE tenant_id = :tenant AND finished_at IS NULL AND status IN ({_OPEN})) AS messages,
           (SELECT count(*) FROM webhook_deliveries
             WHERE tenant_id = :tenant AND finished_at IS NULL) AS deliveries,
           (SELECT count(*) FROM form_submissions WHERE tenant_id = :tenant AND finished_at IS NULL) AS submissions
""")  # noqa: S608 - ours
_DELETE_TENANT: Final = sql("""
    WITH gone AS (
      UPDATE tenants SET deleted_at = :now, owner_email = NULL, content_key = NULL WHERE id = :tenant RETURNING id
    )
    INSERT INTO audit (tenant_id, at, actor, action, subject)
    SELECT id, :now, :actor, 'tenant.delete', id FROM gone
""")


class Deleting:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def account(self, tenant: str, name: str, *, actor: str, now: datetime) -> None:
        """Raises NotFound, and Conflict, with what hangs on it."""
        names = {"tenant": tenant, "id": name, "actor": actor, "now": now}
        async with self._database.begin() as connection:
            account = (await connection.execute(_ACCOUNT, names)).one_or_none()
            if account is None:
                raise NotFound(f"there is no provider account {name}")
            known = names | {"channel": account.channel, "enabled": account.enabled}
            found = (await connection.execute(_ON_ACCOUNT, known)).one()
            if hanging := _on_account(found, account.channel):
                raise Conflict(f"the account {name} is in use: {'; '.join(hanging)}")
            await connection.execute(_DELETE_ACCOUNT, names)

    async def tenant(self, tenant: str, *, actor: str, now: datetime) -> None:
        """It is gone at once, and what it leaves with the next retention. Raises NotFound, and Conflict, with what
        hangs on it."""
        names = {"tenant": tenant, "actor": actor, "now": now}
        async with self._database.begin() as connection:
            if (await connection.execute(_TENANT, names)).one_or_none() is None:
                raise NotFound(f"there is no tenant {tenant}")
            found = (await connection.execute(_ON_TENANT, names)).one()
            if hanging := _on_tenant(found):
                raise Conflict(f"the tenant {tenant} is in use: {', '.join(hanging)}; delete or revoke these first")
            await connection.execute(_DELETE_TENANT, names)


def _on_account(found: Row[Any], channel: str) -> Sequence[str]:
    hanging = []
    if found.named:
        hanging.append(f"{_count(found.named, 'message')} name{'s' if found.named == 1 else ''} it")
    if found.stranded:
        waits = "waits" if found.stranded == 1 else "wait"
        hanging.append(
            f"{_count(found.stranded, 'message')} of channel {channel} {waits}, and no other account is enabled for it"
        )
    if found.asked:
        hanging.append(f"{_count(found.asked, 'request')} {'is' if found.asked == 1 else 'are'} under way")
    if found.doubtful:
        hanging.append(
            f"{_count(found.doubtful, 'message')} may have arrived there, and its reports are waited for: resolve, "
            "discard or cancel them"
        )
    return hanging


def _on_tenant(found: Row[Any]) -> Sequence[str]:
    counts = (
        (found.accounts, "provider account"),
        (found.keys, "API key"),
        (found.endpoints, "webhook endpoint"),
        (found.forms, "form"),
        (found.stripe, "Stripe account"),
        (found.messages, "open message"),
        (found.deliveries, "open webhook delivery"),
        (found.submissions, "open submission"),
    )
    return [_count(count, what) for count, what in counts if count]


def _count(count: int, what: str) -> str:
    plural = f"{what[:-1]}ies" if what.endswith("y") and not what.endswith("key") else f"{what}s"
    return f"{count} {what if count == 1 else plural}"
