"""Reading a message's story, and the moves that people make: cancel, retry, resolve, discard.

Each move is one conditional UPDATE; what it could not change is explained from the state it found.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row

from hermod.contracts.errors import Conflict, NotFound
from hermod.contracts.notifications.messages import (
    AttemptView,
    DecisionView,
    MessageSummary,
    MessageView,
    Narrowed,
    Page,
    Receipt,
    Resolution,
    Status,
)
from hermod.contracts.notifications.receipts import ReceiptView
from hermod.domain.states import CANCELLABLE
from hermod.storage.database.engine import Database, sql
from hermod.storage.database.readable import page_of
from hermod.storage.notifications.reopening import with_content
from hermod.storage.tenants.retry_defaults import stored_retry

_MESSAGE: Final = sql("""
    SELECT m.*,
           EXISTS (SELECT 1 FROM message_contents c WHERE c.tenant_id = :tenant AND c.message_id = :id) AS has_content,
           (SELECT p.retry FROM provider_accounts p
             WHERE p.tenant_id = :tenant
               AND p.name = coalesce((SELECT a.account FROM attempts a
                                       WHERE a.tenant_id = :tenant AND a.message_id = :id
                                       ORDER BY a.number DESC LIMIT 1), m.requested_account)) AS account_retry
      FROM messages m WHERE m.tenant_id = :tenant AND m.id = :id
""")
_ATTEMPTS: Final = sql("SELECT * FROM attempts WHERE tenant_id = :tenant AND message_id = :id ORDER BY number")
_DECISIONS: Final = sql(
    "SELECT at, kind, verdict, reason FROM decisions WHERE tenant_id = :tenant AND message_id = :id ORDER BY id"
)
_RECEIPTS: Final = sql("""
    SELECT coalesce(occurred_at, received_at) AS at, kind, word, code, text FROM receipts
     WHERE tenant_id = :tenant AND message_id = :id ORDER BY received_at, place, event_id LIMIT 200
""")

_SUMMARY: Final = """
    id, channel, status, recipient, provider, workflow_id, created_at, updated_at, next_attempt_at, discarded_at,
    error_code, error
"""
_NARROWED: Final = """
    tenant_id = :tenant
    AND (CAST(:wanted AS text) IS NULL OR status = CAST(:wanted AS text))
    AND (CAST(:channel AS text) IS NULL OR channel = CAST(:channel AS text))
    AND (CAST(:error_code AS text) IS NULL OR error_code = CAST(:error_code AS text))
    AND (CAST(:since AS timestamptz) IS NULL OR created_at >= CAST(:since AS timestamptz))
    AND (CAST(:before AS timestamptz) IS NULL OR created_at < CAST(:before AS timestamptz))
    AND (CAST(:cursor AS text) IS NULL OR id < CAST(:cursor AS text))
"""
# What turned out to be sent after all is no dead letter, discarded or not.
_DISCARDED: Final = "(discarded_at IS NOT NULL AND status IN ('failed', 'unknown'))"
_LIST: Final = sql(f"""
    SELECT {_SUMMARY} FROM messages
     WHERE {_NARROWED}
       AND CASE WHEN CAST(:discarded AS bool) IS NOT NULL THEN {_DISCARDED} = CAST(:discarded AS bool)
                ELSE CAST(:wanted AS text) IS NULL OR NOT {_DISCARDED} END
     ORDER BY id DESC LIMIT CAST(:limit AS int)
""")  # noqa: S608 - ours

_DEAD: Final = sql(f"""
    SELECT {_SUMMARY} FROM messages
     WHERE {_NARROWED} AND dead_at IS NOT NULL AND discarded_at IS NULL
     ORDER BY id DESC LIMIT CAST(:limit AS int)
