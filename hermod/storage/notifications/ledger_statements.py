"""The statements of the ledger of messages: each one over arrays, for one message as for five hundred.

Which condition of which statement keeps which promise is in docs/protocols.md, and in which order locks are taken.

A message is `sending` for milliseconds, so what the planner's statistics say of states is always out of date: believing
them, it expects one row where there are hundreds, and compares each with each. Hence the conditions on states stand in
CASE, about which it has no opinion, the ids stand beside the join as `= ANY(:ids)`, which leads it to the primary key,
and plans are made for the arrays at hand (`plan_cache_mode`, in `hermod.storage.database.engine`).
"""

from __future__ import annotations

from typing import Final

from hermod.contracts.notifications.messages import Status
from hermod.domain.states import CANCELLABLE, OPEN
from hermod.storage.database.engine import sql
from hermod.storage.notifications.reopening import with_content

_OPEN: Final = ", ".join(f"'{status.value}'" for status in sorted(OPEN))
_AT_REST: Final = ", ".join(f"'{status.value}'" for status in sorted(CANCELLABLE))
"""Open, and no request is under way."""
_IN_DOUBT: Final = ", ".join(f"'{status.value}'" for status in sorted(CANCELLABLE | {Status.UNKNOWN, Status.FAILED}))
"""States that a request which was taken after all brings to `sent`."""
_KNOWN: Final = "(r.status <> 'sent' AND m.late_success_number >= r.number) IS TRUE"
"""Of a result in `RECORD`: what it did not achieve, an earlier request had, as has become known meanwhile."""
_OWN_WORKFLOW: Final = "'message/' || tenant_id || '/' || id"

_GIVEN_UP_BEFORE: Final = "id = ANY(:ids) AND workflow_id = :owner AND status = 'failed' AND failed_run <> :run"

REOPEN: Final = sql(f"""
    WITH {with_content(_GIVEN_UP_BEFORE)}, reopened AS (
      UPDATE messages SET status = 'queued', spent = 0, round = round + 1, finished_at = NULL, failed_run = NULL,
             dead_at = NULL,
             error = NULL, error_code = NULL, next_attempt_at = NULL, discarded_at = NULL, updated_at = :now
       WHERE tenant_id = :tenant AND id = ANY(ARRAY(SELECT id FROM kept)) AND {_GIVEN_UP_BEFORE}
      RETURNING id
    ), decided AS (
      INSERT INTO decisions (tenant_id, message_id, at, kind, verdict, reason)
      SELECT :tenant, id, :now, 'retry', 'reopened', 'its workflow was reset in Temporal' FROM reopened
    )
    INSERT INTO audit (tenant_id, at, actor, action, subject)
    SELECT :tenant, :now, 'temporal', 'message.retry', id FROM reopened
""")  # noqa: S608 - ours

FETCH: Final = sql(f"""
    SELECT m.id, m.channel, m.status, c.body, m.category, m.guarantee, m.preset, m.waits, m.retry_from,
           m.requested_account, m.request_id,
           m.not_after, m.next_attempt_at, m.attempt_count, m.round, m.spent, m.wait_reason, m.priority,
           (SELECT s.reason FROM suppressions s
             WHERE s.tenant_id = m.tenant_id AND s.address_hash = m.address_hash AND s.channel IN (m.channel, '*')
               AND s.category IN (m.category, '*') AND (s.expires_at IS NULL OR s.expires_at > :now)
             LIMIT 1) AS suppressed,
           CASE WHEN m.attempt_count > 0 THEN
             (SELECT json_agg(json_build_array(a.account, a.outcome, a.number, a.round, a.shared,
                                               extract(epoch FROM a.started_at), a.worker,
                                               coalesce(a.ends_by <= :now, false), a.account_revision, a.ends_by)
                              ORDER BY a.number)
                FROM attempts a WHERE a.tenant_id = m.tenant_id AND a.message_id = m.id
                 AND (a.round = m.round OR a.outcome IS NULL OR a.outcome = 'unknown')) END AS asked
      FROM messages m LEFT JOIN message_contents c
                      ON c.tenant_id = :tenant AND c.message_id = m.id AND c.message_id = ANY(:ids)
     WHERE m.tenant_id = :tenant AND m.id = ANY(:ids)
       AND CASE WHEN m.workflow_id = :owner THEN m.status IN ({_OPEN}) END
""")  # noqa: S608 - the names are ours

