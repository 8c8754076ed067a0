"""Reading a delivery's story, and the moves that people make: cancel, retry, discard.

Each move is one conditional UPDATE with its line in the audit; what it could not change is explained from the state it
found.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Final

import orjson
from sqlalchemy import Row, TextClause

from hermod.contracts.errors import Conflict, NotFound
from hermod.contracts.webhooks.deliveries import (
    DeliveryAttemptView,
    DeliveryPage,
    DeliveryStatus,
    DeliverySummary,
    DeliveryView,
    Phases,
)
from hermod.storage.database.engine import Database, sql
from hermod.storage.database.readable import or_none, page_of
from hermod.storage.secrets.contents import Contents
from hermod.storage.webhooks.event_filters import asks_for
from hermod.storage.webhooks.ledger import answer_name
from hermod.storage.webhooks.reopening import AFRESH, with_event

_DELIVERY: Final = sql("""
    SELECT d.*, e.body, e.ordering_key, p.url
      FROM webhook_deliveries d
      LEFT JOIN webhook_events e ON e.tenant_id = d.tenant_id AND e.id = d.event_id
      LEFT JOIN webhook_endpoints p ON p.tenant_id = d.tenant_id AND p.id = d.endpoint_id
     WHERE d.tenant_id = :tenant AND d.id = :id
""")
_ATTEMPTS: Final = sql("SELECT * FROM webhook_attempts WHERE tenant_id = :tenant AND delivery_id = :id ORDER BY number")

_NARROWED: Final = f"""
    tenant_id = :tenant
    AND (CAST(:endpoint AS text) IS NULL OR endpoint_id = CAST(:endpoint AS text))
    AND (CAST(:type AS text) IS NULL OR {asks_for("CAST(:type AS text)", "event_type")})
    AND (CAST(:since AS timestamptz) IS NULL OR created_at >= CAST(:since AS timestamptz))
    AND (CAST(:before AS timestamptz) IS NULL OR created_at < CAST(:before AS timestamptz))
    AND (CAST(:status_code AS int) IS NULL OR status_code = CAST(:status_code AS int))
    AND (CAST(:cursor AS text) IS NULL OR id < CAST(:cursor AS text))
"""
_LIST: Final = sql(f"""
    SELECT * FROM webhook_deliveries
     WHERE {_NARROWED}
       AND (CAST(:wanted AS text) IS NULL OR status = CAST(:wanted AS text))
       AND CASE WHEN CAST(:discarded AS bool) IS NOT NULL THEN (discarded_at IS NOT NULL) = CAST(:discarded AS bool)
                ELSE CAST(:wanted AS text) IS NULL OR discarded_at IS NULL END
     ORDER BY id DESC LIMIT CAST(:limit AS int)
""")  # noqa: S608 - ours


def _move(assignments: str, states: Sequence[str], condition: str = "true", *, first: str = "") -> TextClause:
    """`first`: CTEs that the condition is about."""
    return sql(f"""
    WITH {first} moved AS (
      UPDATE webhook_deliveries SET {assignments}, updated_at = :now
       WHERE tenant_id = :tenant AND id = :id AND {_in(states)} AND {condition}
      RETURNING *
    ), audited AS (
      INSERT INTO audit (tenant_id, at, actor, action, subject)
      SELECT :tenant, :now, :actor, 'webhook_delivery.' || CAST(:verb AS text), id FROM moved
    )
    SELECT * FROM moved
    """)  # noqa: S608 - assignments and states are constants of this module


def _in(states: Sequence[str]) -> str:
    return f"status IN ({', '.join(repr(state) for state in states)})"


_ENDED_BADLY: Final = ("failed", "parked", "skipped", "cancelled")
_MOVES: Final = {
    "cancel": _move(
        "status = 'cancelled', finished_at = :now, next_attempt_at = NULL, wait_reason = NULL",
        ("pending", "queued", "retrying"),
    ),
    "retry": _move(
        AFRESH,
        _ENDED_BADLY,
        "id = ANY(ARRAY(SELECT id FROM kept))",
        first=f"{with_event(f'id = :id AND {_in(_ENDED_BADLY)}')},",
    ),
    "discard": _move("discarded_at = :now", ("failed", "parked", "skipped"), "discarded_at IS NULL"),
}
_WHY: Final = {
    "cancel": "it can be cancelled only while it waits",
    "retry": "only one that failed, was skipped, parked or cancelled can be retried; a replay repeats delivered ones",
    "discard": "only a dead letter or a parked one can be discarded, once",
}

_STARTED: Final = sql("""
    UPDATE webhook_deliveries SET status = 'queued', updated_at = :now
     WHERE tenant_id = :tenant AND id = ANY(:ids) AND workflow_id = :owner AND status = 'pending'
