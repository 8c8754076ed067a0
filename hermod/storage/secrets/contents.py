"""Contents at rest: what messages and events say, in the clear or encrypted under their tenant's own key, and how long.

Envelope encryption: each tenant has a data key, stored sealed under HERMOD_SECRET_KEY (`hermod.storage.secrets.vault`).
A body is AES-256-GCM under the data key, bound to its tenant and message, so that a body copied to another row does not
open.

    0x01 | nonce, 12 bytes | ciphertext and tag          encrypted
    {…                                                   JSON in the clear

Both kinds may stand side by side: switching encryption on or off changes what is written from then on.

What is dropped here may begin again at the same moment: somebody retries or resolves a message, a delivery is replayed,
a workflow is reset. So that neither works on what the other takes away, all of them lock in this order:

    1. the record (`messages`, `webhook_deliveries`), several by id
    2. its payload (`message_contents`, `webhook_events`)
    3. what hangs on the record (`attempts`, `webhook_attempts`, `decisions`, `receipts`, …)

Whoever drops a payload holds the records that it judged, all of them where an event has several, and leaves those that
somebody else holds for the next run (SKIP LOCKED); PostgreSQL judges a row again that changed before its lock was
given. Whoever reopens a record holds it, and then its payload (FOR KEY SHARE), which fails to find one that was dropped
(`hermod.storage.notifications.reopening`, `hermod.storage.webhooks.reopening`). `hermod.storage.operations.records`
drops in that order.
"""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from hermod.contracts.errors import Unavailable, Unreadable
from hermod.contracts.ids import since
from hermod.contracts.tenants.tenants import ContentPolicy
from hermod.storage.database.engine import Database, sql
from hermod.storage.secrets.rotation import Rotated, rotate
from hermod.storage.secrets.vault import UndecryptableSecret, Vault
from hermod.storage.tenants.missing import no_tenant
from hermod.telemetry import get_logger

CACHE_SECONDS: Final = 5.0
"""For so long after a change some processes may still write as before."""
ENCRYPTED: Final = b"\x01"
_NONCE_BYTES: Final = 12
_CHUNK: Final = 2_000
"""Contents dropped in one statement."""

_log = get_logger(__name__)

_KEY: Final = sql("SELECT encrypts, content_key, content_days FROM tenants WHERE id = :tenant")
_SET: Final = sql("""
    WITH changed AS (
      UPDATE tenants SET encrypts = CAST(:encrypts AS bool), content_days = CAST(:days AS int),
             content_key = coalesce(content_key, CAST(:key AS bytea))
       WHERE id = :tenant
      RETURNING encrypts, content_days
    ), audited AS (
      INSERT INTO audit (tenant_id, at, actor, action, subject)
      SELECT :tenant, :now, :actor, 'tenant.contents', :tenant FROM changed
    )
    SELECT encrypts, content_days FROM changed
""")
_SEALED: Final = sql(
    "SELECT id AS tenant, NULL AS id, content_key AS sealed FROM tenants WHERE content_key IS NOT NULL FOR UPDATE"
)
_RESEAL: Final = sql("UPDATE tenants SET content_key = CAST(:sealed AS bytea) WHERE id = :tenant")
_TENANTS: Final = sql("SELECT id, content_days FROM tenants ORDER BY id")

# Ids sort by time, so that old contents are a range of the primary key; what is still open in it is few.
_DROP: Final = sql("""
    WITH done AS MATERIALIZED (
      SELECT m.id
        FROM message_contents c JOIN messages m ON m.tenant_id = c.tenant_id AND m.id = c.message_id
       WHERE c.tenant_id = :tenant AND c.message_id < CAST(:before_id AS text)
         AND m.finished_at < CAST(:before AS timestamptz)
         AND (m.dead_at IS NULL OR m.discarded_at IS NOT NULL OR m.finished_at < CAST(:dead_before AS timestamptz))
       LIMIT CAST(:most AS int) FOR NO KEY UPDATE OF m SKIP LOCKED
    )
    DELETE FROM message_contents c WHERE c.tenant_id = :tenant AND c.message_id = ANY(ARRAY(SELECT id FROM done))
""")