COPIED: Final = sql("""
    SELECT s.address_hash AS hash, s.category, s.reason FROM suppressions s
     WHERE s.tenant_id = :tenant AND s.address_hash = ANY(CAST(:hashes AS bytea[])) AND s.channel IN ('email', '*')
       AND (s.expires_at IS NULL OR s.expires_at > :now)
""")

ANY_DEAD: Final = sql("""
    SELECT 1 FROM messages
     WHERE tenant_id = :tenant AND id = ANY(:ids) AND workflow_id = :owner AND status = 'failed' AND failed_run <> :run
     LIMIT 1
""")

# Workers of the version before left a message `sending` while its next account was about to be asked.
LEFT_SENDING: Final = sql("""
    UPDATE messages m SET status = 'retrying', next_attempt_at = :now, updated_at = :now
     WHERE m.tenant_id = :tenant AND m.id = ANY(:ids) AND m.workflow_id = :owner AND m.status = 'sending'
       AND NOT EXISTS (SELECT 1 FROM attempts a WHERE a.tenant_id = :tenant AND a.message_id = m.id
                                                  AND a.number = m.attempt_count AND a.outcome IS NULL)
""")

GRANT: Final = sql(f"""
    WITH intent AS (
      SELECT * FROM unnest(CAST(:ids AS text[]), CAST(:numbers AS int[]), CAST(:rounds AS int[]),
                           CAST(:accounts AS text[]), CAST(:providers AS text[]), CAST(:shared AS bool[]),
                           CAST(:ends_by AS timestamptz[]), CAST(:revisions AS int[]))
                    AS i(id, number, round, account, provider, shared, ends_by, revision)
    ), granted AS (
      UPDATE messages m SET status = 'sending', attempt_count = i.number, round = i.round, provider = i.provider,
             next_attempt_at = NULL, wait_reason = NULL, updated_at = :now
        FROM intent i
       WHERE m.tenant_id = :tenant AND m.id = ANY(:ids) AND m.id = i.id
         AND CASE WHEN m.workflow_id = :owner AND m.attempt_count = i.number - 1 THEN m.status IN ({_AT_REST}) END
      RETURNING m.id
    ), logged AS (
      INSERT INTO attempts (tenant_id, message_id, number, round, account, provider, shared, started_at, worker,
                            ends_by, account_revision)
      SELECT :tenant, i.id, i.number, i.round, i.account, i.provider, i.shared, :now, CAST(:worker AS int), i.ends_by,
             i.revision
        FROM intent i JOIN granted USING (id)
    ), decided AS (
      INSERT INTO decisions (tenant_id, message_id, at, kind, verdict, reason)
      SELECT :tenant, d.id, :now, d.kind, d.verdict, d.reason
        FROM unnest(CAST(:d_ids AS text[]), CAST(:d_kinds AS text[]), CAST(:d_verdicts AS text[]),
                    CAST(:d_reasons AS text[])) AS d(id, kind, verdict, reason) JOIN granted USING (id)
    )
    SELECT id FROM granted
""")  # noqa: S608

_RESULT: Final = """
      SELECT * FROM unnest(CAST(:ids AS text[]), CAST(:numbers AS int[]), CAST(:outcomes AS text[]),
                           CAST(:status_codes AS int[]), CAST(:error_codes AS text[]), CAST(:errors AS text[]),
                           CAST(:provider_ids AS text[]), CAST(:durations AS int[]), CAST(:statuses AS text[]),
                           CAST(:rounds AS int[]), CAST(:spent AS int[]), CAST(:next_at AS timestamptz[]),
                           CAST(:closed AS bool[]))
                    AS r(id, number, outcome, status_code, error_code, error, provider_id, duration, status,
                         round, spent, next_at, closed)
"""

