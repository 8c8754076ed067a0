"""`hermod.ports.webhooks.WebhookLedger` on PostgreSQL: each call one statement over arrays, for one as for many.

The shape of the statements, conditions in CASE and ids beside the join, is that of `hermod.storage.ledger`, for the
same reasons. What became of a request is recorded where its number is the delivery's newest: a worker that was thought
lost changes nothing but the line of its own attempt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import orjson
from sqlalchemy import Row

from hermod.contracts.webhooks import OPEN_DELIVERIES, DeliveryStatus
from hermod.ports.webhooks import DeliveryItem, Exchange, WebhookChange, WebhookIntent, WebhookResult
from hermod.storage.contents import Contents, Seal
from hermod.storage.engine import Database, sql
from hermod.storage.webhook_reopening import with_event

_OPEN: Final = ", ".join(f"'{status.value}'" for status in sorted(OPEN_DELIVERIES))

_GIVEN_UP_BEFORE: Final = "id = ANY(:ids) AND workflow_id = :owner AND status = 'failed' AND failed_run <> :run"

_REOPEN: Final = sql(f"""
    WITH {with_event(_GIVEN_UP_BEFORE)}, reopened AS (
      UPDATE webhook_deliveries
         SET status = 'queued', spent = 0, finished_at = NULL, failed_run = NULL, dead_at = NULL, error = NULL,
             next_attempt_at = NULL, discarded_at = NULL, updated_at = :now
       WHERE tenant_id = :tenant AND id = ANY(ARRAY(SELECT id FROM kept)) AND {_GIVEN_UP_BEFORE}
      RETURNING id
    )
    INSERT INTO audit (tenant_id, at, actor, action, subject)
    SELECT :tenant, :now, 'temporal', 'webhook_delivery.retry', id FROM reopened
""")  # noqa: S608 - ours

_FETCH: Final = sql(f"""
    SELECT d.id, d.endpoint_id, d.event_id, d.event_type, d.status, d.attempt_count, d.spent, d.next_attempt_at,
           d.wait_reason, d.request_id, d.order_key, e.body,
           d.status = 'sending' AND d.attempt_count > 0 AS in_flight
      FROM webhook_deliveries d JOIN webhook_events e ON e.tenant_id = d.tenant_id AND e.id = d.event_id
     WHERE d.tenant_id = :tenant AND d.id = ANY(:ids) AND e.tenant_id = :tenant
       AND CASE WHEN d.workflow_id = :owner THEN d.status IN ({_OPEN}) END
""")  # noqa: S608 - the names are ours

_ANY_DEAD: Final = sql("""
    SELECT 1 FROM webhook_deliveries
     WHERE tenant_id = :tenant AND id = ANY(:ids) AND workflow_id = :owner AND status = 'failed' AND failed_run <> :run
     LIMIT 1
""")

_GRANT: Final = sql(f"""
    WITH intent AS (
      SELECT * FROM unnest(CAST(:ids AS text[]), CAST(:numbers AS int[])) AS i(id, number)
    ), granted AS (
      UPDATE webhook_deliveries d
         SET status = 'sending', attempt_count = i.number, next_attempt_at = NULL, wait_reason = NULL, updated_at = :now
        FROM intent i
       WHERE d.tenant_id = :tenant AND d.id = ANY(:ids) AND d.id = i.id
         AND CASE WHEN d.workflow_id = :owner AND d.attempt_count = i.number - 1 THEN d.status IN ({_OPEN}) END
      RETURNING d.id, d.attempt_count
    ), logged AS (
      INSERT INTO webhook_attempts (tenant_id, delivery_id, number, started_at)
      SELECT :tenant, id, attempt_count, :now FROM granted
    )
    SELECT id FROM granted
