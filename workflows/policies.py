"""Every time-out and retry policy, as named options for `workflow.execute_activity`.

No schedule-to-start and no schedule-to-close anywhere: a lane may be paused for as long as an operator likes.
The policies stand behind crashes and time-outs only; a delivery's own delays come with the error it raises.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Final, TypedDict

from temporalio.common import RetryPolicy
from temporalio.workflow import ActivityCancellationType

from activities.errors import NEXT_ATTEMPT_LATER


class Options(TypedDict, total=False):
    start_to_close_timeout: timedelta
    heartbeat_timeout: timedelta
    retry_policy: RetryPolicy
    cancellation_type: ActivityCancellationType


RETRY_FOREVER: Final = RetryPolicy(
    initial_interval=timedelta(seconds=1), backoff_coefficient=2.0, maximum_interval=timedelta(seconds=30)
)
"""Unlimited: the ledger decides when a delivery has been tried often enough."""

DELIVER: Final[Options] = {
    "start_to_close_timeout": timedelta(hours=1),
    "heartbeat_timeout": timedelta(seconds=10),
    "retry_policy": RETRY_FOREVER,
    "cancellation_type": ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
}
"""A lost worker is noticed within ten seconds by its missing heartbeat, and another goes on a second later. The hour is
for a whole batch behind a slow provider."""

DELIVER_UNTIL_LATER: Final[Options] = {
    **DELIVER,
    "retry_policy": replace(RETRY_FOREVER, non_retryable_error_types=[NEXT_ATTEMPT_LATER]),
}
"""For a workflow that waits by itself for attempts which are more than a minute away, and reads what was tried in the
report. Workers of versions before take no notice of it."""

DATABASE_CALL: Final[Options] = {
    "start_to_close_timeout": timedelta(seconds=30),
    "retry_policy": RETRY_FOREVER,
}
"""One or two statements."""

ANNOUNCE: Final[Options] = {
    "start_to_close_timeout": timedelta(minutes=2),
    "heartbeat_timeout": timedelta(seconds=10),
    "retry_policy": RETRY_FOREVER,
}
"""A look at a record, and the news of it handed over to webhooks, messages and analytics: a dozen statements."""

SWEEP: Final[Options] = {
    "start_to_close_timeout": timedelta(minutes=2),
    "heartbeat_timeout": timedelta(seconds=30),
    "retry_policy": RetryPolicy(maximum_attempts=3),
}
"""The next run comes in seconds; there is no point in trying for long."""

RETENTION: Final[Options] = {
    "start_to_close_timeout": timedelta(minutes=50),
    "heartbeat_timeout": timedelta(seconds=30),
    "retry_policy": RetryPolicy(maximum_attempts=3),
}
"""Many small statements, each of which stands; what a run that was cut off left, the next hour's takes up."""

REPLAY_PAGE: Final[Options] = {
    "start_to_close_timeout": timedelta(minutes=5),
    "heartbeat_timeout": timedelta(seconds=30),
    "retry_policy": RETRY_FOREVER,
}
"""One statement, and the starts of up to a thousand workflows; what a lost worker left unstarted the sweeper starts."""

INGEST: Final[Options] = {
    "start_to_close_timeout": timedelta(minutes=10),
    "heartbeat_timeout": timedelta(seconds=10),
    "retry_policy": RETRY_FOREVER,
}
"""Up to 100,000 events. While ClickHouse is away a round is tried again every half a minute, however long it takes."""
