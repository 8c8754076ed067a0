"""The requests that were made for a delivery, as far as they can be made again by hand: address, headers, the bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from hermod.contracts.errors import NotFound
from hermod.storage.database.engine import Database, sql
from hermod.storage.secrets.contents import Contents

_REQUEST: Final = sql("""
    SELECT d.event_id, d.attempt_count, e.body, p.url, p.header_names, a.number, a.exchange -> 'request_headers' AS sent
      FROM webhook_deliveries d
      JOIN webhook_endpoints p ON p.tenant_id = d.tenant_id AND p.id = d.endpoint_id
      LEFT JOIN webhook_events e ON e.tenant_id = d.tenant_id AND e.id = d.event_id
      LEFT JOIN webhook_attempts a ON a.tenant_id = d.tenant_id AND a.delivery_id = d.id
                                  AND a.number = coalesce(CAST(:number AS int), d.attempt_count)
     WHERE d.tenant_id = :tenant AND d.id = :id
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRequest:
    number: int | None
    """None: there was no attempt yet."""
    url: str
    """As the endpoint has it now."""
    headers: Mapping[str, str]
    """As the log has them, with secrets masked. Empty where it is not known that a request left."""
    custom: tuple[str, ...]
    """The names of the endpoint's own headers."""
    body: bytes


class WebhookRequests:
    def __init__(self, database: Database, contents: Contents) -> None:
        self._database = database
        self._contents = contents

    async def request(self, tenant: str, delivery: str, number: int | None) -> AttemptRequest:
        """The attempt of that number, or the last one. Raises NotFound, also where the event's payload was dropped."""
        rows = await self._database.rows(_REQUEST, {"tenant": tenant, "id": delivery, "number": number})
        if not rows:
            raise NotFound(f"there is no webhook delivery {delivery}")
        row = rows[0]
        if number is not None and row.number is None:
            raise NotFound(f"the delivery has had {row.attempt_count} attempts; there is no number {number}")
        if row.body is None:
            raise NotFound("the payload was dropped when its time was over")
        unseal = await self._contents.opening(tenant)
        return AttemptRequest(
            number=row.number,
            url=row.url,
            headers=row.sent or {},
            custom=tuple(row.header_names),
            body=unseal(row.event_id, row.body),
        )