""")
_PENDING: Final = sql(
    "SELECT 1 FROM webhook_deliveries WHERE tenant_id = :tenant AND id = ANY(:ids) AND status = 'pending' LIMIT 1"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """A delivery after a move, with what is needed to tell its workflow."""

    summary: DeliverySummary
    workflow_id: str
    order_key: str | None
    request_id: str | None


class WebhookDeliveries:
    def __init__(self, database: Database, contents: Contents) -> None:
        self._database = database
        self._contents = contents

    async def view(self, tenant: str, delivery: str) -> DeliveryView:
        """The whole story. Raises NotFound."""
        names = {"tenant": tenant, "id": delivery}
        async with self._database.autocommit(changes=False) as connection:
            row = (await connection.execute(_DELIVERY, names)).one_or_none()
            if row is None:
                raise NotFound(f"there is no delivery {delivery}")
            attempts = (await connection.execute(_ATTEMPTS, names)).all()
        unseal = await self._contents.opening(tenant)
        body = None if row.body is None else or_none("delivery", delivery, partial(_payload, row, unseal))
        return DeliveryView(
            **_shared(row),
            url=row.url or "",
            ordering_key=row.ordering_key,
            workflow_id=row.workflow_id,
            payload=body,
            attempts=tuple(_attempt(attempt, unseal) for attempt in attempts),
        )

    async def page(
        self,
        tenant: str,
        *,
        endpoint: str | None = None,
        status: DeliveryStatus | None = None,
        event_type: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        status_code: int | None = None,
        discarded: bool | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> DeliveryPage:
        """The newest first. `event_type` may end in `.*` or `/*`; with a status, those that were discarded are left
        out, unless `discarded` says otherwise."""
        names = {
            "tenant": tenant,
            "endpoint": endpoint,
            "wanted": status.value if status else None,
            "type": event_type,
            "since": since,
            "before": until,
            "status_code": status_code,
            "discarded": discarded,
            "cursor": cursor,
            "limit": limit + 1,
        }
        return _page(await self._database.rows(_LIST, names), limit)

    async def cancel(self, tenant: str, delivery: str, *, actor: str, now: datetime) -> Moved:
        """Raises NotFound, and Conflict for a delivery that is on its way or has ended."""
        return await self._moved("cancel", tenant, delivery, actor, now)

    async def retry(self, tenant: str, delivery: str, *, actor: str, now: datetime) -> Moved:
        """It begins again, with its whole schedule; its attempts are counted on. Raises NotFound and Conflict."""
        return await self._moved("retry", tenant, delivery, actor, now)

    async def discard(self, tenant: str, delivery: str, *, actor: str, now: datetime) -> Moved:
        """Take it off the list of dead letters; its record stays. Raises NotFound and Conflict."""
        return await self._moved("discard", tenant, delivery, actor, now)

    async def mark_started(self, tenant: str, owner: str, deliveries: Sequence[str], now: datetime) -> None:
        """Their workflow exists: pending becomes queued."""
        names = {"tenant": tenant, "owner": owner, "ids": list(deliveries), "now": now}
        await self._database.execute(_STARTED, names)

    async def any_pending(self, tenant: str, deliveries: Sequence[str]) -> bool:
        """Whether one of them has yet to be started."""
        return bool(await self._database.rows(_PENDING, {"tenant": tenant, "ids": list(deliveries)}))

    async def _moved(self, verb: str, tenant: str, delivery: str, actor: str, now: datetime) -> Moved:
        names = {"tenant": tenant, "id": delivery, "actor": actor, "now": now, "verb": verb}
        rows = await self._database.rows(_MOVES[verb], names)
        if rows:
            row = rows[0]
            return Moved(
                summary=DeliverySummary(**_shared(row)),
                workflow_id=row.workflow_id,
                order_key=row.order_key,
                request_id=row.request_id,
            )
        found = await self._database.rows(_DELIVERY, {"tenant": tenant, "id": delivery})
        if not found:
            raise NotFound(f"there is no delivery {delivery}")
        raise Conflict(_refusal(verb, found[0]))


def _refusal(verb: str, row: Row[Any]) -> str:
    if verb == "retry" and row.body is None:
        return f"the delivery is {row.status}, and its payload was dropped when its time was over"
    if verb == "cancel" and row.status == DeliveryStatus.SENDING:
        return "the delivery is sending; a request is on its way to the receiver and cannot be called back"
    return f"the delivery is {row.status}; {_WHY[verb]}"


def _payload(row: Row[Any], unseal: Callable[[str, bytes], bytes]) -> dict[str, Any]:
    payload: dict[str, Any] = orjson.loads(unseal(row.event_id, row.body))["data"]
    return payload


def _attempt(row: Row[Any], unseal: Callable[[str, bytes], bytes]) -> DeliveryAttemptView:
    facts = row.exchange or {}
    kept = row.response_body
    # The first byte tells an answer in the clear from an encrypted one.
    name = answer_name(row.delivery_id, row.number)
    opened = None if kept is None else or_none("answer", name, lambda: unseal(name, kept))
    text = None if opened is None else opened[1:].decode(errors="replace")
    return DeliveryAttemptView(
        number=row.number,
        outcome=row.outcome,
        status_code=row.status_code,
        error=row.error,
        address=row.address,
        request_headers=facts.get("request_headers", {}),
        response_headers=facts.get("response_headers", {}),
        response_body=text,
        truncated=row.truncated,
        phases=Phases(**facts.get("phases", {})),
        started_at=row.started_at,
        duration_ms=row.duration_ms,
    )


def _shared(row: Row[Any]) -> dict[str, Any]:
    return {
        "id": row.id,
        "endpoint_id": row.endpoint_id,
        "event_id": row.event_id,
        "event_type": row.event_type,
        "status": row.status,
        "attempt_count": row.attempt_count,
        "status_code": row.status_code,
        "error": row.error,
        "next_attempt_at": row.next_attempt_at,
        "created_at": row.created_at,
        "finished_at": row.finished_at,
        "discarded_at": row.discarded_at,
    }


def _page(rows: Sequence[Row[Any]], limit: int) -> DeliveryPage:
    items, next_cursor = page_of("delivery", rows, limit, lambda row: DeliverySummary(**_shared(row)))
    return DeliveryPage(items=items, next_cursor=next_cursor)
