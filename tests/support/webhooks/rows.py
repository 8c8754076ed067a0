"""Rows of webhooks as they may stand in the database, without what would bring them there."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import text

from hermod.contracts.ids import new_id
from hermod.contracts.webhooks.deliveries import OPEN_DELIVERIES, DeliveryStatus
from hermod.storage.database.engine import Database

_ENDPOINT: Final = text("""
    INSERT INTO webhook_endpoints (tenant_id, id, url, event_types, retry, timeout_seconds, max_concurrency, ordering,
                                   when_exhausted, skip_after, secrets, header_names, enabled, concurrency)
    VALUES (:tenant, :id, 'https://example.com/hook', '{*}', '"webhook"', 15, 10, 'by_key',
            CAST(:choice AS text), NULL, '\\x00', '{}', :enabled, 10)
""")
_EVENT: Final = text("""
    INSERT INTO webhook_events (tenant_id, id, type, body, body_hash, created_at)
    VALUES (:tenant, :id, CAST(:type AS text), '{}', '\\x00', :at)
""")
_DELIVERY: Final = text("""
    INSERT INTO webhook_deliveries (tenant_id, id, endpoint_id, event_id, event_type, order_key, status, workflow_id,
                                    created_at, updated_at, dead_at, parked_at, finished_at)
    VALUES (:tenant, :id, :endpoint, :event, :type, :key, CAST(:status AS text), 'webhook/' || :tenant || '/' || :id,
            :at, :at, CASE WHEN :status = 'failed' THEN CAST(:at AS timestamptz) END,
            CASE WHEN :status = 'parked' THEN CAST(:at AS timestamptz) END,
            CASE WHEN :closed THEN CAST(:at AS timestamptz) END)
""")
_STATUS: Final = text("SELECT status FROM webhook_deliveries WHERE tenant_id = :tenant AND id = :id")
_EVENT_OF: Final = text("SELECT event_id FROM webhook_deliveries WHERE tenant_id = :tenant AND id = :id")
_DROP_EVENT: Final = text("DELETE FROM webhook_events WHERE tenant_id = :tenant AND id = :id")
_DISCARD: Final = text("UPDATE webhook_deliveries SET discarded_at = now() WHERE tenant_id = :tenant AND id = :id")


@dataclass(frozen=True)
class WebhookRows:
    """An endpoint of `tenant`, and deliveries to it."""

    database: Database
    tenant: str
    endpoint: str
    at: datetime
    """The time that stands for now."""

    @classmethod
    async def make(
        cls, database: Database, tenant: str, at: datetime, *, choice: str = "dead_letter", enabled: bool = True
    ) -> WebhookRows:
        endpoint = new_id("whe")
        names = {"tenant": tenant, "id": endpoint, "choice": choice, "enabled": enabled}
        await database.execute(_ENDPOINT, names)
        return cls(database, tenant, endpoint, at)

    async def add(
        self,
        status: DeliveryStatus,
        *,
        type_: str = "order.paid",
        key: str | None = None,
        ago: timedelta = timedelta(minutes=1),
        event: str | None = None,
    ) -> str:
        """A delivery of an event of its own, or of one that is there."""
        delivery = new_id("whd")
        if event is None:
            event, at = new_id("evt"), self.at - ago
            await self.database.execute(_EVENT, {"tenant": self.tenant, "id": event, "type": type_, "at": at})
        await self.database.execute(
            _DELIVERY,
            {
                "tenant": self.tenant,
                "id": delivery,
                "endpoint": self.endpoint,
                "event": event,
                "type": type_,
                "key": key,
                "status": status.value,
                "at": self.at - ago,
                "closed": status not in OPEN_DELIVERIES,
            },
        )
        return delivery

    async def status(self, delivery: str) -> DeliveryStatus:
        rows = await self.database.rows(_STATUS, {"tenant": self.tenant, "id": delivery})
        return DeliveryStatus(rows[0].status)

    async def event_of(self, delivery: str) -> str:
        rows = await self.database.rows(_EVENT_OF, {"tenant": self.tenant, "id": delivery})
        return str(rows[0].event_id)

    async def drop_event(self, delivery: str) -> None:
        """As if it had been lost."""
        await self.database.execute(_DROP_EVENT, {"tenant": self.tenant, "id": await self.event_of(delivery)})

    async def discard(self, delivery: str) -> None:
        await self.database.execute(_DISCARD, {"tenant": self.tenant, "id": delivery})

    async def switch(self, *, enabled: bool) -> None:
        statement = text("UPDATE webhook_endpoints SET enabled = :enabled WHERE tenant_id = :tenant AND id = :id")
        await self.database.execute(statement, {"enabled": enabled, "tenant": self.tenant, "id": self.endpoint})
