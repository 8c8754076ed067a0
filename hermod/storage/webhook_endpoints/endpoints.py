"""Webhook endpoints: settings, sealed secrets, and what a worker remembers of them for a moment.

What their requests say about them (pauses, concurrency, failures) is written by
`hermod.storage.webhook_endpoints.health`; here it is shown, and begun anew when somebody enables the endpoint or gives
it another URL. A deleted endpoint keeps its row, for the deliveries that name it, but not its secrets.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

import orjson
from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from hermod.contracts.errors import NotFound, Unavailable
from hermod.contracts.ids import new_id
from hermod.contracts.webhooks.deliveries import (
    EndpointPage,
    EndpointSettings,
    EndpointView,
    NewEndpoint,
    NewSecret,
    Ordering,
)
from hermod.domain.webhooks.endpoint_secrets import EndpointSecrets, SigningKey
from hermod.domain.webhooks.event_types import matches
from hermod.domain.webhooks.payload_filters import Holds
from hermod.outbound.webhooks.signatures import new_key_pair, new_secret, public_key
from hermod.ports.clock import Clock
from hermod.ports.webhooks.ledger import Endpoint
from hermod.storage.database.engine import Database, sql
from hermod.storage.database.readable import or_none, page_of
from hermod.storage.database.ttl_cache import TtlCache
from hermod.storage.secrets.rotation import Rotated, rotate
from hermod.storage.secrets.vault import UndecryptableSecret, Vault
from hermod.storage.webhook_endpoints.health import WINDOW
from hermod.storage.webhook_endpoints.rows import as_endpoint, as_view, columns, payload_filter, stored_settings
from hermod.storage.webhooks.waiting import close_open_deliveries
from hermod.telemetry import get_logger

CACHE_SECONDS: Final = 1.0

_log = get_logger(__name__)

_SET: Final = """
    url = CAST(:url AS text), event_types = CAST(:event_types AS text[]), filter = CAST(:filter AS jsonb),
    description = CAST(:description AS text),
    retry = CAST(:retry AS jsonb), timeout_seconds = CAST(:timeout_seconds AS float8),
    rate_per_second = CAST(:rate_per_second AS float8), ordering = CAST(:ordering AS text),
    when_exhausted = CAST(:when_exhausted AS text), skip_after = CAST(:skip_after AS int),
    secrets = CAST(:secrets AS bytea), header_names = CAST(:header_names AS text[]),
    public_key = CAST(:public_key AS text), enabled = CAST(:enabled AS bool),
    disabled_reason = CASE WHEN CAST(:enabled AS bool) THEN NULL ELSE coalesce(disabled_reason, :reason) END,
    disabled_at = CASE WHEN CAST(:enabled AS bool) THEN NULL ELSE coalesce(disabled_at, :now) END,
    max_concurrency = CAST(:max_concurrency AS int),
    concurrency = CASE WHEN CAST(:anew AS bool) OR concurrency >= max_concurrency
                       THEN CAST(:max_concurrency AS int)
                       ELSE least(concurrency, CAST(:max_concurrency AS int)) END
"""
_ANEW: Final = ", ".join(
    f"{column} = CASE WHEN CAST(:anew AS bool) THEN {value} ELSE {column} END"
    for column, value in {
        **dict.fromkeys(("paused_until", "pause_reason", "slowed_at", "failing_since", "failed_at"), "NULL"),
        **dict.fromkeys(("pause_count", "failures"), "0"),
    }.items()
)
_CREATE: Final = sql("""
    INSERT INTO webhook_endpoints (tenant_id, id, url, event_types, filter, description, retry, timeout_seconds,
                                   rate_per_second, max_concurrency, ordering, when_exhausted, skip_after, secrets,
                                   header_names, public_key, enabled, disabled_reason, disabled_at, concurrency,
                                   created_at, updated_at)
    VALUES (:tenant, :id, CAST(:url AS text), CAST(:event_types AS text[]), CAST(:filter AS jsonb),
            CAST(:description AS text),
            CAST(:retry AS jsonb), CAST(:timeout_seconds AS float8), CAST(:rate_per_second AS float8),
            CAST(:max_concurrency AS int), CAST(:ordering AS text), CAST(:when_exhausted AS text),
            CAST(:skip_after AS int), CAST(:secrets AS bytea), CAST(:header_names AS text[]),
            CAST(:public_key AS text), CAST(:enabled AS bool),
            CASE WHEN CAST(:enabled AS bool) THEN NULL ELSE :reason END,
            CASE WHEN CAST(:enabled AS bool) THEN NULL ELSE CAST(:now AS timestamptz) END,
            CAST(:max_concurrency AS int), :now, :now)