_OVER: Final = """
    d.finished_at < CAST(:before AS timestamptz)
    AND ((d.dead_at IS NULL AND d.parked_at IS NULL) OR d.discarded_at IS NOT NULL
         OR d.finished_at < CAST(:dead_before AS timestamptz))
"""
# Answers of receivers are contents as well: they go with the event that they answer. The rest of the log stays.
# An event never gets another delivery, so that those which the statement sees at its beginning are all there can be.
_DROP_EVENTS: Final = sql(f"""
    WITH old AS MATERIALIZED (
      SELECT e.id FROM webhook_events e
       WHERE e.tenant_id = :tenant AND e.created_at < CAST(:before AS timestamptz)
         AND NOT EXISTS (
           SELECT 1 FROM webhook_deliveries d
            WHERE d.tenant_id = :tenant AND d.event_id = e.id AND ({_OVER}) IS NOT TRUE)
       LIMIT CAST(:most AS int)
    ), held AS MATERIALIZED (
      SELECT d.id, d.event_id FROM webhook_deliveries d
       WHERE d.tenant_id = :tenant AND d.event_id = ANY(ARRAY(SELECT id FROM old)) AND {_OVER}
         FOR NO KEY UPDATE SKIP LOCKED
    ), busy AS MATERIALIZED (
      SELECT d.event_id FROM webhook_deliveries d LEFT JOIN held ON held.id = d.id
       WHERE d.tenant_id = :tenant AND d.event_id = ANY(ARRAY(SELECT id FROM old)) AND held.id IS NULL
    ), done AS MATERIALIZED (
      SELECT id FROM old WHERE NOT EXISTS (SELECT 1 FROM busy WHERE busy.event_id = old.id)
    ), unsaid AS (
      UPDATE webhook_attempts a SET response_body = NULL
       WHERE a.tenant_id = :tenant AND a.response_body IS NOT NULL
         AND a.delivery_id = ANY(ARRAY(SELECT held.id FROM held JOIN done ON done.id = held.event_id))
    )
    DELETE FROM webhook_events e WHERE e.tenant_id = :tenant AND e.id = ANY(ARRAY(SELECT id FROM done))
""")  # noqa: S608 - ours

# What a visitor left behind is kept longer than what was sent: they may still come back.
_DROP_PARTIALS: Final = sql("""
    WITH done AS (
      SELECT form_id, session FROM form_partials
       WHERE tenant_id = :tenant AND data IS NOT NULL AND updated_at < greatest(CAST(:before AS timestamptz), :idle)
         AND (updated_at < CAST(:idle AS timestamptz) OR converted_at < CAST(:before AS timestamptz))
       LIMIT CAST(:most AS int)
    )
    UPDATE form_partials p SET data = NULL FROM done
     WHERE p.tenant_id = :tenant AND p.form_id = done.form_id AND p.session = done.session
       AND (p.updated_at < CAST(:idle AS timestamptz) OR p.converted_at < CAST(:before AS timestamptz))
""")

IDLE_PARTIAL_DAYS: Final = 90
"""What was entered into a form that nobody has sent is kept for so long after the last change."""
DEAD_LETTER_DAYS: Final = 90
"""Contents of a dead letter that nobody retried or discarded are kept for at least so long."""


@dataclass(frozen=True, slots=True)
class _Known:
    encrypts: bool
    cipher: AESGCM | None


Seal = Callable[[str, bytes], bytes]
"""A message's id and its body as JSON, to what is stored."""