# A message whose number has moved on, or that is not `sending`, is in other hands or has an end: only the log is told.
# One whose earlier request was accepted after all, which became known while this one was under way, has been sent,
# whatever came of this one (`KNOW_LATE`). The message itself says so, as it is when its lock has been given; any other
# row would be read as it was when the statement began. No `= ANY(:ids)` stands beside that join: what was logged leads
# it to the primary key by itself, and the array would be searched anew for each row (2.5 times the time for 250).
RECORD: Final = sql(f"""
    WITH result AS ({_RESULT}), logged AS (
      UPDATE attempts a SET outcome = r.outcome, status_code = r.status_code, error_code = r.error_code,
             error = r.error, provider_message_id = r.provider_id, duration_ms = r.duration
        FROM result r
       WHERE a.tenant_id = :tenant AND a.message_id = ANY(:ids) AND a.message_id = r.id AND a.number = r.number
         AND CASE WHEN a.outcome IS NULL THEN true END
      RETURNING a.message_id
    ), moved AS (
      UPDATE messages m
         SET status = CASE WHEN {_KNOWN} THEN 'sent' ELSE r.status END, round = r.round, spent = r.spent,
             next_attempt_at = CASE WHEN NOT {_KNOWN} THEN r.next_at END,
             provider_message_id = coalesce(r.provider_id, m.provider_message_id),
             error_code = CASE WHEN NOT {_KNOWN} THEN r.error_code END,
             error = CASE WHEN NOT {_KNOWN} THEN r.error END, updated_at = :now,
             finished_at = CASE WHEN r.closed OR {_KNOWN} THEN CAST(:now AS timestamptz) END,
             failed_run = CASE WHEN r.status = 'failed' AND NOT {_KNOWN} THEN CAST(:run AS text) END,
             dead_at = CASE WHEN r.status IN ('failed', 'unknown') AND NOT {_KNOWN}
                            THEN CAST(:now AS timestamptz) END
        FROM result r JOIN logged l ON l.message_id = r.id
       WHERE m.tenant_id = :tenant AND m.id = r.id
         AND CASE WHEN m.attempt_count = r.number THEN m.status = 'sending' END
      RETURNING m.id, {_KNOWN} AS known
    ), decided AS (
      INSERT INTO decisions (tenant_id, message_id, at, kind, verdict, reason)
      SELECT :tenant, d.id, :now, d.kind, d.verdict, d.reason
        FROM unnest(CAST(:d_ids AS text[]), CAST(:d_kinds AS text[]), CAST(:d_verdicts AS text[]),
                    CAST(:d_reasons AS text[])) AS d(id, kind, verdict, reason) JOIN moved USING (id)
       WHERE NOT moved.known
    )
    SELECT message_id AS id, message_id IN (SELECT id FROM moved WHERE NOT known) AS moved FROM logged
""")  # noqa: S608

# What `RECORD` did not log was called lost before, or is logged already by a call whose answer never came.
LOG_LATE: Final = sql(f"""
    WITH result AS ({_RESULT}), logged AS (
      UPDATE attempts a SET outcome = r.outcome, status_code = r.status_code, error_code = r.error_code,
             error = r.error, provider_message_id = r.provider_id, late_provider_message_id = r.provider_id,
             duration_ms = r.duration, late_at = :now
        FROM result r
       WHERE a.tenant_id = :tenant AND a.message_id = ANY(:ids) AND a.message_id = r.id AND a.number = r.number
         AND a.outcome = 'unknown' AND r.outcome <> 'unknown'
      RETURNING a.message_id, a.number, a.outcome
    )
    INSERT INTO decisions (tenant_id, message_id, at, kind, verdict, reason)
    SELECT :tenant, message_id, :now, 'late', outcome,
           'the outcome of attempt ' || number || ' came after it was called unknown' FROM logged
    RETURNING message_id
""")  # noqa: S608

# The message's lock tells apart what was begun before that was known, and what would be begun after it.
KNOW_LATE: Final = sql(f"""
    WITH result AS ({_RESULT})
    UPDATE messages m SET late_success_number = m.attempt_count,
           provider_message_id = coalesce(r.provider_id, m.provider_message_id)
      FROM result r
     WHERE m.tenant_id = :tenant AND m.id = ANY(CAST(:late AS text[])) AND m.id = r.id AND r.outcome = 'accepted'
""")  # noqa: S608

MOVE_LATE: Final = sql(f"""
    WITH result AS ({_RESULT})
    UPDATE messages m
       SET status = CASE WHEN r.closed THEN r.status ELSE 'pending' END, updated_at = :now,
           workflow_id = CASE WHEN r.closed THEN m.workflow_id ELSE 'message/' || m.tenant_id || '/' || m.id END,
           round = greatest(m.round, r.round), spent = r.spent,
           next_attempt_at = CASE WHEN NOT r.closed THEN r.next_at END, wait_reason = NULL,
           provider_message_id = coalesce(r.provider_id, m.provider_message_id),
           error_code = r.error_code, error = r.error,
           finished_at = CASE WHEN r.closed THEN CAST(:now AS timestamptz) END,
           failed_run = CASE WHEN r.status = 'failed' THEN CAST(:run AS text) END,
           dead_at = CASE WHEN r.status = 'failed' THEN CAST(:now AS timestamptz) END
      FROM result r
     WHERE m.tenant_id = :tenant AND m.id = ANY(CAST(:late AS text[])) AND m.id = r.id
       AND CASE WHEN r.outcome = 'accepted' THEN m.status IN ({_IN_DOUBT})
                ELSE m.status = 'unknown' AND m.attempt_count = r.number AND m.discarded_at IS NULL END
    RETURNING m.id
""")  # noqa: S608