""")
_UPDATE: Final = sql(f"""
    UPDATE webhook_endpoints SET {_SET}, {_ANEW}, revision = revision + 1, updated_at = :now
     WHERE tenant_id = :tenant AND id = :id
""")  # noqa: S608 - the columns are ours
_REKEY: Final = sql("""
    UPDATE webhook_endpoints SET secrets = CAST(:secrets AS bytea), revision = revision + 1, updated_at = :now
     WHERE tenant_id = :tenant AND id = :id
""")
_DELETE: Final = sql("""
    WITH gone AS (
      UPDATE webhook_endpoints
         SET deleted_at = :now, updated_at = :now, secrets = '', header_names = '{}', revision = revision + 1
       WHERE tenant_id = :tenant AND id = :id AND deleted_at IS NULL
      RETURNING id
    )
    INSERT INTO audit (tenant_id, at, actor, action, subject)
    SELECT :tenant, :now, :actor, 'webhook_endpoint.delete', id FROM gone
    RETURNING subject
""")
_AUDIT: Final = sql("""
    INSERT INTO audit (tenant_id, at, actor, action, subject, detail)
    VALUES (:tenant, :now, :actor, 'webhook_endpoint.' || CAST(:verb AS text), :id, CAST(:detail AS jsonb))
""")

_LIVE: Final = "SELECT * FROM webhook_endpoints WHERE tenant_id = :tenant AND id = :id AND deleted_at IS NULL"
_ONE: Final = sql(_LIVE)
_LOCK: Final = sql(f"{_LIVE} FOR NO KEY UPDATE")
_SUBSCRIBED: Final = sql("""
    SELECT id, event_types, filter::text AS filter, ordering FROM webhook_endpoints
     WHERE tenant_id = :tenant AND deleted_at IS NULL ORDER BY id
""")
_SHOWN: Final = """
    SELECT e.*, h.succeeded, h.failed, p.parked FROM ({endpoints}) e
     CROSS JOIN LATERAL (
       SELECT coalesce(sum(succeeded), 0) AS succeeded, coalesce(sum(failed), 0) AS failed FROM webhook_health
        WHERE tenant_id = e.tenant_id AND endpoint_id = e.id AND minute >= CAST(:since AS timestamptz)
     ) h
     CROSS JOIN LATERAL (
       SELECT count(*) AS parked FROM webhook_deliveries
        WHERE tenant_id = e.tenant_id AND endpoint_id = e.id AND parked_at IS NOT NULL AND discarded_at IS NULL
          AND status = 'parked'
     ) p
     ORDER BY e.id DESC
"""
_VIEW: Final = sql(_SHOWN.format(endpoints=_LIVE))
_PAGE: Final = sql(
    _SHOWN.format(
        endpoints="""
            SELECT * FROM webhook_endpoints
             WHERE tenant_id = :tenant AND deleted_at IS NULL
               AND (CAST(:cursor AS text) IS NULL OR id < CAST(:cursor AS text))
             ORDER BY id DESC LIMIT CAST(:limit AS int)
        """
    )
)
_SECRETS: Final = sql(
    "SELECT id, secrets FROM webhook_endpoints WHERE tenant_id = :tenant AND deleted_at IS NULL ORDER BY id"
)
_SEALED: Final = sql("""
    SELECT tenant_id AS tenant, id, secrets AS sealed
      FROM webhook_endpoints WHERE deleted_at IS NULL FOR NO KEY UPDATE
""")
_RESEAL: Final = sql(
    "UPDATE webhook_endpoints SET secrets = CAST(:sealed AS bytea) WHERE tenant_id = :tenant AND id = :id"
)


class Subscriber(NamedTuple):
    """An endpoint that asked for an event."""

    id: str
    ordering: Ordering


class Subscriptions:
    """What a tenant's endpoints ask for at one moment."""

    def __init__(self, rows: Sequence[Row[Any]]) -> None:
        self._endpoints = [
            (Subscriber(row.id, Ordering(row.ordering)), tuple(row.event_types), _holds(row)) for row in rows
        ]
        self._of_type: dict[str, list[tuple[Subscriber, Holds | None]]] = {}

    def to(self, event_type: str, payload: Mapping[str, Any]) -> tuple[Subscriber, ...]:
        """The endpoints that asked for such an event, by id; disabled ones too, whose deliveries are parked."""
        if event_type not in self._of_type:
            self._of_type[event_type] = [
                (subscriber, holds) for subscriber, types, holds in self._endpoints if matches(types, event_type)
            ]
        asked = self._of_type[event_type]
        return tuple(subscriber for subscriber, holds in asked if holds is None or holds(payload))


