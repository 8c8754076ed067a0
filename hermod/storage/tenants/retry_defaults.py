"""What a tenant's messages wait between their attempts where neither they nor their accounts say so."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import orjson

from hermod.contracts.notifications.content import Channel
from hermod.contracts.notifications.retries import Preset, RetryDefaults
from hermod.storage.database.engine import Database, sql
from hermod.storage.tenants.missing import no_tenant

DEFAULT: Final = "default"
"""Beside the channels' names, in `tenants.retry`."""

_GET: Final = sql("SELECT retry FROM tenants WHERE id = :tenant")
_PUT: Final = sql("""
    WITH changed AS (
      UPDATE tenants SET retry = CAST(:retry AS jsonb) WHERE id = :tenant RETURNING id
    )
    INSERT INTO audit (tenant_id, at, actor, action, subject)
    SELECT id, :now, :actor, 'retry_defaults.put', id FROM changed RETURNING id
""")


class RetryDefaultsOfTenants:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, tenant: str) -> RetryDefaults:
        """Raises NotFound."""
        rows = await self._database.rows(_GET, {"tenant": tenant})
        if not rows:
            raise no_tenant(tenant)
        stored = dict(rows[0].retry)
        default = stored.pop(DEFAULT, None)
        return RetryDefaults(default=default, channels={Channel(name): retry for name, retry in stored.items()})

    async def put(self, tenant: str, defaults: RetryDefaults, *, actor: str, now: datetime) -> RetryDefaults:
        """Replace all of them; they count for what is accepted from now on. Raises NotFound."""
        stored: dict[str, Any] = {channel.value: retry for channel, retry in defaults.channels.items()}
        if defaults.default is not None:
            stored[DEFAULT] = defaults.default
        names = {"tenant": tenant, "retry": orjson.dumps(stored).decode(), "actor": actor, "now": now}
        if not await self._database.rows(_PUT, names):
            raise no_tenant(tenant)
        return defaults


def stored_retry(stored: Any) -> Preset | tuple[float, ...] | None:
    """A column with the name of a preset, a list of seconds, or nothing."""
    return None if stored is None else retry_of(stored)


def retry_of(stored: Any) -> Preset | tuple[float, ...]:
    """A column with the name of a preset, or a list of seconds."""
    return Preset(stored) if isinstance(stored, str) else tuple(map(float, stored))