CHANGE: Final = sql(f"""
    WITH change AS (
      SELECT * FROM unnest(CAST(:ids AS text[]), CAST(:statuses AS text[]), CAST(:next_at AS timestamptz[]),
                           CAST(:rounds AS int[]), CAST(:spent AS int[]), CAST(:waits AS text[]),
                           CAST(:error_codes AS text[]), CAST(:errors AS text[]), CAST(:closed AS bool[]),
                           CAST(:numbers AS int[]))
                    AS c(id, status, next_at, round, spent, wait, error_code, error, closed, number)
    ), moved AS (
      UPDATE messages m SET status = c.status, next_attempt_at = c.next_at, wait_reason = c.wait,
             round = c.round, spent = c.spent,
             error_code = coalesce(c.error_code, m.error_code), error = coalesce(c.error, m.error), updated_at = :now,
             finished_at = CASE WHEN c.closed THEN CAST(:now AS timestamptz) END,
             failed_run = CASE WHEN c.status = 'failed' THEN CAST(:run AS text) END,
             dead_at = CASE WHEN c.status IN ('failed', 'unknown') THEN CAST(:now AS timestamptz) END
        FROM change c
       WHERE m.tenant_id = :tenant AND m.id = ANY(:ids) AND m.id = c.id
         AND CASE WHEN m.workflow_id = :owner AND m.attempt_count = c.number THEN m.status IN ({_AT_REST}) END
      RETURNING m.id
    ), decided AS (
      INSERT INTO decisions (tenant_id, message_id, at, kind, verdict, reason)
      SELECT :tenant, d.id, :now, d.kind, d.verdict, d.reason
        FROM unnest(CAST(:d_ids AS text[]), CAST(:d_kinds AS text[]), CAST(:d_verdicts AS text[]),
                    CAST(:d_reasons AS text[])) AS d(id, kind, verdict, reason) JOIN moved USING (id)
    )
    SELECT id FROM moved
""")  # noqa: S608

ENDINGS: Final = sql("""
    SELECT account, outcome, status_code, error_code, count(*) AS n FROM attempts
     WHERE tenant_id = :tenant AND message_id = ANY(:ids) AND outcome IS NOT NULL
     GROUP BY account, outcome, status_code, error_code ORDER BY min(started_at)
""")

LAST_ATTEMPTS: Final = sql("""
    SELECT number, account, outcome, status_code, error_code, duration_ms AS ms, started_at AS at FROM attempts
     WHERE tenant_id = :tenant AND message_id = :id AND outcome IS NOT NULL ORDER BY number DESC LIMIT :count
""")
GIVEN_UP: Final = sql("""
    SELECT id FROM messages WHERE tenant_id = :tenant AND id = ANY(:ids) AND status = 'failed' ORDER BY id LIMIT :count
""")

COUNTS: Final = sql(
    "SELECT status, count(*) AS n FROM messages WHERE tenant_id = :tenant AND id = ANY(:ids) GROUP BY status"
)

TRANSFER: Final = sql(f"""
    UPDATE messages m SET workflow_id = {_OWN_WORKFLOW}
      FROM unnest(CAST(:ids AS text[]), CAST(:numbers AS int[])) AS i(own, number)
     WHERE m.tenant_id = :tenant AND m.id = ANY(:ids) AND m.id = i.own
       AND CASE WHEN m.workflow_id = :owner AND m.attempt_count = i.number THEN m.status IN ({_AT_REST}) END
""")  # noqa: S608

HANDED_OFF: Final = sql(f"""
    SELECT id, next_attempt_at FROM messages
     WHERE tenant_id = :tenant AND id = ANY(:ids) AND workflow_id <> :owner AND workflow_id = {_OWN_WORKFLOW}
       AND status IN ({_OPEN})
""")  # noqa: S608

HAND_OVER: Final = sql(f"""
    UPDATE messages SET workflow_id = {_OWN_WORKFLOW}
     WHERE tenant_id = :tenant AND id = ANY(:ids) AND workflow_id = :owner AND status IN ({_AT_REST})
""")  # noqa: S608

