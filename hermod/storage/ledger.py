"""`hermod.ports.ledger.Ledger` on PostgreSQL: each call one statement over arrays, for one as for many.

A message is `sending` for milliseconds, so what the planner's statistics say of states is always out of date: believing
them, it expects one row where there are hundreds, and compares each with each. Hence the conditions on states stand in
CASE, about which it has no opinion, the ids stand beside the join as `= ANY(:ids)`, which leads it to the primary key,
and plans are made for the arrays at hand (`plan_cache_mode`, in `hermod.storage.engine`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Row

from hermod.contracts.addresses import TRUSTED
from hermod.contracts.content import CONTENT_OF, Channel
from hermod.contracts.messages import Category, Guarantee, Outcome, Preset, Status
from hermod.contracts.outcomes import Accepted
from hermod.domain.states import OPEN
from hermod.ports.ledger import Change, Intent, Item, Result
from hermod.storage.contents import Contents
from hermod.storage.engine import Database, sql
from hermod.storage.message_reopening import with_content

_OPEN: Final = ", ".join(f"'{status.value}'" for status in sorted(OPEN))
_FREE_OUTCOMES: Final = (Outcome.THROTTLED.value, Outcome.ACCOUNT_HALTED.value)
"""Outcomes that do not make a round count."""

_GIVEN_UP_BEFORE: Final = "id = ANY(:ids) AND workflow_id = :owner AND status = 'failed' AND failed_run <> :run"

_REOPEN: Final = sql(f"""
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

_FETCH: Final = sql(f"""
    SELECT m.id, m.channel, m.status, c.body, m.category, m.guarantee, m.preset, m.requested_account, m.request_id,
           m.not_after, m.next_attempt_at, m.attempt_count, m.round, m.spent, m.wait_reason, m.priority,
           (SELECT s.reason FROM suppressions s
             WHERE s.tenant_id = m.tenant_id AND s.address_hash = m.address_hash AND s.channel IN (m.channel, '*')
               AND s.category IN (m.category, '*') AND (s.expires_at IS NULL OR s.expires_at > :now)
             LIMIT 1) AS suppressed,
           CASE WHEN m.attempt_count > 0 THEN
             (SELECT json_agg(json_build_array(a.account, a.outcome, a.number, a.round, a.shared,
                                             extract(epoch FROM a.started_at)) ORDER BY a.number)
                FROM attempts a WHERE a.tenant_id = m.tenant_id AND a.message_id = m.id
                 AND (a.round = m.round OR a.outcome IS NULL OR a.outcome = 'unknown')) END AS asked
      FROM messages m JOIN message_contents c ON c.tenant_id = m.tenant_id AND c.message_id = m.id
     WHERE m.tenant_id = :tenant AND m.id = ANY(:ids) AND c.message_id = ANY(:ids)
       AND CASE WHEN m.workflow_id = :owner THEN m.status IN ({_OPEN}) END
""")  # noqa: S608 - the names are ours

_ANY_DEAD: Final = sql("""
    SELECT 1 FROM messages
     WHERE tenant_id = :tenant AND id = ANY(:ids) AND workflow_id = :owner AND status = 'failed' AND failed_run <> :run
     LIMIT 1
""")

