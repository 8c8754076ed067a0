"""Where everything that was accepted is, counted in the database: for the line of progress, the end of the drain, and
what is left open by then."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Row, text
from temporalio.client import Client
from temporalio.service import RPCError

from benchmarks.soak.product import Product
from benchmarks.soak.receiver import GOOD
from hermod.contracts.ids import message_workflow, webhook_workflow
from starter import Hermod

# What has a reason to wait (a rate, a pause, a time that was asked for) may wait; what has none should have begun.
_PROGRESS: Final = text("""
    WITH things AS (
      SELECT 'message' AS kind, finished_at, status, attempt_count, coalesce(send_at, created_at) AS due, wait_reason
        FROM messages WHERE tenant_id = :tenant
      UNION ALL
      SELECT 'delivery', finished_at, status, attempt_count, created_at, wait_reason
        FROM webhook_deliveries WHERE tenant_id = :tenant
      UNION ALL
      SELECT 'submission', finished_at, status, 0, created_at, CASE WHEN status <> 'pending' THEN status END
        FROM form_submissions WHERE tenant_id = :tenant
    )
    SELECT count(*) AS accepted, count(finished_at) AS final, count(*) - count(finished_at) AS open,
           coalesce(sum(attempt_count - 1) FILTER (WHERE attempt_count > 1), 0) AS repeated,
           count(*) FILTER (WHERE status = 'unknown') AS unknown,
           coalesce(extract(epoch FROM now() - min(due) FILTER (WHERE idle)), 0) AS oldest,
           (array_agg(kind ORDER BY due) FILTER (WHERE idle))[1] AS oldest_kind
      FROM (SELECT *, finished_at IS NULL AND attempt_count = 0 AND wait_reason IS NULL AND due <= now() AS idle
              FROM things) AS t
""")

_BUSY: Final = text("""
    SELECT (SELECT count(*) FROM messages WHERE tenant_id = :tenant AND finished_at IS NULL) AS messages,
           (SELECT count(*) FROM webhook_deliveries
             WHERE tenant_id = :tenant AND finished_at IS NULL AND endpoint_id = ANY(:good)) AS deliveries,
           (SELECT count(*) FROM form_submissions WHERE tenant_id = :tenant AND finished_at IS NULL) AS submissions,
           (SELECT count(*) FROM form_partials
             WHERE tenant_id = :tenant AND (waits_since IS NOT NULL OR due_at IS NOT NULL)) AS partials,
           (SELECT count(*) FROM webhook_replays WHERE tenant_id = :tenant AND finished_at IS NULL) AS replays,
           (SELECT count(*) FROM event_batches WHERE tenant_id = :tenant) AS event_batches
""")

_OPEN: Final = text("""
    SELECT 'message' AS kind, id, workflow_id, status, wait_reason, NULL AS endpoint_id,
           next_attempt_at > now() AS later
      FROM messages WHERE tenant_id = :tenant AND finished_at IS NULL
    UNION ALL
    SELECT 'delivery', id, workflow_id, status, wait_reason, endpoint_id, next_attempt_at > now()
      FROM webhook_deliveries WHERE tenant_id = :tenant AND finished_at IS NULL
    UNION ALL
    SELECT 'submission', id, workflow_id, status, NULL, NULL, false
      FROM form_submissions WHERE tenant_id = :tenant AND finished_at IS NULL
""")


@dataclass(frozen=True, slots=True)
class Progress:
    """Messages, webhook deliveries and submissions together."""

    accepted: int
    final: int
    open: int
    repeated: int
    """Requests beyond the first of each."""
    unknown: int
    oldest: float
    """Seconds that the oldest waits which is due, has no reason to wait, and has not begun."""
    oldest_kind: str | None


async def progress(hermod: Hermod) -> Progress:
    row = (await _rows(hermod, _PROGRESS))[0]
    return Progress(
        row.accepted, row.final, row.open, int(row.repeated), row.unknown, float(row.oldest), row.oldest_kind
    )


async def drained(product: Product, within: float) -> tuple[float, dict[str, int]]:
    """Wait until nothing is left to do but for endpoints in trouble: how long that took, and what is left undone."""
    begun = time.monotonic()
    good = [product.endpoints[name] for name in GOOD]
    while True:
        row = (await _rows(product.hermod, _BUSY, good=good))[0]
        left = {name: number for name, number in row._mapping.items() if number}
        if not left or time.monotonic() - begun > within:
            return time.monotonic() - begun, left
        await asyncio.sleep(0.5)


async def waiting(product: Product) -> Counter[str]:
    """What is open, by what it waits for."""
    names = {own: name for name, own in product.endpoints.items()}
    return Counter(_reason(row, names) for row in await _rows(product.hermod, _OPEN))


def _reason(row: Row[Any], names: Mapping[str, str]) -> str:
    whom = f" to {names.get(row.endpoint_id, row.endpoint_id)}" if row.endpoint_id else ""
    why = row.wait_reason or ("its next attempt has a time" if row.later else row.status)
    return f"{row.kind}{whom}: {why}"


async def orphaned(hermod: Hermod, temporal: Client, within: float) -> list[str]:
    """What is open and has no running workflow, even after the time that the sweeper needs to start one anew."""
    deadline = time.monotonic() + within
    while True:
        listed = await _running(temporal)
        rows = [row for row in await _rows(hermod, _OPEN) if listed.isdisjoint(_owners(hermod.tenant, row))]
        # The list is a little behind what it lists, so what is missing there is asked for by its id.
        states = [[await _state(temporal, owner) for owner in _owners(hermod.tenant, row)] for row in rows]
        found = [
            f"{row.kind} {row.id} is open ({row.status}), and nobody works on it: {row.workflow_id} is {state[0]}"
            for row, state in zip(rows, states, strict=True)
            if "running" not in state
        ]
        if not found or time.monotonic() > deadline:
            return found
        await asyncio.sleep(1.0)


def _owners(tenant: str, row: Row[Any]) -> Iterator[str]:
    """The workflow on record; and those that it may have left the row to, which sign it when they begin."""
    yield row.workflow_id
    if row.kind == "message":
        yield message_workflow(tenant, row.id)
    if row.kind == "delivery":
        yield webhook_workflow(tenant, row.id)
        yield f"{row.workflow_id}.{row.endpoint_id}"


async def _running(temporal: Client) -> set[str]:
    return {found.id async for found in temporal.list_workflows("ExecutionStatus = 'Running'", page_size=1000)}


async def _state(temporal: Client, workflow: str) -> str:
    try:
        status = (await temporal.get_workflow_handle(workflow).describe()).status
    except RPCError as error:
        return error.status.name.lower()
    return status.name.lower() if status is not None else "unknown"


async def _rows(hermod: Hermod, statement: Any, **names: Any) -> Any:
    return await hermod.core.storage.database.rows(statement, {"tenant": hermod.tenant, **names})
