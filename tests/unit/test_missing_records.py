"""A workflow whose record is gone fails as that, and is counted: it has not come to its end."""

from __future__ import annotations

from datetime import datetime

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.partials import PartialActivities
from activities.submissions import SubmissionActivities
from hermod.contracts.errors import NotFound
from hermod.contracts.forms import ProcessSubmissionInput, SavePartialInput
from hermod.ports.forms import Announced, Announcement
from hermod.ports.partials import Seen
from hermod.ports.submissions import NoBackend, SubmissionRecord
from hermod.storage.submission_steps import SqlSubmissionLedger
from hermod.telemetry import RECORDS_MISSING


class NoPartials:
    async def look(self, tenant: str, form: str, session: str, now: datetime) -> Seen | None:
        return None

    async def told(self, seen: Seen) -> bool:
        raise AssertionError("there is nothing to tell")


class NoSubmissions(SqlSubmissionLedger):
    def __init__(self) -> None:
        """Without a database."""

    async def open(
        self, tenant: str, submission: str, run: str, now: datetime, *, is_reset: bool = False
    ) -> SubmissionRecord:
        raise NotFound("there is no such submission")


class NobodyIsTold:
    async def announce(self, told: Announcement) -> Announced:
        raise AssertionError(told.moment)


def missing(kind: str) -> float:
    return RECORDS_MISSING.labels(kind)._value.get()


async def test_look_at_a_partial_that_is_gone_fails_as_no_such_record_and_is_counted() -> None:
    before = missing("partial")
    look = PartialActivities(NoPartials(), NobodyIsTold()).look_at_partial
    with pytest.raises(ApplicationError) as failed:
        await ActivityEnvironment().run(look, SavePartialInput(tenant="shop", form="order", session="session-1"))
    assert (failed.value.type, failed.value.non_retryable) == ("NoSuchRecord", True)
    assert missing("partial") == before + 1


async def test_submission_that_is_gone_fails_as_no_such_record_and_is_counted() -> None:
    before = missing("submission")
    process = SubmissionActivities(NoSubmissions(), NoBackend(), NobodyIsTold()).process_submission
    with pytest.raises(ApplicationError) as failed:
        await ActivityEnvironment().run(process, ProcessSubmissionInput(tenant="shop", submission="sub_1"))
    assert (failed.value.type, failed.value.non_retryable) == ("NoSuchRecord", True)
    assert missing("submission") == before + 1
