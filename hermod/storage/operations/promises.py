"""The audit of promises: what must hold of the ledger at every instant, as one query for each promise.

Every query returns the records that break it, as `tenant`, `id` and `detail` (codes and states, never contents). They
read what is there and change nothing, so they may run at any time: in the tests after every step, in production by a
schedule and by `hermod doctor --deep`. What is under way is told from what is broken by the same rules as everywhere
(`hermod.storage.operations.workers`), so a running system has no findings.

    no_owner          an open record is still, long after it was due, and waits neither for an endpoint in trouble nor
                      for its turn behind others
    sending           `sending` without a request under way, or whose request has ended long ago without a word
    attempt_numbers   the attempts on record are not 1, 2, … as many as the record counts
    two_under_way     a request followed one without an outcome
    silent_repeat     a request followed one that was accepted, and had not been called unknown by then
    at_most_once      two requests of an at_most_once message that both may have arrived, at providers that do not
                      recognise a repeat
    sent_unproven     `sent` without an accepted attempt, a report or an operator's word
    reason            ended without being delivered, and no reason on record
    finished          an open state with an end, or an end with an open state
    event_stuck       an analytics event that waits, long after it was accepted

Ids sort by time, so what was accepted lately is a range of the primary key of each tenant.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import TextClause

from hermod.contracts import ids
from hermod.contracts.notifications.messages import Status
from hermod.contracts.webhooks.deliveries import OPEN_DELIVERIES
from hermod.domain.states import OPEN
from hermod.ports.promises import PromiseName, Violation
from hermod.storage.database.engine import Database, sql

STILL_FOR: Final = timedelta(minutes=30)
"""An open record that was due so long ago has been missed by every sweep."""
SAMPLE: Final = 20

_OPEN: Final = ", ".join(f"'{status.value}'" for status in sorted(OPEN))
_OPEN_DELIVERIES: Final = ", ".join(f"'{status.value}'" for status in sorted(OPEN_DELIVERIES))
_ENDED_WITHOUT: Final = ", ".join(
    f"'{status.value}'"
    for status in (Status.FAILED, Status.UNKNOWN, Status.SUPPRESSED, Status.EXPIRED, Status.CANCELLED)
)


@dataclass(frozen=True, slots=True)
class Promise:
    """`statement` finds what breaks it."""

    name: PromiseName
    statement: TextClause


def _promise(name: str, kind: str, statement: str) -> Promise:
    return Promise(PromiseName(name, kind), sql(f"{statement.rstrip()} LIMIT CAST(:most AS int)"))


PROMISES: Final = (
    _promise(
        "no_owner",
        "message",
        """
        SELECT tenant_id AS tenant, id, status || ' since ' || updated_at AS detail FROM messages
         WHERE finished_at IS NULL AND updated_at < CAST(:still AS timestamptz)
           AND coalesce(greatest(next_attempt_at, send_at), updated_at) < CAST(:still AS timestamptz)
        """,
    ),
    # What goes one after another, in a line or by its endpoint's waiter, is looked at where it has its turn, and none
    # of the thousand before it has moved lately.
    _promise(
        "no_owner",
        "webhook",
        """
        SELECT d.tenant_id AS tenant, d.id, d.status || ' since ' || d.updated_at AS detail FROM webhook_deliveries d
         WHERE d.finished_at IS NULL AND d.updated_at < CAST(:still AS timestamptz)
           AND coalesce(d.next_attempt_at, d.updated_at) < CAST(:still AS timestamptz)
           AND NOT (starts_with(d.workflow_id, 'webhook-endpoint/') AND (EXISTS (
             SELECT 1 FROM webhook_endpoints e
              WHERE e.tenant_id = d.tenant_id AND e.id = d.endpoint_id AND e.paused_until > CAST(:still AS timestamptz)
             ) OR EXISTS (
             SELECT 1 FROM webhook_deliveries o
              WHERE o.tenant_id = d.tenant_id AND o.endpoint_id = d.endpoint_id AND o.id < d.id
                AND o.finished_at IS NULL AND starts_with(o.workflow_id, 'webhook-endpoint/')
                AND coalesce(o.next_attempt_at, o.updated_at) < CAST(:still AS timestamptz))))
           AND NOT ((d.order_key IS NOT NULL OR starts_with(d.workflow_id, 'webhook-endpoint/')) AND EXISTS (
             SELECT 1 FROM (SELECT o.workflow_id, o.updated_at FROM webhook_deliveries o
                             WHERE o.tenant_id = d.tenant_id AND o.endpoint_id = d.endpoint_id AND o.id < d.id
                             ORDER BY o.id DESC LIMIT 1000) AS ahead
              WHERE ahead.workflow_id = d.workflow_id AND ahead.updated_at >= CAST(:still AS timestamptz)))
           AND (d.order_key IS NULL OR NOT EXISTS (
             SELECT 1 FROM webhook_deliveries o
              WHERE o.tenant_id = d.tenant_id AND o.endpoint_id = d.endpoint_id AND o.order_key = d.order_key
                AND o.place < d.place
                AND (o.finished_at IS NULL
                     OR ((o.dead_at IS NOT NULL OR o.parked_at IS NOT NULL) AND o.discarded_at IS NULL))))
        """,
    ),
    _promise(
        "no_owner",
        "submission",
        """
        SELECT tenant_id AS tenant, id, status || ' since ' || updated_at AS detail FROM form_submissions
         WHERE finished_at IS NULL AND updated_at < CAST(:still AS timestamptz)
           AND (status <> 'awaiting_payment' OR payment_expires_at < CAST(:still AS timestamptz))
        """,
    ),
    _promise(
        "event_stuck",
        "event",
        """
        SELECT tenant_id AS tenant, id, 'waits since ' || created_at AS detail FROM event_batches
         WHERE created_at < CAST(:still AS timestamptz)
        """,
    ),
    _promise(
        "sending",
        "message",
        """
        SELECT m.tenant_id AS tenant, m.id, 'sending, attempt ' || m.attempt_count AS detail FROM messages m
         WHERE m.finished_at IS NULL AND m.status = 'sending' AND m.updated_at < CAST(:unrecorded AS timestamptz)
           AND NOT EXISTS (SELECT 1 FROM attempts a
                            WHERE a.tenant_id = m.tenant_id AND a.message_id = m.id AND a.outcome IS NULL
                              AND a.ends_by > CAST(:unrecorded AS timestamptz))
        """,
    ),
    _promise(
        "sending",
        "webhook",
        """
        SELECT d.tenant_id AS tenant, d.id, 'sending, attempt ' || d.attempt_count AS detail FROM webhook_deliveries d
         WHERE d.finished_at IS NULL AND d.status = 'sending' AND d.updated_at < CAST(:unrecorded AS timestamptz)
           AND NOT EXISTS (SELECT 1 FROM webhook_attempts a
                            WHERE a.tenant_id = d.tenant_id AND a.delivery_id = d.id AND a.outcome IS NULL
                              AND a.ends_by > CAST(:unrecorded AS timestamptz))
        """,
    ),
    _promise(
        "attempt_numbers",
        "message",
        """
        SELECT m.tenant_id AS tenant, m.id,
               m.attempt_count || ' counted, ' || coalesce(a.n, 0) || ' on record' AS detail
          FROM tenants t JOIN messages m ON m.tenant_id = t.id AND m.id >= CAST(:since_message AS text)
          LEFT JOIN LATERAL (SELECT count(*) AS n, max(number) AS last FROM attempts a
                              WHERE a.tenant_id = m.tenant_id AND a.message_id = m.id) AS a ON true
         WHERE (coalesce(a.n, 0) <> m.attempt_count OR coalesce(a.last, 0) <> m.attempt_count)
        """,
    ),
    _promise(
        "attempt_numbers",
        "webhook",
        """
        SELECT d.tenant_id AS tenant, d.id,
               d.attempt_count || ' counted, ' || coalesce(a.n, 0) || ' on record' AS detail
          FROM tenants t JOIN webhook_deliveries d ON d.tenant_id = t.id AND d.id >= CAST(:since_delivery AS text)
          LEFT JOIN LATERAL (SELECT count(*) AS n, max(number) AS last FROM webhook_attempts a
                              WHERE a.tenant_id = d.tenant_id AND a.delivery_id = d.id) AS a ON true
         WHERE (coalesce(a.n, 0) <> d.attempt_count OR coalesce(a.last, 0) <> d.attempt_count)
        """,
    ),
    _promise(
        "two_under_way",
        "message",
        """
        SELECT a.tenant_id AS tenant, a.message_id AS id,
               'attempt ' || a.number || ' has no outcome, and another one followed' AS detail
          FROM tenants t JOIN attempts a ON a.tenant_id = t.id AND a.message_id >= CAST(:since_message AS text)
         WHERE a.outcome IS NULL
           AND EXISTS (SELECT 1 FROM attempts b
                        WHERE b.tenant_id = a.tenant_id AND b.message_id = a.message_id AND b.number > a.number)
        """,
    ),
    _promise(
        "two_under_way",
        "webhook",
        """
        SELECT a.tenant_id AS tenant, a.delivery_id AS id,
               'attempt ' || a.number || ' has no outcome, and another one followed' AS detail
          FROM tenants t
          JOIN webhook_attempts a ON a.tenant_id = t.id AND a.delivery_id >= CAST(:since_delivery AS text)
         WHERE a.outcome IS NULL
           AND EXISTS (SELECT 1 FROM webhook_attempts b
                        WHERE b.tenant_id = a.tenant_id AND b.delivery_id = a.delivery_id AND b.number > a.number)
        """,
    ),
    # What was accepted late counted as unknown when the next request was made, and a decision says so.
    _promise(
        "silent_repeat",
        "message",
        """
        SELECT a.tenant_id AS tenant, a.message_id AS id,
               'attempt ' || b.number || ' followed attempt ' || a.number || ', which was accepted' AS detail
          FROM tenants t JOIN attempts a ON a.tenant_id = t.id AND a.message_id >= CAST(:since_message AS text)
          JOIN attempts b ON b.tenant_id = a.tenant_id AND b.message_id = a.message_id AND b.number > a.number
          JOIN messages m ON m.tenant_id = a.tenant_id AND m.id = a.message_id
         WHERE a.outcome = 'accepted'
           AND b.number > coalesce(CASE WHEN a.late_at IS NOT NULL THEN m.late_success_number END, a.number)
           AND NOT EXISTS (SELECT 1 FROM decisions d
                            WHERE d.tenant_id = a.tenant_id AND d.message_id = a.message_id
                              AND (d.kind = 'resolve' OR d.verdict = 'reopened'))
        """,
    ),
    _promise(
        "at_most_once",
        "message",
        """
        SELECT a.tenant_id AS tenant, a.message_id AS id,
               'attempt ' || b.number || ' followed attempt ' || a.number || ', whose outcome is not known' AS detail
          FROM tenants t JOIN attempts a ON a.tenant_id = t.id AND a.message_id >= CAST(:since_message AS text)
          JOIN attempts b ON b.tenant_id = a.tenant_id AND b.message_id = a.message_id AND b.number > a.number
          JOIN messages m ON m.tenant_id = a.tenant_id AND m.id = a.message_id
         WHERE m.guarantee = 'at_most_once'
           AND (a.outcome = 'unknown' OR a.outcome IS NULL
                OR (a.outcome = 'accepted' AND a.late_at IS NOT NULL AND b.number <= m.late_success_number))
           AND NOT (a.provider = ANY(CAST(:idempotent AS text[])) AND a.account = b.account)
           AND NOT EXISTS (SELECT 1 FROM decisions d
                            WHERE d.tenant_id = a.tenant_id AND d.message_id = a.message_id
                              AND (d.kind = 'resolve' OR d.verdict = 'reopened'))
        """,
    ),
    _promise(
        "sent_unproven",
        "message",
        """
        SELECT m.tenant_id AS tenant, m.id, m.status AS detail
          FROM tenants t JOIN messages m ON m.tenant_id = t.id AND m.id >= CAST(:since_message AS text)
         WHERE m.status IN ('sent', 'delivered')
           AND NOT EXISTS (SELECT 1 FROM attempts a WHERE a.tenant_id = m.tenant_id AND a.message_id = m.id
                                                      AND a.outcome = 'accepted')
           AND NOT EXISTS (SELECT 1 FROM receipts r WHERE r.tenant_id = m.tenant_id AND r.message_id = m.id)
           AND NOT EXISTS (SELECT 1 FROM decisions d WHERE d.tenant_id = m.tenant_id AND d.message_id = m.id
                                                       AND d.kind IN ('resolve', 'receipt'))
        """,
    ),
    _promise(
        "reason",
        "message",
        f"""
        SELECT m.tenant_id AS tenant, m.id, m.status AS detail
          FROM tenants t JOIN messages m ON m.tenant_id = t.id AND m.id >= CAST(:since_message AS text)
         WHERE m.status IN ({_ENDED_WITHOUT})
           AND NOT EXISTS (SELECT 1 FROM decisions d WHERE d.tenant_id = m.tenant_id AND d.message_id = m.id
                                                       AND (d.verdict = m.status OR d.kind = 'late'))
        """,  # noqa: S608 - ours
    ),
    _promise(
        "finished",
        "message",
        f"""
        SELECT m.tenant_id AS tenant, m.id,
               m.status || ', finished_at is ' || coalesce(CAST(m.finished_at AS text), 'missing') AS detail
          FROM tenants t JOIN messages m ON m.tenant_id = t.id AND m.id >= CAST(:since_message AS text)
         WHERE (m.status IN ({_OPEN})) <> (m.finished_at IS NULL)
        """,  # noqa: S608
    ),
    _promise(
        "finished",
        "webhook",
        f"""
        SELECT d.tenant_id AS tenant, d.id,
               d.status || ', finished_at is ' || coalesce(CAST(d.finished_at AS text), 'missing') AS detail
          FROM tenants t JOIN webhook_deliveries d ON d.tenant_id = t.id AND d.id >= CAST(:since_delivery AS text)
         WHERE (d.status IN ({_OPEN_DELIVERIES})) <> (d.finished_at IS NULL)
        """,  # noqa: S608
    ),
)

UNRECORDED_FOR: Final = timedelta(minutes=10)
"""After its request has surely ended, a `sending` record is settled or swept within so long."""


class Promises:
    """Implements `hermod.ports.promises.PromiseAudit`."""

    def __init__(self, database: Database, idempotent: Collection[str]) -> None:
        """`idempotent`: the providers that recognise a repeat by our key."""
        self._database = database
        self._idempotent = sorted(idempotent)

    async def aclose(self) -> None:
        await self._database.close()

    async def audit(
        self,
        now: datetime,
        *,
        since: datetime,
        still: timedelta = STILL_FOR,
        unrecorded: timedelta = UNRECORDED_FOR,
        beat: Callable[[], None] = lambda: None,
    ) -> Mapping[PromiseName, Sequence[Violation]]:
        names: dict[str, Any] = {
            "since_message": ids.since("msg", since),
            "since_delivery": ids.since("whd", since),
            "still": now - still,
            "unrecorded": now - unrecorded,
            "idempotent": self._idempotent,
            "most": SAMPLE,
        }
        found: dict[PromiseName, Sequence[Violation]] = {}
        for promise in PROMISES:
            wanted = {name: value for name, value in names.items() if name in promise.statement.compile().params}
            rows = await self._database.rows(promise.statement, wanted)
            found[promise.name] = [Violation(row.tenant, row.id, row.detail) for row in rows]
            beat()
        return found
