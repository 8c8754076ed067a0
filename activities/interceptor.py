"""What every activity has around it: heartbeats, errors of ours as Temporal's, and a line in the log for each try, with
its names, how it ended and how long that took.

What is foreseen has an error of ours (`activities.errors`), and is told in words. Anything else is a fault of the
program, or of a record, that the server repeats for ever: the log has its traceback, the metric counts it by name and
class of error, and `hermod doctor` says what fails at the moment.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any, Final

from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from activities import errors
from activities.errors import is_expected
from activities.heartbeat import heartbeating
from hermod.contracts.errors import HermodError, NewerRecord, Unavailable
from hermod.contracts.queues import WORKFLOWS, Lane
from hermod.ports.clock import Clock
from hermod.ports.failing import FailingActivities
from hermod.telemetry import ACTIVITY_FAILURES, get_logger, log_names, traceback_of

TOLD_FROM: Final = 3
"""From this attempt on it fails "again and again"; what passes by itself is only counted."""
_CHANNELS: Final[Mapping[str, str]] = {
    Lane.WEBHOOKS: "webhook",
    Lane.SUBMISSIONS: "form",
    Lane.PARTIALS: "form",
    Lane.EVENTS: "events",
}
"""Of lanes whose orders do not name it; as the search attribute has it."""

_told: ContextVar[bool] = ContextVar("told", default=False)
"""Whether the end of this task's activity is in the log."""
_log = get_logger(__name__)


class FailureInterceptor(Interceptor):
    def __init__(self, failing: FailingActivities, clock: Clock) -> None:
        self._failing = failing
        self._clock = clock
        # The SDK logs every failure once more, always with a traceback.
        logging.getLogger("temporalio.activity").addFilter(_is_news)

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return _Watched(_Translated(next), self._failing, self._clock)


@asynccontextmanager
async def translated() -> AsyncIterator[None]:
    """What any activity has around its work: heartbeats, and errors of ours in Temporal's terms."""
    async with heartbeating():
        try:
            yield
        except Unavailable:
            raise errors.ledger_unavailable() from None
        except NewerRecord as newer:
            raise errors.newer_record(newer) from None


class _Translated(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        async with translated():
            return await super().execute_activity(input)


class _Watched(ActivityInboundInterceptor):
    def __init__(self, next: ActivityInboundInterceptor, failing: FailingActivities, clock: Clock) -> None:
        super().__init__(next)
        self._failing = failing
        self._clock = clock

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        begun = time.monotonic()
        log_names(**_names(activity.info(), input.args[0] if input.args else None))
        try:
            result = await super().execute_activity(input)
        except ApplicationError as error:
            if error.category is not ApplicationErrorCategory.BENIGN:
                ACTIVITY_FAILURES.labels(activity.info().activity_type, error.type or "ApplicationError").inc()
            _tell_failure(error, begun)
            raise
        except asyncio.CancelledError:
            _tell("activity_cancelled", logging.INFO, begun)
            raise
        except Exception as error:
            _tell_failure(error, begun)
            await self._count(type(error).__name__)
            raise
        # What runs beside the workflows, as housekeeping every 15 seconds, is of interest where it goes wrong.
        _tell("activity_done", logging.DEBUG if activity.info().task_queue == WORKFLOWS else logging.INFO, begun)
        return result

    async def _count(self, error: str) -> None:
        info = activity.info()
        ACTIVITY_FAILURES.labels(info.activity_type, error).inc()
        if info.attempt < TOLD_FROM:
            return
        names = {"activity": info.activity_type, "error": error, "attempt": info.attempt}
        _log.error("activity_keeps_failing", workflow_id=info.workflow_id, run_id=info.workflow_run_id, **names)
        with contextlib.suppress(HermodError):
            await self._failing.note(info.workflow_id or "", info.activity_type, error, info.attempt, self._clock.now())


def _names(info: activity.Info, order: Any) -> dict[str, object]:
    """Ids and words by which a line of the log is found; `order` is what the activity was given."""
    names = {
        "activity": info.activity_type,
        "lane": info.task_queue,
        "channel": getattr(order, "channel", None) or _CHANNELS.get(info.task_queue) or _of_webhooks(info),
        "tenant": getattr(order, "tenant", None),
        "workflow_id": info.workflow_id,
        "attempt": info.attempt,
    }
    return {name: value for name, value in names.items() if value is not None}


def _of_webhooks(info: activity.Info) -> str | None:
    """The channel of the bookkeeping of webhooks, which runs beside the workflows."""
    return _CHANNELS[Lane.WEBHOOKS] if (info.workflow_id or "").startswith(("webhook", "replay/")) else None


def _tell_failure(error: Exception, begun: float) -> None:
    if not is_expected(error):
        _tell("activity_failed", logging.ERROR, begun, error=_type(error), exception=traceback_of(error))
    elif isinstance(error, ApplicationError):
        waits = error.category is ApplicationErrorCategory.BENIGN
        event, level = ("activity_waits", logging.INFO) if waits else ("activity_failed", logging.WARNING)
        _tell(event, level, begun, error=error.type, reason=error.message)


def _type(error: Exception) -> str:
    return (error.type if isinstance(error, ApplicationError) else None) or type(error).__name__


def _tell(event: str, level: int, begun: float, **names: object) -> None:
    _log.log(level, event, duration_ms=round((time.monotonic() - begun) * 1000), **names)
    _told.set(True)


def _is_news(record: logging.LogRecord) -> bool:
    """Not where it is the SDK's word of what was told; what went wrong before it came here was not."""
    is_failure = getattr(record, "__temporal_error_identifier", None) == "ActivityFailure"
    return not (is_failure and _told.get())
