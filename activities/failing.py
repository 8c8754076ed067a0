"""Activities that fail in a way that nobody has foreseen: counted by name and class of error, and told by workflow.

What is foreseen has an error of ours (`activities.failures`). Anything else is a fault of the program, or of a record,
that the server repeats for ever: the metric shows it, the log has the workflow's id, and `hermod doctor` says what
fails at the moment.
"""

from __future__ import annotations

import contextlib
from typing import Any, Final

from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from hermod.contracts.errors import HermodError
from hermod.ports.clock import Clock
from hermod.ports.failing import FailingActivities
from hermod.telemetry import ACTIVITY_FAILURES, get_logger

TOLD_FROM: Final = 3
"""From this attempt on it fails "again and again"; what passes by itself is only counted."""

_log = get_logger(__name__)


class FailureInterceptor(Interceptor):
    def __init__(self, failing: FailingActivities, clock: Clock) -> None:
        self._failing = failing
        self._clock = clock

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return _Watched(next, self._failing, self._clock)


class _Watched(ActivityInboundInterceptor):
    def __init__(self, next: ActivityInboundInterceptor, failing: FailingActivities, clock: Clock) -> None:
        super().__init__(next)
        self._failing = failing
        self._clock = clock

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        try:
            return await super().execute_activity(input)
        except ApplicationError as error:
            if error.category is not ApplicationErrorCategory.BENIGN:
                ACTIVITY_FAILURES.labels(activity.info().activity_type, error.type or "ApplicationError").inc()
            raise
        except Exception as error:
            await self._tell(type(error).__name__)
            raise

    async def _tell(self, error: str) -> None:
        info = activity.info()
        ACTIVITY_FAILURES.labels(info.activity_type, error).inc()
        if info.attempt < TOLD_FROM:
            return
        names = {"activity": info.activity_type, "error": error, "attempt": info.attempt}
        _log.error("activity_keeps_failing", workflow_id=info.workflow_id, run_id=info.workflow_run_id, **names)
        with contextlib.suppress(HermodError):
            await self._failing.note(info.workflow_id or "", info.activity_type, error, info.attempt, self._clock.now())