""")  # noqa: S608 - ours


def _move(assignments: str, states: Sequence[str], condition: str = "true") -> str:
    """A conditional move of one message, with its decision and its line in the audit."""
    return f"WITH {_moved(assignments, states, condition)}"


def _reopening(states: Sequence[str]) -> str:
    """As `_move`, for a message that begins again; one without its content does not."""
    kept = with_content(f"id = :id AND status IN ({_listed(states)})")
    return f"WITH {kept}, {_moved(_AFRESH, states, 'id = ANY(ARRAY(SELECT id FROM kept))')}"  # noqa: S608 - ours


def _listed(states: Sequence[str]) -> str:
    return ", ".join(f"'{state}'" for state in states)


def _moved(assignments: str, states: Sequence[str], condition: str = "true") -> str:
    return f"""
    moved AS (
      UPDATE messages SET {assignments}, updated_at = :now
       WHERE tenant_id = :tenant AND id = :id AND status IN ({_listed(states)}) AND {condition}
      RETURNING *
    ), decided AS (
      INSERT INTO decisions (tenant_id, message_id, at, kind, verdict, reason)
      SELECT :tenant, id, :now, CAST(:kind AS text), CAST(:verdict AS text), :reason FROM moved
    ), audited AS (
      INSERT INTO audit (tenant_id, at, actor, action, subject)
      SELECT :tenant, :now, :actor, CAST(:action AS text), id FROM moved
    )
    SELECT * FROM moved
    """  # noqa: S608 - assignments and states are constants of this module


_OWN_WORKFLOW: Final = "workflow_id = 'message/' || tenant_id || '/' || id"
_AFRESH: Final = (
    "status = 'pending', spent = 0, round = round + 1, finished_at = NULL, failed_run = NULL, dead_at = NULL, "
    f"error = NULL, error_code = NULL, next_attempt_at = NULL, discarded_at = NULL, wait_reason = NULL, {_OWN_WORKFLOW}"
)
_CANCEL: Final = sql(
    _move(
        "status = 'cancelled', finished_at = :now, next_attempt_at = NULL",
        sorted(status.value for status in CANCELLABLE),
    )
)
_RETRY: Final = sql(_reopening(["failed"]))
_RESOLVE_SENT: Final = sql(
    _move("status = 'sent', finished_at = :now, dead_at = NULL, discarded_at = NULL", ["unknown"])
)
_RESOLVE_NOT_SENT: Final = sql(_reopening(["unknown"]))
_DISCARD: Final = sql(_move("discarded_at = :now", ["failed", "unknown"], "discarded_at IS NULL"))

_STARTED: Final = sql("""
    UPDATE messages SET status = CASE WHEN send_at > :now THEN 'scheduled' ELSE 'queued' END, updated_at = :now
     WHERE tenant_id = :tenant AND id = ANY(:ids) AND workflow_id = :owner AND status = 'pending'
""")
_PENDING: Final = sql(
    "SELECT 1 FROM messages WHERE tenant_id = :tenant AND id = ANY(:ids) AND status = 'pending' LIMIT 1"
)


class Messages:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def view(self, tenant: str, message: str) -> MessageView:
        """The whole story. Raises NotFound."""
        names = {"tenant": tenant, "id": message}
        async with self._database.autocommit(changes=False) as connection:
            row = (await connection.execute(_MESSAGE, names)).one_or_none()
            if row is None:
                raise NotFound(f"there is no message {message}")
            attempts = (await connection.execute(_ATTEMPTS, names)).all()
            decisions = (await connection.execute(_DECISIONS, names)).all()
            receipts = (await connection.execute(_RECEIPTS, names)).all()
        return _view(row, attempts, decisions, receipts)

    async def page(self, tenant: str, narrowed: Narrowed, *, cursor: str | None, limit: int) -> Page:
        """The newest first. With a status, discarded dead letters are left out, unless `discarded` says otherwise."""
        names = _names(tenant, narrowed, cursor, limit) | {"discarded": narrowed.discarded}
        return _page(await self._database.rows(_LIST, names), limit)

    async def dead_letters(self, tenant: str, narrowed: Narrowed, *, cursor: str | None, limit: int) -> Page:
        """Messages that were given up, or whose outcome nobody knows, newest first; discarded ones are left out."""
        return _page(await self._database.rows(_DEAD, _names(tenant, narrowed, cursor, limit)), limit)

    async def cancel(self, tenant: str, message: str, *, actor: str, now: datetime) -> Receipt:
        """Raises Conflict for a message that is on its way or done."""
        names = {"kind": "cancel", "verdict": "cancelled", "reason": f"asked for by {actor}"}
        return _receipt(await self._moved(_CANCEL, tenant, message, actor, "message.cancel", now, names))

    async def retry(self, tenant: str, message: str, *, actor: str, now: datetime) -> Receipt:
        """A dead letter begins again, with all its attempts, as a workflow of its own. Raises Conflict for others."""
        names = {"kind": "retry", "verdict": "reopened", "reason": f"asked for by {actor}"}
        return _receipt(await self._moved(_RETRY, tenant, message, actor, "message.retry", now, names))

    async def resolve(self, tenant: str, message: str, resolution: Resolution, *, actor: str, now: datetime) -> Receipt:
        """An operator's word on an unknown outcome; `not_sent` sends again. Raises Conflict for other states."""
        names = {"kind": "resolve", "verdict": resolution.outcome, "reason": f"said by {actor}"}
        statement = _RESOLVE_SENT if resolution.outcome == "sent" else _RESOLVE_NOT_SENT
        return _receipt(await self._moved(statement, tenant, message, actor, "message.resolve", now, names))

    async def discard(self, tenant: str, message: str, *, actor: str, now: datetime) -> MessageSummary:
        """Take a dead letter off the list; its record stays. Raises Conflict for others, and for one that is off it."""
        names = {"kind": "discard", "verdict": "discarded", "reason": f"asked for by {actor}"}
        row = await self._moved(_DISCARD, tenant, message, actor, "message.discard", now, names)
        return MessageSummary(**_shared(row))

    async def mark_started(self, tenant: str, owner: str, messages: Sequence[str], now: datetime) -> None:
        """Their workflow exists: pending becomes queued, or scheduled where the due time is ahead."""
        names = {"tenant": tenant, "owner": owner, "ids": list(messages), "now": now}
        await self._database.execute(_STARTED, names)

    async def any_pending(self, tenant: str, messages: Sequence[str]) -> bool:
        """Whether one of them has yet to be started."""
        return bool(await self._database.rows(_PENDING, {"tenant": tenant, "ids": list(messages)}))

    async def _moved(
        self,
        statement: Any,
        tenant: str,
        message: str,
        actor: str,
        action: str,
        now: datetime,
        names: dict[str, str],
    ) -> Row[Any]:
        """The message after its move. Raises NotFound and Conflict."""
        parameters = {"tenant": tenant, "id": message, "actor": actor, "action": action, "now": now} | names
        rows = await self._database.rows(statement, parameters)
        if rows:
            return rows[0]
        found = await self._database.rows(_MESSAGE, {"tenant": tenant, "id": message})
        if not found:
            raise NotFound(f"there is no message {message}")
        raise Conflict(_refusal(action, found[0]))


