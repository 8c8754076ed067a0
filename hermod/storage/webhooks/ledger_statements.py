"""The statements of the ledger of webhook deliveries, in the shape of `hermod.storage.notifications.ledger_statements`
and for its reasons: conditions in CASE, ids beside the join, attempts locked before deliveries.
"""

from __future__ import annotations

from typing import Final

from hermod.contracts.webhooks.deliveries import OPEN_DELIVERIES
from hermod.storage.database.engine import sql
from hermod.storage.webhooks.reopening import PAYLOAD_GONE, with_event

_OPEN: Final = ", ".join(f"'{status.value}'" for status in sorted(OPEN_DELIVERIES))
_AT_REST: Final = "'pending', 'queued', 'retrying'"
"""Open, and no request is under way."""
_KNOWN: Final = "(r.status <> 'delivered' AND d.late_success_number >= r.number) IS TRUE"
"""Of a result in `RECORD`: what it did not achieve, an earlier request had, as has become known meanwhile."""

_GIVEN_UP_BEFORE: Final = "id = ANY(:ids) AND workflow_id = :owner AND status = 'failed' AND failed_run <> :run"

REOPEN: Final = sql(f"""
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

FETCH: Final = sql(f"""
    SELECT d.id, d.endpoint_id, d.event_id, d.event_type, d.status, d.attempt_count, d.spent, d.next_attempt_at,
           d.wait_reason, d.request_id, d.order_key, e.body, w.revision, d.status = 'sending' AS in_flight,
           CASE WHEN d.status = 'sending' THEN
             (SELECT json_build_array(a.worker, coalesce(a.ends_by <= :now, false), a.ends_by) FROM webhook_attempts a
               WHERE a.tenant_id = d.tenant_id AND a.delivery_id = d.id AND a.number = d.attempt_count) END AS asked
      FROM webhook_deliveries d LEFT JOIN webhook_events e ON e.tenant_id = :tenant AND e.id = d.event_id
      LEFT JOIN webhook_endpoints w ON w.tenant_id = :tenant AND w.id = d.endpoint_id
     WHERE d.tenant_id = :tenant AND d.id = ANY(:ids)
       AND CASE WHEN d.workflow_id = :owner THEN d.status IN ({_OPEN}) END
""")  # noqa: S608 - the names are ours

ANY_DEAD: Final = sql("""
    SELECT 1 FROM webhook_deliveries
     WHERE tenant_id = :tenant AND id = ANY(:ids) AND workflow_id = :owner AND status = 'failed' AND failed_run <> :run
     LIMIT 1
""")

GRANT: Final = sql(f"""
    WITH intent AS (
      SELECT * FROM unnest(CAST(:ids AS text[]), CAST(:numbers AS int[]), CAST(:ends_by AS timestamptz[]))
                    AS i(id, number, ends_by)
    ), granted AS (
      UPDATE webhook_deliveries d
         SET status = 'sending', attempt_count = i.number, next_attempt_at = NULL, wait_reason = NULL, updated_at = :now
        FROM intent i
       WHERE d.tenant_id = :tenant AND d.id = ANY(:ids) AND d.id = i.id
         AND CASE WHEN d.workflow_id = :owner AND d.attempt_count = i.number - 1 THEN d.status IN ({_AT_REST}) END
      RETURNING d.id, d.attempt_count, i.ends_by
    ), logged AS (
      INSERT INTO webhook_attempts (tenant_id, delivery_id, number, started_at, worker, ends_by)
      SELECT :tenant, id, attempt_count, :now, CAST(:worker AS int), ends_by FROM granted
    )
    SELECT id FROM granted
""")  # noqa: S608

_RESULT: Final = """
      SELECT * FROM unnest(CAST(:ids AS text[]), CAST(:numbers AS int[]), CAST(:outcomes AS text[]),
                           CAST(:status_codes AS int[]), CAST(:errors AS text[]), CAST(:addresses AS text[]),
                           CAST(:exchanges AS text[]), CAST(:bodies AS bytea[]), CAST(:truncated AS bool[]),
                           CAST(:durations AS int[]), CAST(:statuses AS text[]), CAST(:spent AS int[]),
                           CAST(:next_at AS timestamptz[]), CAST(:waits AS text[]), CAST(:closed AS bool[]))
                    AS r(id, number, outcome, status_code, error, address, exchange, body, truncated, duration, status,
                         spent, next_at, wait, closed)
"""
_LOGGED: Final = """
             outcome = r.outcome, status_code = r.status_code, error = r.error, address = r.address,
             exchange = CAST(r.exchange AS jsonb), response_body = r.body, truncated = r.truncated,
             duration_ms = r.duration
"""

# One that an earlier request has delivered after all, which became known while this one was under way, is delivered,
# whatever came of this one (`KNOW_LATE`).
RECORD: Final = sql(f"""
    WITH result AS ({_RESULT}), logged AS (
      UPDATE webhook_attempts a SET {_LOGGED}
        FROM result r
       WHERE a.tenant_id = :tenant AND a.delivery_id = ANY(:ids) AND a.delivery_id = r.id AND a.number = r.number
         AND CASE WHEN a.outcome IS NULL THEN true END
      RETURNING a.delivery_id
    ), moved AS (
      UPDATE webhook_deliveries d
         SET status = CASE WHEN {_KNOWN} THEN 'delivered' ELSE r.status END, spent = r.spent,
             next_attempt_at = CASE WHEN NOT {_KNOWN} THEN r.next_at END,
             wait_reason = CASE WHEN NOT {_KNOWN} THEN r.wait END,
             status_code = CASE WHEN {_KNOWN} THEN d.status_code ELSE r.status_code END,
             error = CASE WHEN NOT {_KNOWN} THEN r.error END, updated_at = :now,
             finished_at = CASE WHEN r.closed OR {_KNOWN} THEN CAST(:now AS timestamptz) END,
             failed_run = CASE WHEN r.status = 'failed' AND NOT {_KNOWN} THEN CAST(:run AS text) END,
             dead_at = CASE WHEN r.status IN ('failed', 'skipped') AND NOT {_KNOWN}
                            THEN CAST(:now AS timestamptz) END
        FROM result r JOIN logged l ON l.delivery_id = r.id
       WHERE d.tenant_id = :tenant AND d.id = r.id
         AND CASE WHEN d.attempt_count = r.number THEN d.status = 'sending' END
      RETURNING d.id, {_KNOWN} AS known
    )
    SELECT delivery_id AS id, delivery_id IN (SELECT id FROM moved WHERE NOT known) AS moved FROM logged
""")  # noqa: S608

# What `RECORD` did not log was called lost before, or is logged already by a call whose answer never came.
LOG_LATE: Final = sql(f"""
    WITH result AS ({_RESULT})
    UPDATE webhook_attempts a SET {_LOGGED}, late_at = :now
      FROM result r
     WHERE a.tenant_id = :tenant AND a.delivery_id = ANY(:ids) AND a.delivery_id = r.id AND a.number = r.number
       AND a.outcome = 'worker_lost' AND r.outcome NOT IN ('worker_lost', 'interrupted')
    RETURNING a.delivery_id
""")  # noqa: S608

# The delivery's lock tells apart what was begun before that was known, and what would be begun after it.
KNOW_LATE: Final = sql(f"""
    WITH result AS ({_RESULT})
    UPDATE webhook_deliveries d SET late_success_number = d.attempt_count, status_code = r.status_code
      FROM result r
     WHERE d.tenant_id = :tenant AND d.id = ANY(CAST(:late AS text[])) AND d.id = r.id AND r.outcome = 'success'
""")  # noqa: S608

MOVE_LATE: Final = sql(f"""
    WITH result AS ({_RESULT})
    UPDATE webhook_deliveries d
       SET status = 'delivered', next_attempt_at = NULL, wait_reason = NULL, status_code = r.status_code, error = NULL,
           updated_at = :now, finished_at = :now, failed_run = NULL, dead_at = NULL, parked_at = NULL
      FROM result r
     WHERE d.tenant_id = :tenant AND d.id = ANY(CAST(:late AS text[])) AND d.id = r.id AND r.outcome = 'success'
       AND d.status IN ({_AT_REST}, 'failed', 'skipped', 'parked') AND d.discarded_at IS NULL
""")  # noqa: S608

CHANGE: Final = sql(f"""
    WITH change AS (
      SELECT * FROM unnest(CAST(:ids AS text[]), CAST(:statuses AS text[]), CAST(:next_at AS timestamptz[]),
                           CAST(:waits AS text[]), CAST(:errors AS text[]), CAST(:closed AS bool[]),
                           CAST(:numbers AS int[]))
                    AS c(id, status, next_at, wait, error, closed, number)
    )
    UPDATE webhook_deliveries d
       SET status = c.status, next_attempt_at = c.next_at, wait_reason = c.wait, error = coalesce(c.error, d.error),
           updated_at = :now, finished_at = CASE WHEN c.closed THEN CAST(:now AS timestamptz) END,
           parked_at = CASE WHEN c.status = 'parked' THEN CAST(:now AS timestamptz) END
      FROM change c
     WHERE d.tenant_id = :tenant AND d.id = ANY(:ids) AND d.id = c.id
       AND CASE WHEN d.workflow_id = :owner AND d.attempt_count = c.number THEN d.status IN ({_AT_REST}) END
    RETURNING d.id
""")  # noqa: S608

ENDINGS: Final = sql("""
    SELECT outcome, status_code, count(*) AS n FROM webhook_attempts
     WHERE tenant_id = :tenant AND delivery_id = ANY(:ids) AND outcome IS NOT NULL
     GROUP BY outcome, status_code ORDER BY min(started_at)
""")

LAST_ATTEMPTS: Final = sql("""
    SELECT number, outcome, status_code, duration_ms AS ms, started_at AS at FROM webhook_attempts
     WHERE tenant_id = :tenant AND delivery_id = :id AND outcome IS NOT NULL ORDER BY number DESC LIMIT :count
""")
GIVEN_UP: Final = sql("""
    SELECT id FROM webhook_deliveries
     WHERE tenant_id = :tenant AND id = ANY(:ids) AND status = 'failed' ORDER BY id LIMIT :count
""")

COUNTS: Final = sql("""
    SELECT status, count(*) AS n FROM webhook_deliveries WHERE tenant_id = :tenant AND id = ANY(:ids) GROUP BY status
""")

TRANSFER: Final = sql(f"""
    UPDATE webhook_deliveries d SET workflow_id = i.to_owner
      FROM unnest(CAST(:ids AS text[]), CAST(:numbers AS int[]), CAST(:owners AS text[])) AS i(own, number, to_owner)
     WHERE d.tenant_id = :tenant AND d.id = ANY(:ids) AND d.id = i.own
       AND CASE WHEN d.workflow_id = :owner AND d.attempt_count = i.number THEN d.status IN ({_AT_REST}) END
""")  # noqa: S608

HANDED_OFF: Final = sql(f"""
    SELECT id, endpoint_id, workflow_id, next_attempt_at, attempt_count FROM webhook_deliveries
     WHERE tenant_id = :tenant AND id = ANY(:ids) AND workflow_id <> :owner AND status IN ({_OPEN})
     ORDER BY id
""")  # noqa: S608

HAND_OVER: Final = sql(f"""
    UPDATE webhook_deliveries SET workflow_id = CAST(:to AS text)
     WHERE tenant_id = :tenant AND id = ANY(:ids) AND workflow_id = :owner AND status IN ({_AT_REST})
""")  # noqa: S608

_MINE: Final = """
    (workflow_id IN (:owner, 'webhook/' || tenant_id || '/' || id,
                     'webhook-endpoint/' || tenant_id || '/' || endpoint_id)
     OR starts_with(workflow_id, :owner || '.'))
"""
"""Also what was handed off: to a workflow of its own, an endpoint's share of the batch, or the endpoint's waiter."""
WITHDRAW: Final = sql(f"""
    UPDATE webhook_deliveries SET status = 'cancelled', finished_at = :now, updated_at = :now, next_attempt_at = NULL,
           wait_reason = NULL
     WHERE tenant_id = :tenant AND id = ANY(:ids) AND {_MINE} AND status IN ({_AT_REST})
""")  # noqa: S608

UNDER_WAY: Final = sql(f"""
    SELECT d.id, d.number, a.worker, coalesce(a.ends_by <= :now, false) AS over
      FROM (SELECT tenant_id, id, attempt_count AS number FROM webhook_deliveries
             WHERE tenant_id = :tenant AND id = ANY(:ids) AND status = 'sending' AND {_MINE}) AS d
      LEFT JOIN webhook_attempts a ON a.tenant_id = d.tenant_id AND a.delivery_id = d.id AND a.number = d.number
                                      AND a.outcome IS NULL
""")  # noqa: S608
"""Deliveries with a request that nobody has recorded."""

END_LOST: Final = sql("""
    WITH lost AS (
      SELECT * FROM unnest(CAST(:ids AS text[]), CAST(:numbers AS int[])) AS i(id, number)
    ), logged AS (
      UPDATE webhook_attempts a
         SET outcome = 'worker_lost', error = 'the worker was lost while the request was on its way'
        FROM lost i
       WHERE a.tenant_id = :tenant AND a.delivery_id = ANY(:ids) AND a.delivery_id = i.id AND a.number = i.number
         AND a.outcome IS NULL
      RETURNING a.delivery_id
    )
    UPDATE webhook_deliveries d
       SET status = CAST(:otherwise AS text), error = :reason, finished_at = :now, updated_at = :now,
           next_attempt_at = NULL, wait_reason = NULL, failed_run = CAST(:run AS text),
           dead_at = CASE WHEN :otherwise = 'failed' THEN CAST(:now AS timestamptz) END
      FROM lost i LEFT JOIN logged l ON l.delivery_id = i.id
     WHERE d.tenant_id = :tenant AND d.id = ANY(:ids) AND d.id = i.id AND d.attempt_count = i.number
       AND d.status = 'sending'
    RETURNING d.id
""")
"""Deliveries whose worker is gone, and that nobody is to send again. The number keeps it off a request begun since."""

END_EMPTY: Final = sql(f"""
    UPDATE webhook_deliveries d
       SET status = 'failed', error = '{PAYLOAD_GONE}', finished_at = :now,
           updated_at = :now, next_attempt_at = NULL, wait_reason = NULL, failed_run = CAST(:run AS text),
           dead_at = :now
     WHERE tenant_id = :tenant AND id = ANY(:ids) AND workflow_id = :owner AND status IN ({_AT_REST})
       AND NOT EXISTS (SELECT 1 FROM webhook_events e WHERE e.tenant_id = :tenant AND e.id = d.event_id)
""")  # noqa: S608

END_UNREADABLE: Final = sql(f"""
    UPDATE webhook_deliveries d
       SET status = 'failed', error = b.reason, finished_at = :now, updated_at = :now, next_attempt_at = NULL,
           wait_reason = NULL, failed_run = CAST(:run AS text), dead_at = :now
      FROM unnest(CAST(:ids AS text[]), CAST(:reasons AS text[])) AS b(own, reason)
     WHERE d.tenant_id = :tenant AND d.id = ANY(:ids) AND d.id = b.own AND d.workflow_id = :owner
       AND d.status IN ({_AT_REST})
""")  # noqa: S608
"""Deliveries that cannot be read as they are stored."""
