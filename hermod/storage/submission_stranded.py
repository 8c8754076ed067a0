"""Finding submissions that nobody is working on, over all tenants, as `hermod.storage.stranded` does for messages.

What the sweeper found may have changed by the time that it has asked Temporal: somebody has retried it, or another
sweeper was faster and its workflow runs again. So a submission is given up only where it has ended neither way, is not
waiting for its start, and has not been touched since shortly before the sweeper looked. Giving up raises the
`fencing_token` (`hermod.storage.submission_steps`): an executor of the workflow that was closed decides nothing more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Row

from hermod.storage.engine import Database, sql
from hermod.storage.stranded_records import Statements, StrandedRecords

_COLUMNS: Final = "tenant_id, id, workflow_id, request_id"
_UNSTARTED: Final = sql(f"""
    SELECT {_COLUMNS} FROM form_submissions
     WHERE finished_at IS NULL AND status = 'pending' AND updated_at < :until
     ORDER BY created_at LIMIT CAST(:limit AS int)
""")  # noqa: S608 - ours
# One that waits for its payment is left alone until that has expired; a payment that comes wakes it by itself.
_STILL: Final = sql(f"""
    SELECT {_COLUMNS} FROM form_submissions
     WHERE finished_at IS NULL AND status <> 'pending' AND updated_at < :until
       AND (status <> 'awaiting_payment' OR payment_expires_at < :until)
     ORDER BY created_at LIMIT CAST(:limit AS int)
""")  # noqa: S608 - ours
_TOUCH: Final = sql("""
    UPDATE form_submissions SET updated_at = greatest(updated_at, :now)
     WHERE tenant_id = :tenant AND id = ANY(:ids) AND finished_at IS NULL
""")
# `now` is when the sweeper began to look. The margin is for clocks that differ.
_BURY: Final = sql("""
    UPDATE form_submissions
       SET status = 'failed', error_code = 'workflow_closed', error = :reason, dead_at = :now, finished_at = :now,
           failed_run = CAST(:closed_run AS text), updated_at = :now, untold_since = NULL,
           fencing_token = fencing_token + 1
     WHERE tenant_id = :tenant AND id = ANY(:ids) AND finished_at IS NULL AND status <> 'pending'
       AND updated_at < CAST(:now AS timestamptz) - interval '1 minute'
""")
_STATEMENTS: Final = Statements(unstarted=_UNSTARTED, still=_STILL, touch=_TOUCH, bury=_BURY)


@dataclass(frozen=True, slots=True)
class StrandedSubmission:
    tenant: str
    id: str
    workflow_id: str
    request_id: str | None


class StrandedSubmissions(StrandedRecords[StrandedSubmission]):
    def __init__(self, database: Database) -> None:
        super().__init__(database, _STATEMENTS, _stranded)


def _stranded(row: Row[Any]) -> StrandedSubmission:
    return StrandedSubmission(tenant=row.tenant_id, id=row.id, workflow_id=row.workflow_id, request_id=row.request_id)