WITHDRAW: Final = sql(f"""
    WITH moved AS (
      UPDATE messages SET status = 'cancelled', finished_at = :now, updated_at = :now, next_attempt_at = NULL,
             wait_reason = NULL
       WHERE tenant_id = :tenant AND id = ANY(:ids) AND workflow_id IN (:owner, {_OWN_WORKFLOW})
         AND status IN ({_AT_REST})
      RETURNING id
    )
    INSERT INTO decisions (tenant_id, message_id, at, kind, verdict, reason)
    SELECT :tenant, id, :now, 'cancel', 'cancelled', :reason FROM moved
""")  # noqa: S608

UNDER_WAY: Final = sql("""
    SELECT m.id, m.attempt_count AS number, a.worker, coalesce(a.ends_by <= :now, false) AS over
      FROM messages m
      LEFT JOIN attempts a ON a.tenant_id = m.tenant_id AND a.message_id = m.id AND a.number = m.attempt_count
                              AND a.outcome IS NULL
     WHERE m.tenant_id = :tenant AND m.id = ANY(:ids) AND m.status = 'sending'
       AND m.workflow_id IN (:owner, 'message/' || m.tenant_id || '/' || m.id)
""")
"""Messages with a request that nobody has recorded. Those that a worker of an earlier version left between two
requests (`LEFT_SENDING`) have none to wait for."""

END_LOST: Final = sql("""
    WITH lost AS (
      SELECT * FROM unnest(CAST(:ids AS text[]), CAST(:numbers AS int[])) AS i(id, number)
    ), logged AS (
      UPDATE attempts a SET outcome = 'unknown', error_code = 'worker_lost',
             error = 'the worker was lost while the request was on its way'
        FROM lost i
       WHERE a.tenant_id = :tenant AND a.message_id = ANY(:ids) AND a.message_id = i.id AND a.number = i.number
         AND a.outcome IS NULL
      RETURNING a.message_id
    ), moved AS (
      UPDATE messages m
         SET status = 'unknown', error_code = 'worker_lost', error = :reason, finished_at = :now, updated_at = :now,
             next_attempt_at = NULL, wait_reason = NULL, dead_at = :now
        FROM lost i LEFT JOIN logged l ON l.message_id = i.id
       WHERE m.tenant_id = :tenant AND m.id = ANY(:ids) AND m.id = i.id AND m.attempt_count = i.number
         AND m.status = 'sending'
      RETURNING m.id
    ), decided AS (
      INSERT INTO decisions (tenant_id, message_id, at, kind, verdict, reason)
      SELECT :tenant, id, :now, 'end', 'unknown', :reason FROM moved
    )
    SELECT id FROM moved
""")
"""Messages whose worker is gone, and that nobody is to send again: what became of their request is not known. The
number keeps it off a request begun since, and the join has attempts locked first."""

END_EMPTY: Final = sql(f"""
    WITH moved AS (
      UPDATE messages m SET status = 'failed', error_code = 'content_gone',
             error = 'its content is gone: it was dropped, or the database lost it', finished_at = :now,
             updated_at = :now, next_attempt_at = NULL, wait_reason = NULL, failed_run = CAST(:run AS text),
             dead_at = :now
       WHERE tenant_id = :tenant AND id = ANY(:ids) AND workflow_id = :owner AND status IN ({_AT_REST})
         AND NOT EXISTS (SELECT 1 FROM message_contents c WHERE c.tenant_id = :tenant AND c.message_id = m.id)
      RETURNING id
    )
    INSERT INTO decisions (tenant_id, message_id, at, kind, verdict, reason)
    SELECT :tenant, id, :now, 'end', 'failed', 'its content is gone' FROM moved
""")  # noqa: S608

END_UNREADABLE: Final = sql(f"""
    WITH moved AS (
      UPDATE messages m SET status = 'failed', error_code = 'unreadable', error = b.reason, finished_at = :now,
             updated_at = :now, next_attempt_at = NULL, wait_reason = NULL, failed_run = CAST(:run AS text),
             dead_at = :now
        FROM unnest(CAST(:ids AS text[]), CAST(:reasons AS text[])) AS b(own, reason)
       WHERE m.tenant_id = :tenant AND m.id = ANY(:ids) AND m.id = b.own AND m.workflow_id = :owner
         AND m.status IN ({_AT_REST})
      RETURNING m.id, m.error
    )
    INSERT INTO decisions (tenant_id, message_id, at, kind, verdict, reason)
    SELECT :tenant, id, :now, 'end', 'failed', error FROM moved
""")  # noqa: S608
"""Messages that cannot be read as they are stored."""