def _names(tenant: str, narrowed: Narrowed, cursor: str | None, limit: int) -> dict[str, Any]:
    return {
        "tenant": tenant,
        "wanted": narrowed.status,
        "channel": narrowed.channel,
        "error_code": narrowed.error_code,
        "since": narrowed.since,
        "before": narrowed.until,
        "cursor": cursor,
        "limit": limit + 1,
    }


def _refusal(action: str, found: Row[Any]) -> str:
    status = Status(found.status)
    if action == "message.discard" and found.discarded_at is not None:
        return f"the message is {status.value}, and it is discarded already"
    if action in ("message.retry", "message.resolve") and not found.has_content:
        return f"the message is {status.value}, and its content was dropped when its time was over"
    why = {
        "message.cancel": "it can be cancelled only while it waits"
        if status is not Status.SENDING
        else "a request is on its way to the provider and cannot be called back",
        "message.retry": "only a failed message can be retried"
        if status is not Status.UNKNOWN
        else "resolve it first: say whether it was sent",
        "message.resolve": "only a message whose outcome is unknown can be resolved",
        "message.discard": "only a dead letter can be discarded",
    }[action]
    return f"the message is {status.value}; {why}"


def _view(
    row: Row[Any], attempts: Sequence[Row[Any]], decisions: Sequence[Row[Any]], receipts: Sequence[Row[Any]]
) -> MessageView:
    return MessageView(
        **_shared(row),
        priority=row.priority,
        category=row.category,
        guarantee=row.guarantee,
        **_retry(row),
        provider_account=row.requested_account,
        provider_message_id=row.provider_message_id,
        request_id=row.request_id,
        template=row.template,
        segments=row.segments,
        group_id=row.group_id,
        content_kept=row.has_content,
        metadata=row.metadata,
        send_at=row.send_at,
        not_after=row.not_after,
        finished_at=row.finished_at,
        attempts=tuple(
            AttemptView(
                number=attempt.number,
                account=attempt.account,
                provider=attempt.provider,
                outcome=attempt.outcome,
                status_code=attempt.status_code,
                error_code=attempt.error_code,
                error=attempt.error,
                provider_message_id=attempt.provider_message_id,
                started_at=attempt.started_at,
                duration_ms=attempt.duration_ms,
            )
            for attempt in attempts
        ),
        decisions=tuple(
            DecisionView(at=decision.at, kind=decision.kind, verdict=decision.verdict, reason=decision.reason)
            for decision in decisions
        ),
        receipts=tuple(
            ReceiptView(at=one.at, kind=one.kind, word=one.word, code=one.code, text=one.text) for one in receipts
        ),
    )


def _retry(row: Row[Any]) -> dict[str, Any]:
    """What counts; once the message has ended, what counted, as long as its account is not changed."""
    own = row.preset if row.waits is None else row.waits
    of_account = None if row.retry_from in (None, "message") else row.account_retry
    if of_account is not None:
        return {"retry": stored_retry(of_account), "retry_from": "account"}
    return {"retry": stored_retry(own), "retry_from": row.retry_from}


def _receipt(row: Row[Any]) -> Receipt:
    return Receipt(id=row.id, status=Status(row.status), workflow_id=row.workflow_id)


def _shared(row: Row[Any]) -> dict[str, Any]:
    return {
        "id": row.id,
        "channel": row.channel,
        "status": row.status,
        "to": row.recipient,
        "provider": row.provider,
        "workflow_id": row.workflow_id,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
        "next_attempt_at": row.next_attempt_at,
        "discarded_at": row.discarded_at if row.status in (Status.FAILED, Status.UNKNOWN) else None,
        "error_code": row.error_code,
        "error": row.error,
    }


def _page(rows: Sequence[Row[Any]], limit: int) -> Page:
    items, next_cursor = page_of("message", rows, limit, lambda row: MessageSummary(**_shared(row)))
    return Page(items=items, next_cursor=next_cursor)
