"""`hermod.ports.forms.submissions.SubmissionLedger`: each step of a submission's processing as one statement.

Each answers the row as it is afterwards, so that a payment that came meanwhile is seen by whoever decides what is next.

Two executors may be at work on one submission: one whose heartbeats did not come through, and the one that took its
place. Meanwhile payments come, people retry, and the sweeper gives up. Whoever takes a submission up raises its
`fencing_token`; so do a retry and the sweeper. What somebody has seen happen is a fact and is written down by whoever
saw it; what follows from it is decided by the holder of the newest token alone, from what it has read:

    statement     written where                                        so that
    open          it has not failed; raises the token                  whoever came before decides nothing any more
    release       it is spam (`hermod.storage.notifications.releasing`);             what somebody has said to be no
    spam is raises the token                                     processed, also where money is being told of reopen
    it failed in another run of its workflow, which      a dead letter begins again only where an was reset; raises the
    token                          operator asks for it saved         always, once (a fact)
    the backend is not asked again for what it has; a dead letter keeps its reason troubled      own token; neither
    saved nor ended                   no reason is shown where nothing is wrong give_up       own token; neither saved
    nor ended                   what is saved, done or retried does not fail told          always, each mark once (a
    fact)                      what was announced is not announced again awaiting      own token, payment as read
    a payment is not waited for that has come expire        own token, payment as read and none that counts;     what is
    paid or done does not expire not failed, no spam, not completed finish        own token, payment as read; not
    failed; spam         money that came late does not end as `expired` stays spam

"Payment as read" compares `payment_version` (`hermod.storage.forms.payments`). Whoever comes to wait or to the end has
told all that there is to tell of that version: `awaiting` and `finish` clear `untold_since`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row, TextClause

from hermod.contracts.errors import NotFound, Unavailable, Unreadable
from hermod.contracts.forms.forms import PaymentStatus, SubmissionStatus, SubmissionTerms
from hermod.domain.forms.submissions import SubmissionState, Tell
from hermod.ports.forms.submissions import SubmissionRecord
from hermod.storage.database.engine import Database, sql
from hermod.storage.database.readable import is_newer, newer, reason
from hermod.storage.forms.submissions import AFRESH, opened, payment_of
from hermod.storage.secrets.contents import Contents

UNREADABLE_CODE: Final = "unreadable"
_KEY: Final = "tenant_id = :tenant AND id = :id"


def _step(assignments: str, condition: str = "true") -> TextClause:
    return sql(f"""
    UPDATE form_submissions SET {assignments}, updated_at = greatest(updated_at, :now)
     WHERE {_KEY} AND {condition} RETURNING *
    """)  # noqa: S608 - constants of this module


_ONE: Final = sql(f"SELECT * FROM form_submissions WHERE {_KEY}")  # noqa: S608 - ours
_OWN: Final = "fencing_token = CAST(:token AS int)"
_AS_READ: Final = f"{_OWN} AND payment_version = CAST(:version AS int)"
_OPEN: Final = _step(
    "status = CASE WHEN status = 'pending' THEN 'processing' ELSE status END, fencing_token = fencing_token + 1",
    "status <> 'failed'",
)
_REOPEN: Final = _step(f"status = 'processing', {AFRESH}", "status = 'failed' AND failed_run IS DISTINCT FROM :run")
_SAVED: Final = _step(
    "saved_at = coalesce(saved_at, :now), backend_id = coalesce(backend_id, CAST(:backend_id AS text)), "
    "error_code = CASE WHEN status = 'failed' THEN error_code END, error = CASE WHEN status = 'failed' THEN error END"
)
_TROUBLED: Final = _step(
    "error_code = CAST(:code AS text), error = CAST(:error AS text)",
    f"{_OWN} AND finished_at IS NULL AND saved_at IS NULL",
)
# A dead letter's workflow is told nothing: whoever retries it finds the payment there.
_GIVE_UP: Final = _step(
    "status = 'failed', error_code = CAST(:code AS text), error = CAST(:error AS text), failed_run = :run, "
    "dead_at = :now, finished_at = :now, untold_since = NULL",
    f"{_OWN} AND finished_at IS NULL AND saved_at IS NULL",
)
# Whatever step it had come to: no other can be made.
_END_UNREADABLE: Final = _step(
    "status = 'failed', error_code = CAST(:code AS text), error = CAST(:error AS text), failed_run = :run, "
    "dead_at = :now, finished_at = :now, untold_since = NULL",
    f"{_OWN} AND finished_at IS NULL",
)
_TOLD: Final = _step(
    "announced = CASE WHEN CAST(:mark AS text) = ANY(announced) THEN announced "
    "ELSE array_append(announced, CAST(:mark AS text)) END"
)
_AWAITING: Final = _step(
    "status = CASE WHEN status = 'processing' THEN 'awaiting_payment' ELSE status END, untold_since = NULL", _AS_READ
)
# A payment that comes at this very moment: whoever has the row first, wins.
_EXPIRE: Final = _step(
    "status = 'expired', payment_status = 'expired'",
    f"{_AS_READ} AND status NOT IN ('failed', 'spam', 'completed')"
    " AND coalesce(payment_status, 'awaited') IN ('awaited', 'failed') AND payment_expires_at <= :now",
)
_FINISH: Final = _step(
    "status = :status, finished_at = coalesce(finished_at, :now), untold_since = NULL",
    f"{_AS_READ} AND status <> 'failed' AND (status = 'spam') = (:status = 'spam')",
)


class SqlSubmissionLedger:
    def __init__(self, database: Database, contents: Contents) -> None:
        self._database = database
        self._contents = contents

    async def open(
        self, tenant: str, submission: str, run: str, now: datetime, *, is_reset: bool = False
    ) -> SubmissionRecord:
        names = {"tenant": tenant, "id": submission, "now": now}
        rows = await self._database.rows(_OPEN, names)
        if not rows and is_reset:
            rows = await self._database.rows(_REOPEN, names | {"run": run})
        try:
            return await self._record(rows[0]) if rows else await self._stands(tenant, submission)
        except (Unavailable, NotFound):
            raise
        except Exception as error:
            if is_newer(error):
                raise newer("submission", submission) from None
            why = reason(error)
            if rows:
                told = {"run": run, "code": UNREADABLE_CODE, "error": f"it cannot be read as it is stored: {why}"}
                await self._database.rows(_END_UNREADABLE, names | told | {"token": rows[0].fencing_token})
            raise Unreadable(why) from error

    async def saved(self, record: SubmissionRecord, backend_id: str | None, now: datetime) -> SubmissionRecord:
        return await self._moved(_SAVED, record, {"now": now, "backend_id": backend_id})

    async def troubled(self, record: SubmissionRecord, code: str, text: str, now: datetime) -> None:
        await self._moved(_TROUBLED, record, {"now": now, "code": code, "error": text})

    async def give_up(
        self, record: SubmissionRecord, run: str, code: str, text: str, now: datetime
    ) -> SubmissionRecord:
        return await self._moved(_GIVE_UP, record, {"now": now, "run": run, "code": code, "error": text})

    async def told(self, record: SubmissionRecord, tell: Tell, now: datetime) -> SubmissionRecord:
        return await self._moved(_TOLD, record, {"now": now, "mark": tell.mark})

    async def awaiting(self, record: SubmissionRecord, now: datetime) -> SubmissionRecord:
        return await self._moved(_AWAITING, record, {"now": now})

    async def expire(self, record: SubmissionRecord, now: datetime) -> SubmissionRecord:
        return await self._moved(_EXPIRE, record, {"now": now})

    async def finish(self, record: SubmissionRecord, status: SubmissionStatus, now: datetime) -> SubmissionRecord:
        return await self._moved(_FINISH, record, {"now": now, "status": status.value})

    async def _moved(self, statement: TextClause, record: SubmissionRecord, names: dict[str, Any]) -> SubmissionRecord:
        read = {"token": record.fencing_token, "version": record.payment_version}
        rows = await self._database.rows(statement, {"tenant": record.tenant, "id": record.id} | read | names)
        return await self._record(rows[0]) if rows else await self._stands(record.tenant, record.id)

    async def _stands(self, tenant: str, submission: str) -> SubmissionRecord:
        rows = await self._database.rows(_ONE, {"tenant": tenant, "id": submission})
        if not rows:
            raise NotFound(f"there is no submission {submission}")
        return await self._record(rows[0])

    async def _record(self, row: Row[Any]) -> SubmissionRecord:
        unseal = await self._contents.opening(row.tenant_id)
        terms, payment = SubmissionTerms.model_validate(row.definition), payment_of(row)
        return SubmissionRecord(
            tenant=row.tenant_id,
            id=row.id,
            form=row.form_id,
            form_revision=row.form_revision,
            status=SubmissionStatus(row.status),
            standing=_standing(row, terms),
            terms=terms,
            data=opened(row, unseal),
            metadata=row.metadata,
            payment=None if payment is None else payment.model_dump(mode="json"),
            session=row.session,
            contact=row.contact,
            request_id=row.request_id,
            backend_id=row.backend_id,
            created_at=row.created_at,
            changed_at=row.updated_at,
            paid_at=row.paid_at,
            failed_run=row.failed_run,
            reason=row.error_code,
            fencing_token=row.fencing_token,
            payment_version=row.payment_version,
            untold=row.untold_since is not None,
        )


def _standing(row: Row[Any], terms: SubmissionTerms) -> SubmissionState:
    return SubmissionState(
        saved=row.saved_at is not None,
        awaits_payment=terms.payment is not None and terms.payment.required,
        payment=None if row.payment_status is None else PaymentStatus(row.payment_status),
        expires_at=row.payment_expires_at,
        failures=row.payment_failures,
        refunds=row.payment_refunds,
        disputes=row.payment_disputes,
        returns=row.payment_returns,
        is_spam=row.status == SubmissionStatus.SPAM,
        told=frozenset(row.announced),
    )