_GRANT: Final = sql(f"""
    WITH intent AS (
      SELECT * FROM unnest(CAST(:ids AS text[]), CAST(:numbers AS int[]), CAST(:rounds AS int[]),
                           CAST(:accounts AS text[]), CAST(:providers AS text[]), CAST(:shared AS bool[]))
                    AS i(id, number, round, account, provider, shared)
    ), granted AS (
      UPDATE messages m SET status = 'sending', attempt_count = i.number, round = i.round, provider = i.provider,
             next_attempt_at = NULL, wait_reason = NULL, updated_at = :now
        FROM intent i
       WHERE m.tenant_id = :tenant AND m.id = ANY(:ids) AND m.id = i.id
         AND CASE WHEN m.workflow_id = :owner AND m.attempt_count = i.number - 1 THEN m.status IN ({_OPEN}) END
      RETURNING m.id
    ), logged AS (
      INSERT INTO attempts (tenant_id, message_id, number, round, account, provider, shared, started_at)
      SELECT :tenant, i.id, i.number, i.round, i.account, i.provider, i.shared, :now
        FROM intent i JOIN granted USING (id)
    ), decided AS (
      INSERT INTO decisions (tenant_id, message_id, at, kind, verdict, reason)
      SELECT :tenant, d.id, :now, d.kind, d.verdict, d.reason
        FROM unnest(CAST(:d_ids AS text[]), CAST(:d_kinds AS text[]), CAST(:d_verdicts AS text[]),
                    CAST(:d_reasons AS text[])) AS d(id, kind, verdict, reason) JOIN granted USING (id)
    )
    SELECT id FROM granted
""")  # noqa: S608

_RECORD: Final = sql("""
    WITH result AS (
      SELECT * FROM unnest(CAST(:ids AS text[]), CAST(:numbers AS int[]), CAST(:outcomes AS text[]),
                           CAST(:status_codes AS int[]), CAST(:error_codes AS text[]), CAST(:errors AS text[]),
                           CAST(:provider_ids AS text[]), CAST(:durations AS int[]), CAST(:statuses AS text[]),
                           CAST(:rounds AS int[]), CAST(:spent AS int[]), CAST(:next_at AS timestamptz[]),
                           CAST(:closed AS bool[]))
                    AS r(id, number, outcome, status_code, error_code, error, provider_id, duration, status,
                         round, spent, next_at, closed)
    ), logged AS (
      UPDATE attempts a SET outcome = r.outcome, status_code = r.status_code, error_code = r.error_code,
             error = r.error, provider_message_id = r.provider_id, duration_ms = r.duration
        FROM result r
       WHERE a.tenant_id = :tenant AND a.message_id = ANY(:ids) AND a.message_id = r.id AND a.number = r.number
         AND CASE WHEN a.outcome IS NOT NULL THEN a.outcome = 'unknown' AND r.outcome <> 'unknown' ELSE true END
      RETURNING a.message_id
    ), moved AS (
      UPDATE messages m SET status = r.status, round = r.round, spent = r.spent, next_attempt_at = r.next_at,
             provider_message_id = coalesce(r.provider_id, m.provider_message_id),
             error_code = r.error_code, error = r.error, updated_at = :now,
             finished_at = CASE WHEN r.closed THEN CAST(:now AS timestamptz) END,
             failed_run = CASE WHEN r.status = 'failed' THEN CAST(:run AS text) END,
             dead_at = CASE WHEN r.status IN ('failed', 'unknown') THEN CAST(:now AS timestamptz) END
        FROM result r
       WHERE m.tenant_id = :tenant AND m.id = ANY(:ids) AND m.id = r.id
         AND CASE WHEN m.attempt_count = r.number THEN m.status = 'sending' END
      RETURNING m.id
    )
    INSERT INTO decisions (tenant_id, message_id, at, kind, verdict, reason)
    SELECT :tenant, d.id, :now, d.kind, d.verdict, d.reason
      FROM unnest(CAST(:d_ids AS text[]), CAST(:d_kinds AS text[]), CAST(:d_verdicts AS text[]),
                  CAST(:d_reasons AS text[])) AS d(id, kind, verdict, reason) JOIN moved USING (id)
""")

