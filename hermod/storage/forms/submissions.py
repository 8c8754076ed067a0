"""Reading submissions, and the moves that people make with dead letters: retry, discard."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

import orjson
from sqlalchemy import Row, TextClause

from hermod.contracts.errors import Conflict, NotFound
from hermod.contracts.forms.forms import (
    PaymentStatus,
    PaymentView,
    SpamView,
    SubmissionPage,
    SubmissionStatus,
    SubmissionSummary,
    SubmissionView,
)
from hermod.storage.database.engine import Database, sql
from hermod.storage.database.readable import or_none, page_of
from hermod.storage.secrets.contents import Contents

_ONE: Final = sql("SELECT * FROM form_submissions WHERE tenant_id = :tenant AND id = :id")
_LIST: Final = sql("""
    SELECT id, form_id, status, payment_status, contact, created_at, error_code, discarded_at FROM form_submissions
     WHERE tenant_id = :tenant
       AND (CAST(:form AS text) IS NULL OR form_id = CAST(:form AS text))
       AND (CAST(:wanted AS text) IS NULL OR status = CAST(:wanted AS text))
       AND (CAST(:error_code AS text) IS NULL OR error_code = CAST(:error_code AS text))
       AND (CAST(:since AS timestamptz) IS NULL OR created_at >= CAST(:since AS timestamptz))
       AND (CAST(:before AS timestamptz) IS NULL OR created_at < CAST(:before AS timestamptz))
       AND CASE WHEN CAST(:discarded AS bool) IS NOT NULL THEN (discarded_at IS NOT NULL) = CAST(:discarded AS bool)
                ELSE CAST(:wanted AS text) IS NULL OR discarded_at IS NULL END
       AND (CAST(:cursor AS text) IS NULL OR id < CAST(:cursor AS text))
     ORDER BY id DESC LIMIT CAST(:limit AS int)
""")
_STARTED: Final = sql("""
    UPDATE form_submissions SET status = 'processing', updated_at = :now
     WHERE tenant_id = :tenant AND id = :id AND status = 'pending'
