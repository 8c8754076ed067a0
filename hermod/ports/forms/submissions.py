"""What the processing of submissions needs: their records, and the user's own backend."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from hermod.contracts.forms.forms import SubmissionStatus, SubmissionTerms
from hermod.domain.forms.submissions import SubmissionState, Tell


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmissionRecord:
    """A submission as it stands, with what was entered."""

    tenant: str
    id: str
    form: str
    form_revision: int
    status: SubmissionStatus
    standing: SubmissionState
    terms: SubmissionTerms
    data: Mapping[str, Any] | None
    metadata: Mapping[str, Any]
    payment: Mapping[str, Any] | None
    """As the API shows it; None where the form asks for none and none came."""
    session: str | None
    contact: str | None
    request_id: str | None
    backend_id: str | None
    created_at: datetime
    changed_at: datetime
    """When something was last said of it; never goes back."""
    paid_at: datetime | None
    failed_run: str | None
    """The workflow run that gave it up."""
    reason: str | None
    """Why it was given up, in a code."""
    fencing_token: int
    """Counts who took it up. Who holds an older one was superseded and decides nothing any more."""
    payment_version: int
    """Counts the changes of its payment."""
    untold: bool
    """Whether its payment has changed since its workflow last came to wait or to the end."""

    def is_as_read_in(self, before: SubmissionRecord) -> bool:
        """Whether nobody else has taken it up, and its payment has not changed, since `before` was read."""
        read = (before.fencing_token, before.payment_version)
        return (self.fencing_token, self.payment_version) == read


class SubmissionLedger(Protocol):
    """Every step is one statement, and answers the record as it stands then. All raise Unavailable, and NotFound.

    What was seen to happen (`saved`, `told`) is written down whoever says so. All other steps are decisions: they
    change nothing where somebody else has taken the submission up since the record was read.
    """

    async def open(
        self, tenant: str, submission: str, run: str, now: datetime, *, is_reset: bool = False
    ) -> SubmissionRecord:
        """Begin or go on; whoever was at it before is superseded. A dead letter stays one, unless the workflow was
        reset and it is another run that gave it up: then it begins again.

        Raises NotFound, Unavailable, NewerRecord, and Unreadable for one that cannot be read as it is stored: it ends
        with that.
        """
        ...

    async def saved(self, record: SubmissionRecord, backend_id: str | None, now: datetime) -> SubmissionRecord:
        """The backend has it."""
        ...

    async def troubled(self, record: SubmissionRecord, code: str, text: str, now: datetime) -> None:
        """The backend is away; the record shows why it waits."""
        ...

    async def give_up(
        self, record: SubmissionRecord, run: str, code: str, text: str, now: datetime
    ) -> SubmissionRecord:
        """A dead letter, unless it has been saved by now."""
        ...

    async def told(self, record: SubmissionRecord, tell: Tell, now: datetime) -> SubmissionRecord:
        """The moment was announced."""
        ...

    async def awaiting(self, record: SubmissionRecord, now: datetime) -> SubmissionRecord:
        """All is told, and it waits for its payment, unless that has changed."""
        ...

    async def expire(self, record: SubmissionRecord, now: datetime) -> SubmissionRecord:
        """Expired, unless a payment has come: then the record says so, and nothing is changed."""
        ...

    async def finish(self, record: SubmissionRecord, status: SubmissionStatus, now: datetime) -> SubmissionRecord:
        """Its end, unless its payment has changed: then there may be more to do."""
        ...


class BackendAway(Exception):
    """The backend did not take it now, and may later. `code` is for machines; `retry_after` in seconds, if it said."""

    def __init__(self, code: str, text: str, retry_after: float | None = None) -> None:
        self.code = code
        self.retry_after = retry_after
        super().__init__(text)


class BackendRefused(Exception):
    """The backend will not take it, however often it is asked. The text names fields, never what is in them."""

    def __init__(self, code: str, text: str) -> None:
        self.code = code
        super().__init__(text)


class Backend(Protocol):
    """The user's own place for submissions."""

    async def save(self, record: SubmissionRecord) -> str | None:
        """Its id there, if it told one. A repeat is recognised by the submission's id.

        Raises BackendAway and BackendRefused.
        """
        ...


class NoBackend:
    """PostgreSQL has it already, and there is no other place."""

    async def save(self, record: SubmissionRecord) -> str | None:
        return None
