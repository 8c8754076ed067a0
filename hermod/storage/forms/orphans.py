"""Finding submissions that nobody is working on, over all tenants. Each has a workflow of its own, and no requests.

Giving one up raises its `fencing_token` (`hermod.storage.forms.submission_steps`): an executor of the workflow that was
closed decides nothing more.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Row

from hermod.storage.database.engine import Database
from hermod.storage.operations.orphaned_records import Orphan, OrphanedRecords, Statements, as_read

_TABLE: Final = "form_submissions"

_DEAD_LETTER: Final = f"""
    UPDATE {_TABLE} s
       SET status = 'failed', error_code = 'workflow_closed', error = :reason, dead_at = :now, finished_at = :now,
           failed_run = :run, updated_at = :now, untold_since = NULL, fencing_token = fencing_token + 1
      FROM unnest(CAST(:ids AS text[]), CAST(:states AS text[])) AS i(own, state)
     WHERE s.tenant_id = :tenant AND s.id = ANY(:ids) AND s.id = i.own
       AND CASE WHEN s.workflow_id = :owner AND s.updated_at < :until AND s.finished_at IS NULL
                THEN s.status = i.state END
    RETURNING s.id
"""  # noqa: S608 - constants of ours

_STATEMENTS: Final = Statements.of(
    _TABLE,
    "0 AS attempt_count",
    # One that waits for its payment is left alone until that has expired; a payment that comes wakes it by itself.
    due="(status <> 'awaiting_payment' OR payment_expires_at < :until)",
    dead_letter=_DEAD_LETTER,
)


class OrphanedSubmissions(OrphanedRecords[Orphan]):
    def __init__(self, database: Database) -> None:
        super().__init__(database, _STATEMENTS, _orphaned)


def _orphaned(row: Row[Any]) -> Orphan:
    return Orphan(**as_read(row))