class WebhookEndpoints:
    """Implements `hermod.ports.webhooks.ledger.Endpoints`, and what the API needs to manage endpoints."""

    def __init__(self, database: Database, vault: Vault, clock: Clock) -> None:
        self._database = database
        self._vault = vault
        self._clock = clock
        self._endpoints = TtlCache(self._read, CACHE_SECONDS)

    async def endpoint(self, tenant: str, endpoint: str, at_least: int = 0) -> Endpoint | None:
        found = await self._endpoints.get((tenant, endpoint))
        if found is None or found.revision >= at_least:
            return found
        self._endpoints.forget((tenant, endpoint))
        return await self._endpoints.get((tenant, endpoint))

    async def subscriptions(self, tenant: str) -> Subscriptions:
        """What the tenant's endpoints ask for now. Nothing is remembered: an event that is accepted after the answer to
        a change, in whatever process, goes by the change, and what found no endpoint could not be replayed."""
        return Subscriptions(await self._database.rows(_SUBSCRIBED, {"tenant": tenant}))

    def forget(self, tenant: str, endpoint: str) -> None:
        """Something else has changed the endpoint: the next look at it reads it."""
        self._endpoints.forget((tenant, endpoint))

    async def create(self, tenant: str, settings: EndpointSettings, *, actor: str, now: datetime) -> NewEndpoint:
        """With a fresh secret, which is shown this once."""
        endpoint, secret = new_id("whe"), new_secret()
        pair = new_key_pair() if settings.asymmetric else None
        secrets = EndpointSecrets(keys=(SigningKey(secret=secret),), headers=settings.headers, pair=pair)
        key = {"tenant": tenant, "id": endpoint, "now": now}
        async with self._database.begin() as connection:
            await connection.execute(_CREATE, key | columns(settings) | self._sealed(secrets))
            await connection.execute(_AUDIT, key | _audited("create", actor))
            view = await _view(connection, tenant, endpoint, now)
        self.forget(tenant, endpoint)
        return NewEndpoint(**dict(view), secret=secret)

    async def get(self, tenant: str, endpoint: str, now: datetime) -> EndpointView:
        """Raises NotFound."""
        async with self._database.autocommit(changes=False) as connection:
            return await _view(connection, tenant, endpoint, now)

    async def page(self, tenant: str, *, cursor: str | None, limit: int, now: datetime) -> EndpointPage:
        """The newest first."""
        names = {"tenant": tenant, "cursor": cursor, "limit": limit + 1, "since": now - WINDOW}
        rows = await self._database.rows(_PAGE, names)
        items, next_cursor = page_of("endpoint", rows, limit, lambda row: as_view(row, now))
        return EndpointPage(items=items, next_cursor=next_cursor)

    async def update(
        self,
        tenant: str,
        endpoint: str,
        change: Callable[[EndpointSettings], EndpointSettings],
        *,
        named: Collection[str],
        actor: str,
        now: datetime,
    ) -> EndpointView:
        """Replace the settings by `change(settings)`, which may raise: nothing is changed then.

        Where it is disabled by then, what waits for it is parked. `named` are the settings that the caller named,
        changed or not: who says `enabled` wants whatever trouble there was forgotten; so does who gives another URL.
        Raises NotFound, and Unavailable where the secrets do not open.
        """
        key = {"tenant": tenant, "id": endpoint, "now": now}
        async with self._database.begin() as connection:
            row, secrets = await self._locked(connection, tenant, endpoint)
            before = stored_settings(row, secrets)
            after = change(before)
            pair = (secrets.pair or new_key_pair()) if after.asymmetric else None
            kept = EndpointSecrets(keys=secrets.keys, headers=after.headers, pair=pair)
            enables = "enabled" in named and after.enabled
            anew = {"anew": enables or after.url != before.url}
            await connection.execute(_UPDATE, key | anew | columns(after) | self._sealed(kept))
            changed = [name for name in EndpointSettings.model_fields if getattr(before, name) != getattr(after, name)]
            verb = "enable" if enables and changed in ([], ["enabled"]) else "update"
            await connection.execute(_AUDIT, key | _audited(verb, actor, changed=changed))
            view = await _view(connection, tenant, endpoint, now)
        self.forget(tenant, endpoint)
        if after.enabled:
            return view
        await close_open_deliveries(self._database, tenant, endpoint, now)
        try:
            return await self.get(tenant, endpoint, now)
        except Unavailable:
            return view  # the change is committed; only what was parked since is not counted

    async def rotate(self, tenant: str, endpoint: str, overlap: timedelta, *, actor: str, now: datetime) -> NewSecret:
        """A fresh secret; the old ones sign beside it for `overlap` at most.

        Raises NotFound, Conflict where too many sign already, and Unavailable where the secrets do not open.
        """
        secret = new_secret()
        key = {"tenant": tenant, "id": endpoint, "now": now}
        async with self._database.begin() as connection:
            _, secrets = await self._locked(connection, tenant, endpoint)
            rotated = secrets.rotated(secret, overlap, now)
            await connection.execute(_REKEY, key | {"secrets": self._vault.seal(rotated.document())})
            hours = overlap / timedelta(hours=1)
            await connection.execute(_AUDIT, key | _audited("rotate_secret", actor, overlap_hours=hours))
        self.forget(tenant, endpoint)
        return NewSecret(secret=secret, old_valid_until=now + overlap)

    async def delete(self, tenant: str, endpoint: str, *, actor: str, now: datetime) -> None:
        """Its open deliveries are cancelled; one that is on its way when it finds it gone. Raises NotFound."""
        names = {"tenant": tenant, "id": endpoint, "actor": actor, "now": now}
        if not await self._database.rows(_DELETE, names):
            raise _unknown(endpoint)
        self.forget(tenant, endpoint)
        await close_open_deliveries(self._database, tenant, endpoint, now)

    async def unreadable(self, tenant: str) -> list[str]:
        """The endpoints whose secrets no key in HERMOD_SECRET_KEY opens."""
        return [row.id for row in await self._database.rows(_SECRETS, {"tenant": tenant}) if not self._opens(row)]

    async def reseal(self) -> Rotated:
        """Encrypt all secrets under the newest key."""
        return await rotate(self._database, self._vault, _SEALED, _RESEAL)

    async def _locked(
        self, connection: AsyncConnection, tenant: str, endpoint: str
    ) -> tuple[Row[Any], EndpointSecrets]:
        row = (await connection.execute(_LOCK, {"tenant": tenant, "id": endpoint})).one_or_none()
        if row is None:
            raise _unknown(endpoint)
        return row, self._opened(row)

    async def _read(self, key: tuple[str, str]) -> Endpoint | None:
        tenant, endpoint = key
        rows = await self._database.rows(_ONE, {"tenant": tenant, "id": endpoint})
        return as_endpoint(rows[0], self._opened(rows[0]), self._clock.now()) if rows else None

    def _sealed(self, secrets: EndpointSecrets) -> dict[str, Any]:
        return {
            "secrets": self._vault.seal(secrets.document()),
            "header_names": sorted(secrets.headers, key=str.lower),
            "public_key": public_key(secrets.pair) if secrets.pair is not None else None,
        }

    def _opens(self, row: Row[Any]) -> bool:
        try:
            self._vault.open(row.secrets)
        except UndecryptableSecret:
            return False
        return True

    def _opened(self, row: Row[Any]) -> EndpointSecrets:
        """Raises Unavailable: what waits for the endpoint waits for the key to come back."""
        try:
            return EndpointSecrets.of(self._vault.open(row.secrets))
        except UndecryptableSecret as reason:
            _log.error("endpoint_secrets_undecryptable", tenant=row.tenant_id, endpoint=row.id)
            raise Unavailable(f"the endpoint's secrets cannot be read: {reason}") from None


async def _view(connection: AsyncConnection, tenant: str, endpoint: str, now: datetime) -> EndpointView:
    names = {"tenant": tenant, "id": endpoint, "since": now - WINDOW}
    row = (await connection.execute(_VIEW, names)).one_or_none()
    if row is None:
        raise _unknown(endpoint)
    return as_view(row, now)


def _holds(row: Row[Any]) -> Holds | None:
    """One that cannot be read lets everything through: what found no endpoint could not be sent later."""
    return or_none("filter", row.id, lambda: payload_filter(row.filter))


def _unknown(endpoint: str) -> NotFound:
    return NotFound(f"there is no webhook endpoint {endpoint}")


def _audited(verb: str, actor: str, **detail: Any) -> dict[str, Any]:
    """Names of what was changed, never values: even a URL may carry a token."""
    return {"verb": verb, "actor": actor, "detail": orjson.dumps(detail).decode()}