""")
_PENDING: Final = sql("SELECT 1 FROM form_submissions WHERE tenant_id = :tenant AND id = :id AND status = 'pending'")

AFRESH: Final = (
    "error_code = NULL, error = NULL, failed_run = NULL, dead_at = NULL, discarded_at = NULL, finished_at = NULL, "
    "fencing_token = fencing_token + 1"
)
"""Assignments by which a dead letter begins again, from the step that failed. Who failed may still be at work, and
decides nothing any more.
"""


def _move(assignments: str, condition: str) -> TextClause:
    return sql(f"""
    WITH moved AS (
      UPDATE form_submissions SET {assignments}, updated_at = :now
       WHERE tenant_id = :tenant AND id = :id AND status = 'failed' AND {condition}
      RETURNING *
    ), audited AS (
      INSERT INTO audit (tenant_id, at, actor, action, subject)
      SELECT :tenant, :now, :actor, 'submission.' || CAST(:verb AS text), id FROM moved
    )
    SELECT * FROM moved
    """)  # noqa: S608 - assignments and conditions are constants of this module


_MOVES: Final = {
    "retry": _move(f"status = 'pending', {AFRESH}", "true"),
    "discard": _move("discarded_at = :now", "discarded_at IS NULL"),
}
_WHY: Final = {
    "retry": "only one that failed can be retried",
    "discard": "only a dead letter can be discarded, once",
}


class MovedSubmission(NamedTuple):
    summary: SubmissionSummary
    request_id: str | None


class Submissions:
    def __init__(self, database: Database, contents: Contents) -> None:
        self._database = database
        self._contents = contents

    async def view(self, tenant: str, submission: str) -> SubmissionView:
        """Raises NotFound."""
        row = await self._row(tenant, submission)
        unseal = await self._contents.opening(tenant)
        return SubmissionView(
            id=row.id,
            form=row.form_id,
            form_revision=row.form_revision,
            status=row.status,
            data=or_none("submission", row.id, lambda: opened(row, unseal)),
            caught_by=or_none("submission", row.id, lambda: _caught_by(row, unseal)),
            session=row.session,
            contact=row.contact,
            metadata=row.metadata,
            payment=payment_of(row),
            backend_id=row.backend_id,
            error_code=row.error_code,
            error=row.error,
            workflow_id=row.workflow_id,
            request_id=row.request_id,
            created_at=row.created_at,
            updated_at=row.updated_at,
            finished_at=row.finished_at,
            discarded_at=row.discarded_at,
        )

    async def page(
        self,
        tenant: str,
        *,
        form: str | None = None,
        status: SubmissionStatus | None = None,
        error_code: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        discarded: bool | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> SubmissionPage:
        """The newest first. With a status, discarded dead letters are left out, unless `discarded` says otherwise."""
        names = {
            "tenant": tenant,
            "form": form,
            "wanted": status.value if status else None,
            "error_code": error_code,
            "since": since,
            "before": until,
            "discarded": discarded,
            "cursor": cursor,
            "limit": limit + 1,
        }
        rows = await self._database.rows(_LIST, names)
        items, next_cursor = page_of("submission", rows, limit, summary)
        return SubmissionPage(items=items, next_cursor=next_cursor)

    async def retry(self, tenant: str, submission: str, *, actor: str, now: datetime) -> MovedSubmission:
        """A dead letter begins again, at the step that failed. Raises NotFound and Conflict."""
        return await self._moved("retry", tenant, submission, actor, now)

    async def discard(self, tenant: str, submission: str, *, actor: str, now: datetime) -> MovedSubmission:
        """Take a dead letter off the list; its record stays. Raises NotFound and Conflict."""
        return await self._moved("discard", tenant, submission, actor, now)

    async def mark_started(self, tenant: str, submission: str, now: datetime) -> None:
        """Its workflow exists: pending becomes processing."""
        await self._database.execute(_STARTED, {"tenant": tenant, "id": submission, "now": now})

    async def is_pending(self, tenant: str, submission: str) -> bool:
        """Whether it has yet to be started."""
        return bool(await self._database.rows(_PENDING, {"tenant": tenant, "id": submission}))

    async def _moved(self, verb: str, tenant: str, submission: str, actor: str, now: datetime) -> MovedSubmission:
        names = {"tenant": tenant, "id": submission, "actor": actor, "now": now, "verb": verb}
        rows: Sequence[Row[Any]] = await self._database.rows(_MOVES[verb], names)
        if rows:
            return MovedSubmission(summary(rows[0]), rows[0].request_id)
        row = await self._row(tenant, submission)
        raise Conflict(f"the submission is {row.status}; {_WHY[verb]}")

    async def _row(self, tenant: str, submission: str) -> Row[Any]:
        rows = await self._database.rows(_ONE, {"tenant": tenant, "id": submission})
        if not rows:
            raise NotFound(f"there is no submission {submission}")
        return rows[0]


def opened(row: Row[Any], unseal: Callable[[str, bytes], bytes]) -> dict[str, Any] | None:
    """What was entered, without the honeypot's field; None where it was dropped."""
    data = _all(row, unseal)
    if data is not None and row.caught_by is not None:
        data.pop(row.caught_by, None)
    return data


def _caught_by(row: Row[Any], unseal: Callable[[str, bytes], bytes]) -> SpamView | None:
    if row.caught_by is None:
        return None
    return SpamView(field=row.caught_by, value=(_all(row, unseal) or {}).get(row.caught_by))


def _all(row: Row[Any], unseal: Callable[[str, bytes], bytes]) -> dict[str, Any] | None:
    if row.data is None:
        return None
    data: dict[str, Any] = orjson.loads(unseal(row.id, row.data))
    return data


def payment_of(row: Row[Any]) -> PaymentView | None:
    """None where the form asks for no payment and none was made."""
    if row.payment_status is None:
        return None
    return PaymentView(
        status=PaymentStatus(row.payment_status),
        expires_at=row.payment_expires_at,
        amount=row.amount,
        amount_refunded=row.amount_refunded,
        amount_disputed=row.amount_disputed,
        amount_returned=row.amount_returned,
        currency=row.currency,
        reference=row.payment_reference,
        paid_at=row.paid_at,
        failure_code=row.failure_code,
    )


def summary(row: Row[Any]) -> SubmissionSummary:
    return SubmissionSummary(
        id=row.id,
        form=row.form_id,
        status=row.status,
        payment_status=row.payment_status,
        contact=row.contact,
        created_at=row.created_at,
        error_code=row.error_code,
        discarded_at=row.discarded_at,
    )
