"""Somebody says that a submission caught as spam is none: from then on it is one like any other."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row

from hermod.contracts.errors import Conflict, NotFound
from hermod.contracts.forms.forms import SubmissionStatus, SubmissionTerms
from hermod.storage.database.engine import Database, sql
from hermod.storage.forms import partials
from hermod.storage.forms.submission_acceptance import RECEIVED
from hermod.storage.forms.submissions import MovedSubmission, summary
from hermod.storage.operations.journeys import Step, note

_LOCK: Final = sql("SELECT * FROM form_submissions WHERE tenant_id = :tenant AND id = :id FOR NO KEY UPDATE")
# Whoever may be telling of its payment holds an older token, and decides nothing more.
_RELEASE: Final = sql("""
    UPDATE form_submissions
       SET status = 'pending', finished_at = NULL, fencing_token = fencing_token + 1, updated_at = :now,
           payment_expires_at = CAST(:expires_at AS timestamptz),
           payment_status = CASE WHEN CAST(:awaits AS bool) THEN coalesce(payment_status, 'awaited')
                                 ELSE payment_status END
     WHERE tenant_id = :tenant AND id = :id
    RETURNING *
""")
_AUDIT: Final = sql("""
    INSERT INTO audit (tenant_id, at, actor, action, subject)
    VALUES (:tenant, :now, :actor, 'submission.release', :id)
""")


class ReleasedSubmissions:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def release(self, tenant: str, submission: str, *, actor: str, now: datetime) -> MovedSubmission:
        """It is pending, converts its session's partial, and is paid for from now on where its form asks for that.

        What caught it stays on record. Raises NotFound, and Conflict where it is no spam.
        """
        key = {"tenant": tenant, "id": submission}
        async with self._database.begin() as connection:
            row = (await connection.execute(_LOCK, key)).one_or_none()
            if row is None:
                raise NotFound(f"there is no submission {submission}")
            if row.status != SubmissionStatus.SPAM:
                raise Conflict(f"the submission is {row.status}; only spam can be said to be none")
            contact = row.contact
            if row.session is not None:
                found = await partials.convert(connection, tenant, row.form_id, row.session, submission, now)
                contact = contact or (found.contact if found is not None else None)
            names = key | {"now": now, **_payment(row, now)}
            released = (await connection.execute(_RELEASE, names)).one()
            await connection.execute(_AUDIT, key | {"now": now, "actor": actor})
            if row.session is not None or contact is not None:
                step = Step(
                    at=now,
                    kind=RECEIVED,
                    session=row.session,
                    contact=contact,
                    form=row.form_id,
                    reference=submission,
                )
                await note(connection, tenant, [step])
        return MovedSubmission(summary(released), released.request_id)


def _payment(row: Row[Any], now: datetime) -> dict[str, Any]:
    payment = SubmissionTerms.model_validate(row.definition).payment
    awaits = payment is not None and payment.required
    return {"awaits": awaits, "expires_at": now + payment.expires_in if payment is not None and awaits else None}