""")  # noqa: S608

_RECORD: Final = sql("""
    WITH result AS (
      SELECT * FROM unnest(CAST(:ids AS text[]), CAST(:numbers AS int[]), CAST(:outcomes AS text[]),
                           CAST(:status_codes AS int[]), CAST(:errors AS text[]), CAST(:addresses AS text[]),
                           CAST(:exchanges AS text[]), CAST(:bodies AS bytea[]), CAST(:truncated AS bool[]),
                           CAST(:durations AS int[]), CAST(:statuses AS text[]), CAST(:spent AS int[]),
                           CAST(:next_at AS timestamptz[]), CAST(:waits AS text[]), CAST(:closed AS bool[]))
                    AS r(id, number, outcome, status_code, error, address, exchange, body, truncated, duration, status,
                         spent, next_at, wait, closed)
    ), logged AS (
      UPDATE webhook_attempts a
         SET outcome = r.outcome, status_code = r.status_code, error = r.error, address = r.address,
             exchange = CAST(r.exchange AS jsonb), response_body = r.body, truncated = r.truncated,
             duration_ms = r.duration
        FROM result r
       WHERE a.tenant_id = :tenant AND a.delivery_id = ANY(:ids) AND a.delivery_id = r.id AND a.number = r.number
         AND CASE WHEN a.outcome IS NOT NULL
                  THEN a.outcome = 'worker_lost' AND r.outcome NOT IN ('worker_lost', 'interrupted') ELSE true END
    )
    UPDATE webhook_deliveries d
       SET status = r.status, spent = r.spent, next_attempt_at = r.next_at, wait_reason = r.wait,
           status_code = r.status_code, error = r.error, updated_at = :now,
           finished_at = CASE WHEN r.closed THEN CAST(:now AS timestamptz) END,
           failed_run = CASE WHEN r.status = 'failed' THEN CAST(:run AS text) END,
           dead_at = CASE WHEN r.status IN ('failed', 'skipped') THEN CAST(:now AS timestamptz) END
      FROM result r
     WHERE d.tenant_id = :tenant AND d.id = ANY(:ids) AND d.id = r.id
       AND CASE WHEN d.attempt_count = r.number THEN d.status = 'sending' END
""")

_CHANGE: Final = sql(f"""
    WITH change AS (
      SELECT * FROM unnest(CAST(:ids AS text[]), CAST(:statuses AS text[]), CAST(:next_at AS timestamptz[]),
                           CAST(:waits AS text[]), CAST(:errors AS text[]), CAST(:closed AS bool[]))
                    AS c(id, status, next_at, wait, error, closed)
    )
    UPDATE webhook_deliveries d
       SET status = c.status, next_attempt_at = c.next_at, wait_reason = c.wait, error = coalesce(c.error, d.error),
           updated_at = :now, finished_at = CASE WHEN c.closed THEN CAST(:now AS timestamptz) END,
           parked_at = CASE WHEN c.status = 'parked' THEN CAST(:now AS timestamptz) END
      FROM change c
     WHERE d.tenant_id = :tenant AND d.id = ANY(:ids) AND d.id = c.id
       AND CASE WHEN d.workflow_id = :owner THEN d.status IN ({_OPEN}) END
""")  # noqa: S608

_COUNTS: Final = sql("""
    SELECT status, count(*) AS n FROM webhook_deliveries WHERE tenant_id = :tenant AND id = ANY(:ids) GROUP BY status
""")

_HAND_OVER: Final = sql(f"""
    UPDATE webhook_deliveries SET workflow_id = CAST(:to AS text)
     WHERE tenant_id = :tenant AND id = ANY(:ids) AND workflow_id = :owner AND status IN ({_OPEN})
""")  # noqa: S608

_WITHDRAW: Final = sql("""
    UPDATE webhook_deliveries SET status = 'cancelled', finished_at = :now, updated_at = :now, next_attempt_at = NULL
     WHERE tenant_id = :tenant AND id = ANY(:ids) AND workflow_id = :owner
       AND status IN ('pending', 'queued', 'retrying')