_CHANGE: Final = sql(f"""
    WITH change AS (
      SELECT * FROM unnest(CAST(:ids AS text[]), CAST(:statuses AS text[]), CAST(:next_at AS timestamptz[]),
                           CAST(:rounds AS int[]), CAST(:spent AS int[]), CAST(:waits AS text[]),
                           CAST(:error_codes AS text[]), CAST(:errors AS text[]), CAST(:closed AS bool[]))
                    AS c(id, status, next_at, round, spent, wait, error_code, error, closed)
    ), moved AS (
      UPDATE messages m SET status = c.status, next_attempt_at = c.next_at, wait_reason = c.wait,
             round = c.round, spent = c.spent,
             error_code = coalesce(c.error_code, m.error_code), error = coalesce(c.error, m.error), updated_at = :now,
             finished_at = CASE WHEN c.closed THEN CAST(:now AS timestamptz) END,
             failed_run = CASE WHEN c.status = 'failed' THEN CAST(:run AS text) END,
             dead_at = CASE WHEN c.status IN ('failed', 'unknown') THEN CAST(:now AS timestamptz) END
        FROM change c
       WHERE m.tenant_id = :tenant AND m.id = ANY(:ids) AND m.id = c.id
         AND CASE WHEN m.workflow_id = :owner THEN m.status IN ({_OPEN}) END
      RETURNING m.id
    )
    INSERT INTO decisions (tenant_id, message_id, at, kind, verdict, reason)
    SELECT :tenant, d.id, :now, d.kind, d.verdict, d.reason
      FROM unnest(CAST(:d_ids AS text[]), CAST(:d_kinds AS text[]), CAST(:d_verdicts AS text[]),
                  CAST(:d_reasons AS text[])) AS d(id, kind, verdict, reason) JOIN moved USING (id)
""")  # noqa: S608

_COUNTS: Final = sql(
    "SELECT status, count(*) AS n FROM messages WHERE tenant_id = :tenant AND id = ANY(:ids) GROUP BY status"
)

_HAND_OVER: Final = sql(f"""
    UPDATE messages SET workflow_id = 'message/' || tenant_id || '/' || id
     WHERE tenant_id = :tenant AND id = ANY(:ids) AND workflow_id = :owner AND status IN ({_OPEN})
""")  # noqa: S608

_WITHDRAW: Final = sql("""
    WITH moved AS (
      UPDATE messages SET status = 'cancelled', finished_at = :now, updated_at = :now, next_attempt_at = NULL
       WHERE tenant_id = :tenant AND id = ANY(:ids) AND workflow_id = :owner
         AND status IN ('pending', 'queued', 'scheduled', 'deferred', 'retrying')
      RETURNING id
    )
    INSERT INTO decisions (tenant_id, message_id, at, kind, verdict, reason)
    SELECT :tenant, id, :now, 'cancel', 'cancelled', :reason FROM moved
""")


class SqlLedger:
    def __init__(self, database: Database, contents: Contents) -> None:
        self._database = database
        self._contents = contents

    async def open_items(self, tenant: str, owner: str, run: str, messages: Sequence[str], now: datetime) -> list[Item]:
        names = {"tenant": tenant, "owner": owner, "ids": list(messages), "now": now}
        rows = await self._database.rows(_FETCH, names)
        if len(rows) < len(messages) and await self._database.rows(_ANY_DEAD, names | {"run": run}):
            await self._database.execute(_REOPEN, names | {"run": run})
            rows = await self._database.rows(_FETCH, names)
        unseal = await self._contents.opening(tenant)
        return [_item(row, unseal(row.id, row.body)) for row in rows]

    async def grant(self, tenant: str, owner: str, intents: Sequence[Intent], now: datetime) -> set[str]:
        if not intents:
            return set()
        rows = await self._database.rows(
            _GRANT,
            {
                "tenant": tenant,
                "owner": owner,
                "now": now,
                "ids": [intent.message for intent in intents],
                "numbers": [intent.number for intent in intents],
                "rounds": [intent.round for intent in intents],
                "accounts": [intent.account for intent in intents],
                "providers": [intent.provider for intent in intents],
                "shared": [intent.shared for intent in intents],
            }
            | _decisions(intents),
        )
        return {row.id for row in rows}

    async def record(self, tenant: str, run: str, results: Sequence[Result], now: datetime) -> None:
        if results:
            await self._database.execute(_RECORD, {"tenant": tenant, "run": run, "now": now} | _results(results))

    async def change(self, tenant: str, owner: str, run: str, changes: Sequence[Change], now: datetime) -> None:
        if not changes:
            return
        parameters: dict[str, Any] = {
            "tenant": tenant,
            "owner": owner,
            "run": run,
            "now": now,
            "ids": [change.message for change in changes],
            "statuses": [change.status.value for change in changes],
            "next_at": [change.next_attempt_at for change in changes],
            "rounds": [change.round for change in changes],
            "spent": [change.spent for change in changes],
            "waits": [change.wait_reason for change in changes],
            "error_codes": [change.error_code for change in changes],
            "errors": [change.error for change in changes],
            "closed": [change.status not in OPEN for change in changes],
        }
        await self._database.execute(_CHANGE, parameters | _decisions(changes))

    async def counts(self, tenant: str, messages: Sequence[str]) -> Mapping[Status, int]:
        rows = await self._database.rows(_COUNTS, {"tenant": tenant, "ids": list(messages)})
        return {Status(row.status): row.n for row in rows}

    async def hand_over(self, tenant: str, owner: str, messages: Sequence[str]) -> None:
        await self._database.execute(_HAND_OVER, {"tenant": tenant, "owner": owner, "ids": list(messages)})

    async def withdraw(self, tenant: str, owner: str, messages: Sequence[str], reason: str, now: datetime) -> None:
        names = {"tenant": tenant, "owner": owner, "ids": list(messages), "reason": reason, "now": now}
        await self._database.execute(_WITHDRAW, names)


