"""A workflow whose record is gone fails as that, and is counted: it has not come to its end."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.dispatch.progress import DispatchProgress
from activities.dispatch.running import current_work, run_dispatch
from activities.forms.partials import PartialActivities
from activities.forms.submissions import SubmissionActivities
from activities.heartbeat import ActivityHeartbeat
from activities.notifications import heartbeat_details as carried
from activities.notifications.heartbeat_details import HeartbeatDetails
from hermod.contracts.errors import NotFound
from hermod.contracts.forms.forms import ProcessSubmissionInput, SavePartialInput
from hermod.contracts.notifications.delivery import DeliveryReport
from hermod.contracts.notifications.messages import Status
from hermod.ports.forms.forms import Announced, Announcement
from hermod.ports.forms.partials import PartialSnapshot
from hermod.ports.forms.submissions import NoBackend, SubmissionRecord
from hermod.storage.forms.submission_steps import SqlSubmissionLedger
from hermod.telemetry import RECORDS_MISSING

WHY_AND_WHAT_TO_DO = (
    "is not in the database: it has lost it, or it was dropped; restore from a backup and reset the workflow, or look"
    " into the application's own log for what it handed over"
)


class NoPartials:
    async def look(self, tenant: str, form: str, session: str, now: datetime) -> PartialSnapshot | None:
        return None

    async def told(self, seen: PartialSnapshot) -> bool:
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


@dataclass(frozen=True)
class Waits:
    id: str
    status: str
    next_attempt_at: datetime | None
    wait_reason: str | None


async def dispatch(progress: DispatchProgress) -> DeliveryReport:
    """A try of a batch that comes as far as this."""

    async def run(_outcomes: HeartbeatDetails, _beating: ActivityHeartbeat) -> DispatchProgress:
        return progress

    work = current_work("shop", ("msg_1", "msg_2", "msg_3", "msg_4"))
    return await run_dispatch(work, carried, run, drain=timedelta(0))


async def test_look_at_a_partial_that_is_gone_fails_as_no_such_record_and_is_counted() -> None:
    before = missing("partial")
    look = PartialActivities(NoPartials(), NobodyIsTold()).look_at_partial
    with pytest.raises(ApplicationError) as failed:
        await ActivityEnvironment().run(look, SavePartialInput(tenant="shop", form="order", session="session-1"))
    assert (failed.value.type, failed.value.non_retryable) == ("NoSuchRecord", True)
    assert failed.value.message.endswith(WHY_AND_WHAT_TO_DO)
    assert missing("partial") == before + 1


async def test_submission_that_is_gone_fails_as_no_such_record_and_is_counted() -> None:
    before = missing("submission")
    process = SubmissionActivities(NoSubmissions(), NoBackend(), NobodyIsTold()).process_submission
    with pytest.raises(ApplicationError) as failed:
        await ActivityEnvironment().run(process, ProcessSubmissionInput(tenant="shop", submission="sub_1"))
    assert (failed.value.type, failed.value.non_retryable) == ("NoSuchRecord", True)
    assert failed.value.message.endswith(WHY_AND_WHAT_TO_DO)
    assert missing("submission") == before + 1


async def test_batch_misses_records_at_every_try_they_are_counted_with_its_report() -> None:
    """One of the batch waits for its next attempt, and the others are found missing each time."""
    before = missing("message")
    waits = Waits(id="msg_1", status=Status.RETRYING, next_attempt_at=None, wait_reason=None)
    for _ in range(3):
        with pytest.raises(ApplicationError) as failed:
            await ActivityEnvironment().run(dispatch, DispatchProgress(open=[waits], missing=3))
        assert failed.value.type == "Waiting"
    assert missing("message") == before
    report = await ActivityEnvironment().run(dispatch, DispatchProgress(ended=Counter({"sent": 1}), missing=3))
    assert report.missing == 3
    assert missing("message") == before + 3