""")


class SqlWebhookLedger:
    def __init__(self, database: Database, contents: Contents) -> None:
        self._database = database
        self._contents = contents

    async def open_items(
        self, tenant: str, owner: str, run: str, deliveries: Sequence[str], now: datetime
    ) -> list[DeliveryItem]:
        names = {"tenant": tenant, "owner": owner, "ids": list(deliveries)}
        rows = await self._database.rows(_FETCH, names)
        if len(rows) < len(deliveries) and await self._database.rows(_ANY_DEAD, names | {"run": run}):
            await self._database.execute(_REOPEN, names | {"run": run, "now": now})
            rows = await self._database.rows(_FETCH, names)
        unseal = await self._contents.opening(tenant)
        return [_item(row, unseal(row.event_id, row.body)) for row in rows]

    async def grant(self, tenant: str, owner: str, intents: Sequence[WebhookIntent], now: datetime) -> set[str]:
        names = {
            "tenant": tenant,
            "owner": owner,
            "now": now,
            "ids": [intent.delivery for intent in intents],
            "numbers": [intent.number for intent in intents],
        }
        return {row.id for row in await self._database.rows(_GRANT, names)} if intents else set()

    async def record(self, tenant: str, run: str, results: Sequence[WebhookResult], now: datetime) -> None:
        if results:
            seal = await self._contents.sealing(tenant)
            await self._database.execute(_RECORD, {"tenant": tenant, "run": run, "now": now} | _results(results, seal))

    async def change(self, tenant: str, owner: str, changes: Sequence[WebhookChange], now: datetime) -> None:
        if not changes:
            return
        names: dict[str, Any] = {
            "tenant": tenant,
            "owner": owner,
            "now": now,
            "ids": [change.delivery for change in changes],
            "statuses": [change.status.value for change in changes],
            "next_at": [change.next_attempt_at for change in changes],
            "waits": [change.wait_reason for change in changes],
            "errors": [change.error for change in changes],
            "closed": [change.status not in OPEN_DELIVERIES for change in changes],
        }
        await self._database.execute(_CHANGE, names)

    async def counts(self, tenant: str, deliveries: Sequence[str]) -> Mapping[DeliveryStatus, int]:
        rows = await self._database.rows(_COUNTS, {"tenant": tenant, "ids": list(deliveries)})
        return {DeliveryStatus(row.status): row.n for row in rows}

    async def hand_over(self, tenant: str, owner: str, deliveries: Sequence[str], to: str) -> None:
        await self._database.execute(_HAND_OVER, {"tenant": tenant, "owner": owner, "ids": list(deliveries), "to": to})

    async def withdraw(self, tenant: str, owner: str, deliveries: Sequence[str], now: datetime) -> None:
        names = {"tenant": tenant, "owner": owner, "ids": list(deliveries), "now": now}
        await self._database.execute(_WITHDRAW, names)


def answer_name(delivery: str, number: int) -> str:
    """What the seal of an attempt's answer is bound to."""
    return f"{delivery}/{number}"


def _item(row: Row[Any], body: bytes) -> DeliveryItem:
    return DeliveryItem(
        id=row.id,
        endpoint_id=row.endpoint_id,
        event_id=row.event_id,
        event_type=row.event_type,
        body=body,
        status=DeliveryStatus(row.status),
        attempts=row.attempt_count,
        spent=row.spent,
        next_attempt_at=row.next_attempt_at,
        wait_reason=row.wait_reason,
        request_id=row.request_id,
        order_key=row.order_key,
        in_flight=row.in_flight,
    )


def _results(results: Sequence[WebhookResult], seal: Seal) -> dict[str, Any]:
    exchanges = [result.exchange for result in results]
    return {
        "ids": [result.delivery for result in results],
        "numbers": [result.number for result in results],
        "outcomes": [exchange.outcome for exchange in exchanges],
        "status_codes": [exchange.status_code for exchange in exchanges],
        "errors": [exchange.error for exchange in exchanges],
        "addresses": [exchange.address for exchange in exchanges],
        "exchanges": [_facts(exchange) for exchange in exchanges],
        "bodies": [_answer(result, seal) for result in results],
        "truncated": [exchange.truncated for exchange in exchanges],
        "durations": [exchange.duration_ms for exchange in exchanges],
        "statuses": [result.status.value for result in results],
        "spent": [result.spent for result in results],
        "next_at": [result.next_attempt_at for result in results],
        "waits": [result.wait_reason for result in results],
        "closed": [result.status not in OPEN_DELIVERIES for result in results],
    }


def _facts(exchange: Exchange) -> str | None:
    """Headers and phases as JSON; None where no request is known to have been made."""
    if not exchange.request_headers:
        return None
    facts = {
        "request_headers": dict(exchange.request_headers),
        "response_headers": dict(exchange.response_headers),
        "phases": exchange.phases.model_dump(),
    }
    return orjson.dumps(facts).decode()


def _answer(result: WebhookResult, seal: Seal) -> bytes | None:
    """The answer's beginning, after a byte that tells it from an encrypted one whatever a receiver sends."""
    body = result.exchange.body
    return seal(answer_name(result.delivery, result.number), b"\0" + body) if body else None