def _item(row: Row[Any], body: bytes) -> Item:
    channel = Channel(row.channel)
    item = Item(
        id=row.id,
        channel=channel,
        status=Status(row.status),
        content=CONTENT_OF[channel].model_validate_json(body, context=TRUSTED),
        category=Category(row.category),
        guarantee=Guarantee(row.guarantee),
        preset=Preset(row.preset),
        requested_account=row.requested_account,
        request_id=row.request_id,
        not_after=row.not_after,
        next_attempt_at=row.next_attempt_at,
        attempts=row.attempt_count,
        round=row.round,
        spent=row.spent,
        wait_reason=row.wait_reason,
        priority=row.priority,
        suppressed=row.suppressed,
    )
    for account, outcome, number, asked_round, shared, started in row.asked or ():
        if outcome == Outcome.UNKNOWN.value:
            item.doubtful = account
            item.doubtful_since = item.doubtful_since or datetime.fromtimestamp(started, UTC)
        if outcome is None and number == item.attempts:
            item.in_flight, item.in_flight_shared = account, shared
        elif asked_round == item.round:
            item.tried.add(account)
            item.spending = item.spending or outcome not in _FREE_OUTCOMES
    return item


def _results(results: Sequence[Result]) -> dict[str, Any]:
    outcomes = [result.outcome for result in results]
    columns: dict[str, Any] = {
        "ids": [result.message for result in results],
        "numbers": [result.number for result in results],
        "outcomes": [outcome.kind.value for outcome in outcomes],
        "status_codes": [outcome.status_code for outcome in outcomes],
        "error_codes": [outcome.error_code for outcome in outcomes],
        "errors": [outcome.error for outcome in outcomes],
        "provider_ids": [outcome.provider_id if isinstance(outcome, Accepted) else None for outcome in outcomes],
        "durations": [result.duration_ms for result in results],
        "statuses": [result.status.value for result in results],
        "rounds": [result.round for result in results],
        "spent": [result.spent for result in results],
        "next_at": [result.next_attempt_at for result in results],
        "closed": [result.status not in OPEN for result in results],
    }
    return columns | _decisions(results)


def _decisions(steps: Sequence[Intent | Result | Change]) -> dict[str, Any]:
    decided = [(step.message, step.decision) for step in steps if step.decision is not None]
    return {
        "d_ids": [message for message, _ in decided],
        "d_kinds": [decision.kind for _, decision in decided],
        "d_verdicts": [decision.verdict for _, decision in decided],
        "d_reasons": [decision.reason for _, decision in decided],
    }
