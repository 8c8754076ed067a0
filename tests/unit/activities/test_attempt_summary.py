"""What a dispatch tells of the requests that were made: all of it has room where it is kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from temporalio.api.failure.v1 import Failure
from temporalio.testing import ActivityEnvironment

from activities import errors
from activities.dispatch.progress import DispatchProgress, WorkItem
from activities.dispatch.running import _reads_attempts
from activities.failure_converter import FailureConverter
from hermod.contracts.notifications.delivery import MOST_ATTEMPTS, WaitDetails
from hermod.ports.notifications.ledger import Ending
from starter.temporal.connection import DATA_CONVERTER
from workflows.policies import DELIVER, DELIVER_UNTIL_LATER, Options

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KEPT_BY_THE_SERVER = 4096
"""Bytes of the failure of a pending activity."""


def work(*messages: str) -> WorkItem:
    return WorkItem(tenant="t", owner="o", run="r", messages=messages)


def after(endings: Sequence[Ending]) -> DispatchProgress:
    progress = DispatchProgress()
    for number, ending in enumerate(endings, start=1):
        progress.note(ending, number, 1234, NOW + timedelta(minutes=number), alone=True)
    return progress


def failure(progress: DispatchProgress) -> Failure:
    tried = dict(progress.attempt_summary(work("m")))
    waits = WaitDetails(run="r" * 36, open=1, next_attempt_at=NOW, **tried)
    failed = Failure()
    error = errors.waiting(1, timedelta(hours=1), progress.told(), waits)
    FailureConverter().to_failure(error, DATA_CONVERTER.payload_converter, failed)
    return failed


def test_last_attempts_are_told_and_how_long_they_took() -> None:
    told = after([Ending("main", "transient", 451, "greylisted")] * 30).attempt_summary(work("m")).attempts
    assert [attempt.number for attempt in told] == list(range(11, 31))
    assert (told[-1].ms, told[-1].at) == (1234, NOW + timedelta(minutes=29, seconds=58))


@pytest.mark.parametrize("code", ["c", "c" * 64, "c" * 100], ids=len)
def test_failure_of_a_wait_with_long_names_is_not_too_large_for_the_server(code: str) -> None:
    endings = [Ending("a" * 63, "message_rejected", 500 + number, code) for number in range(30)]
    failed = failure(after(endings))
    assert failed.ByteSize() <= KEPT_BY_THE_SERVER
    assert failed.application_failure_info.details.payloads


def test_batch_tells_by_account_and_outcome_the_most_frequent_first() -> None:
    made = {Ending("a", "transient", 451): 2, Ending("a", "transient", 452): 1, Ending("b", "accepted", 200): 7}
    progress = DispatchProgress(made=Counter(made), failed=["m1"])
    told = progress.attempt_summary(work("m1", "m2"))
    assert [(one.account, one.outcome, one.count) for one in told.outcomes] == [
        ("b", "accepted", 7),
        ("a", "transient", 3),
    ]
    assert (told.failed, told.attempts) == (("m1",), ())
    assert len(told.outcomes) <= MOST_ATTEMPTS


@pytest.mark.parametrize(("options", "reads"), [(DELIVER, False), (DELIVER_UNTIL_LATER, True)], ids=["old", "new"])
def test_report_tells_attempts_to_workflows_that_read_them(options: Options, reads: bool) -> None:
    environment = ActivityEnvironment()
    environment.info = environment.default_info().__class__(
        **{**vars(environment.default_info()), "retry_policy": options["retry_policy"]}
    )
    assert environment.run(_reads_attempts) is reads
