"""Tenants and their API keys. A key is shown once; what is kept is its SHA-256, which is enough for a random key."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from datetime import datetime
from typing import Final

from hermod.contracts.errors import Conflict, InvalidInput, NotFound, Unauthorized
from hermod.contracts.ids import TENANT_PATTERN
from hermod.contracts.tenants.tenants import ApiKey, NewApiKey, Tenant
from hermod.storage.database.engine import Database, sql
from hermod.storage.tenants.deleting import Deleting
from hermod.storage.tenants.missing import no_tenant

CACHE_SECONDS: Final = 5.0
"""A revoked key may still work for this long."""

_CREATE: Final = sql("""
    INSERT INTO tenants (id, name, created_at) VALUES (:tenant, CAST(:name AS text), :now)
    ON CONFLICT DO NOTHING RETURNING id, name, weight, owner_email, created_at
""")
_ALL: Final = sql("SELECT id, name, weight, owner_email, created_at FROM tenants WHERE deleted_at IS NULL ORDER BY id")
_ONE: Final = sql(
    "SELECT id, name, weight, owner_email, created_at FROM tenants WHERE id = :tenant AND deleted_at IS NULL"
)
_IS_DELETED: Final = sql("SELECT 1 FROM tenants WHERE id = :tenant AND deleted_at IS NOT NULL")
_OWNER: Final = sql("""
    WITH changed AS (
      UPDATE tenants SET owner_email = CAST(:email AS text) WHERE id = :tenant AND deleted_at IS NULL
      RETURNING id, name, weight, owner_email, created_at
    ), audited AS (
      INSERT INTO audit (tenant_id, at, actor, action, subject) SELECT id, :now, :actor, 'tenant.owner', id FROM changed
    )
    SELECT * FROM changed
""")
_ADD_KEY: Final = sql("""
    INSERT INTO api_keys (id, tenant_id, name, secret_hash, created_at)
    VALUES (:id, :tenant, CAST(:name AS text), CAST(:hash AS bytea), :now)
    ON CONFLICT (id) DO NOTHING
""")
_KEY: Final = sql("SELECT tenant_id, secret_hash FROM api_keys WHERE id = :id AND revoked_at IS NULL")
_KEYS: Final = sql(
    "SELECT id, name, created_at, revoked_at FROM api_keys WHERE tenant_id = :tenant ORDER BY created_at, id"
)
_REVOKE: Final = sql(
    "UPDATE api_keys SET revoked_at = coalesce(revoked_at, :now) WHERE tenant_id = :tenant AND id = :id RETURNING id"
)
_PARTS: Final = re.compile(r"^(?P<id>hk_[0-9a-f]{12})_[A-Za-z0-9_-]{20,}$")


class Tenants:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[bytes, tuple[float, str, str]] = {}

    async def create(self, tenant: str, name: str, now: datetime) -> Tenant:
        """Raises InvalidInput for a bad id and Conflict for a taken one."""
        if not re.fullmatch(TENANT_PATTERN, tenant):
            raise InvalidInput.of(
                "id", "lower-case letters, digits, - and _, at most 63, beginning with a letter or digit"
            )
        rows = await self._database.rows(_CREATE, {"tenant": tenant, "name": name, "now": now})
        if not rows:
            if await self._database.rows(_IS_DELETED, {"tenant": tenant}):
                raise Conflict(f"the tenant {tenant} is being deleted; its id is free when its records are gone")
            raise Conflict(f"there is a tenant {tenant} already")
        return Tenant.model_validate(rows[0]._mapping)

    async def all(self) -> list[Tenant]:
        return [Tenant.model_validate(row._mapping) for row in await self._database.rows(_ALL, {})]

    async def get(self, tenant: str) -> Tenant:
        rows = await self._database.rows(_ONE, {"tenant": tenant})
        if not rows:
            raise no_tenant(tenant)
        return Tenant.model_validate(rows[0]._mapping)

    async def set_owner(self, tenant: str, email: str | None, *, actor: str, now: datetime) -> Tenant:
        """Who is told what needs a person; None for nobody. Raises NotFound."""
        names = {"tenant": tenant, "email": email, "actor": actor, "now": now}
        rows = await self._database.rows(_OWNER, names)
        if not rows:
            raise no_tenant(tenant)
        return Tenant.model_validate(rows[0]._mapping)

    async def delete(self, tenant: str, *, actor: str, now: datetime) -> None:
        """It is gone at once; its records go with the next retention. Raises NotFound, and Conflict, with what hangs on
        it.
        """
        await Deleting(self._database).tenant(tenant, actor=actor, now=now)
        self._known.clear()

    async def create_key(self, tenant: str, name: str, now: datetime, *, key: str | None = None) -> NewApiKey:
        """A new key, shown this once. `key` puts a known one in place (the dev stack keeps its own)."""
        await self.get(tenant)
        key = key or new_key()
        names = {"id": key_id(key), "tenant": tenant, "name": name, "hash": _hash(key), "now": now}
        await self._database.execute(_ADD_KEY, names)
        return NewApiKey(id=key_id(key), tenant=tenant, name=name, key=key)

    async def keys(self, tenant: str) -> list[ApiKey]:
        rows = await self._database.rows(_KEYS, {"tenant": tenant})
        return [ApiKey.model_validate(row._mapping) for row in rows]

    async def revoke_key(self, tenant: str, key: str, now: datetime) -> None:
        """Works within `CACHE_SECONDS` everywhere. Raises NotFound."""
        if not await self._database.rows(_REVOKE, {"tenant": tenant, "id": key, "now": now}):
            raise NotFound(f"tenant {tenant} has no key {key}")
        self._known.clear()

    async def authenticate(self, key: str) -> tuple[str, str]:
        """The tenant of an API key, and the key's id for the audit. Raises Unauthorized."""
        digest = _hash(key)
        known = self._known.get(digest)
        if known is not None and time.monotonic() - known[0] < CACHE_SECONDS:
            return known[1], known[2]
        identity = key_id(key)
        rows = await self._database.rows(_KEY, {"id": identity})
        if not rows or not hmac.compare_digest(bytes(rows[0].secret_hash), digest):
            raise Unauthorized("no such API key")
        if len(self._known) > 10_000:
            self._known.clear()
        self._known[digest] = (time.monotonic(), rows[0].tenant_id, identity)
        return rows[0].tenant_id, identity


def new_key() -> str:
    """`hk_` + 12 hex digits that may be shown + 32 random bytes that may not."""
    return f"hk_{secrets.token_hex(6)}_{secrets.token_urlsafe(32)}"


def key_id(key: str) -> str:
    """The part that may be shown. Raises Unauthorized for what is no key of ours."""
    parts = _PARTS.match(key)
    if parts is None:
        raise Unauthorized("no such API key")
    return parts["id"]


def _hash(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