class Contents:
    def __init__(self, database: Database, vault: Vault, default_days: int) -> None:
        """`default_days`: how long contents of finished messages are kept where the tenant says nothing."""
        self._database = database
        self._vault = vault
        self._default_days = default_days
        self._known: dict[str, tuple[float, _Known]] = {}

    async def sealing(self, tenant: str) -> Seal:
        """How this tenant's bodies are stored from now on. Raises Unavailable."""
        known = await self._of(tenant)
        cipher = known.cipher
        if not known.encrypts or cipher is None:
            return lambda _, body: body

        def seal(message: str, body: bytes) -> bytes:
            nonce = os.urandom(_NONCE_BYTES)
            return ENCRYPTED + nonce + cipher.encrypt(nonce, body, _bound_to(tenant, message))

        return seal

    async def opening(self, tenant: str) -> Callable[[str, bytes], bytes]:
        """How this tenant's bodies are read.

        What it gives raises Unavailable where the key cannot be read, Unreadable for a body that it does not open.
        """
        known = await self._of(tenant)

        def unseal(message: str, stored: bytes) -> bytes:
            if not stored.startswith(ENCRYPTED):
                return stored
            if known.cipher is None:
                raise Unavailable(f"the contents of tenant {tenant} are encrypted, and its key cannot be read")
            nonce, sealed = stored[1 : 1 + _NONCE_BYTES], stored[1 + _NONCE_BYTES :]
            try:
                return known.cipher.decrypt(nonce, sealed, _bound_to(tenant, message))
            except (InvalidTag, ValueError):
                raise Unreadable(f"the content of {message} does not open with its tenant's key") from None

        return unseal

    async def policy(self, tenant: str) -> ContentPolicy:
        """Raises NotFound."""
        rows = await self._database.rows(_KEY, {"tenant": tenant})
        if not rows:
            raise no_tenant(tenant)
        return self._policy(tenant, rows[0].encrypts, rows[0].content_days)

    async def set_policy(
        self, tenant: str, *, encrypts: bool, days: int | None, actor: str, now: datetime
    ) -> ContentPolicy:
        """Change how contents are kept. The data key is made the first time it is needed. Raises NotFound."""
        key = self._vault.seal({"key": base64.b64encode(AESGCM.generate_key(256)).decode()}) if encrypts else None
        names = {"tenant": tenant, "encrypts": encrypts, "days": days, "key": key, "actor": actor, "now": now}
        rows = await self._database.rows(_SET, names)
        if not rows:
            raise no_tenant(tenant)
        self._known.pop(tenant, None)
        return self._policy(tenant, rows[0].encrypts, rows[0].content_days)

    async def reseal(self) -> Rotated:
        """Seal all data keys under the newest key of HERMOD_SECRET_KEY."""
        return await rotate(self._database, self._vault, _SEALED, _RESEAL)

    async def purge_expired(self, now: datetime, *, beat: Callable[[], None] = lambda: None) -> int:
        """Delete the contents whose time is over; the records stay. `beat` is called after each statement."""
        dropped = 0
        for row in await self._database.rows(_TENANTS, {}):
            days = self._default_days if row.content_days is None else row.content_days
            before = now - timedelta(days=days)
            names = {
                "tenant": row.id,
                "before": before,
                "dead_before": now - timedelta(days=max(days, DEAD_LETTER_DAYS)),
                "most": _CHUNK,
            }
            idle = now - timedelta(days=IDLE_PARTIAL_DAYS)
            for statement, more in (
                (_DROP, {"before_id": since("msg", before)}),
                (_DROP_EVENTS, {}),
                (_DROP_PARTIALS, {"idle": idle}),
            ):
                while (gone := await self._database.execute(statement, names | more)) > 0:
                    dropped += gone
                    beat()
        return dropped

    def _policy(self, tenant: str, encrypts: bool, days: int | None) -> ContentPolicy:
        return ContentPolicy(tenant=tenant, encrypts=encrypts, days=self._default_days if days is None else days)

    async def _of(self, tenant: str) -> _Known:
        kept = self._known.get(tenant)
        if kept is not None and time.monotonic() - kept[0] < CACHE_SECONDS:
            return kept[1]
        rows = await self._database.rows(_KEY, {"tenant": tenant})
        known = _Known(bool(rows) and rows[0].encrypts, self._cipher(tenant, rows[0].content_key if rows else None))
        if known.encrypts and known.cipher is None:
            raise Unavailable(f"the contents of tenant {tenant} are to be encrypted, and its key cannot be read")
        self._known[tenant] = (time.monotonic(), known)
        return known

    def _cipher(self, tenant: str, sealed: bytes | None) -> AESGCM | None:
        if sealed is None:
            return None
        try:
            return AESGCM(base64.b64decode(self._vault.open(sealed)["key"]))
        except UndecryptableSecret:
            _log.error("content_key_undecryptable", tenant=tenant)
            return None


def _bound_to(tenant: str, message: str) -> bytes:
    return f"{tenant}/{message}".encode()
