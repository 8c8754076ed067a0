"""What an activity that dispatches has around its work: heartbeats, what an earlier try carried, errors, the report."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, Protocol, TypeVar

from temporalio import activity

from activities import errors
from activities.dispatch.progress import LEAVES_AFTER, DispatchProgress, WorkItem
from activities.heartbeat import ActivityHeartbeat, current_heartbeat
from activities.notifications.batch_slots import QueueFull
from activities.notifications.heartbeat_details import OutcomesNotPersisted
from hermod.contracts.errors import Unavailable
from hermod.contracts.notifications.delivery import CancelInput, DeliveryReport, WaitDetails
from hermod.telemetry import RECORDS_MISSING, get_logger, log_names

UNDER_WAY_WAIT: Final = timedelta(seconds=1)

C_co = TypeVar("C_co", covariant=True)
_log = get_logger(__name__)


class Carrier(Protocol[C_co]):
    """How outcomes that could not be recorded travel in a heartbeat: a module with these two functions."""

    def encode(self, results: Any) -> list[list[Any]]: ...

    def decode(self, details: Sequence[Any]) -> C_co: ...


async def run_dispatch(
    work: WorkItem,
    carrier: Carrier[C_co],
    run: Callable[[C_co, ActivityHeartbeat], Coroutine[Any, Any, DispatchProgress]],
    *,
    drain: timedelta,
    take_over: Callable[[], Awaitable[None]] | None = None,
) -> DeliveryReport:
    """Run a dispatch, and report. Raises the ApplicationError that says when the server is to run it again.

    `drain`: how long requests that are under way may take to end once the worker is told to stop. `take_over` is done
    first: of what a batch of the released version has left to its next workflow.
    """
    info = activity.info()
    heartbeat = current_heartbeat()
    carried = carrier.decode(info.heartbeat_details)
    heartbeat.details = info.heartbeat_details[0] if carried else None
    try:
        if take_over is not None:
            await take_over()
        progress = await heartbeat.finish(run(carried, heartbeat), drain=drain)
    except QueueFull as away:
        raise errors.waiting(len(work.messages), timedelta(seconds=away.delay), str(away)) from None
    except OutcomesNotPersisted as lost:
        heartbeat.details = carrier.encode(lost.results)
        heartbeat.beat()
        raise errors.ledger_unavailable(lost.results) from None
    except Unavailable:
        raise errors.ledger_unavailable(heartbeat.details or ()) from None
    return _report(work, progress, heartbeat)


async def run_cancel(
    order: CancelInput, withdraw: Callable[[str], Awaitable[int]], count: Callable[[], Awaitable[Mapping[Any, int]]]
) -> DeliveryReport:
    """`withdraw(owner)` closes what it can in the ledger, and says how many requests have to end first.

    Raises the ApplicationError that has it run again until there are none.
    """
    info = activity.info()
    if under_way := await withdraw(info.workflow_id or ""):
        raise errors.waiting(under_way, UNDER_WAY_WAIT, "requests under way come to their end first")
    counts = await count()
    return DeliveryReport(run=info.workflow_run_id or "", counts=dict(counts))


def current_work(tenant: str, messages: tuple[str, ...], kind: str = "message") -> WorkItem:
    """In the name of the workflow whose activity runs."""
    info = activity.info()
    return WorkItem(
        tenant=tenant, owner=info.workflow_id or "", run=info.workflow_run_id or "", messages=messages, kind=kind
    )


def _tell_missing(work: WorkItem, progress: DispatchProgress) -> None:
    RECORDS_MISSING.labels(work.kind).inc(progress.missing)
    _log.error("records_missing", missing=progress.missing, tenant=work.tenant, workflow_id=work.owner)


def _report(work: WorkItem, progress: DispatchProgress, heartbeat: ActivityHeartbeat) -> DeliveryReport:
    now = heartbeat.now()
    ended = {str(status): count for status, count in progress.ended.items()}
    log_names(open=len(progress.open), **ended)
    if progress.request_id is not None:
        log_names(request_id=progress.request_id)
    wait = progress.wait(now, alone=work.is_alone)
    if wait == timedelta(0) and heartbeat.stopping():
        raise errors.handed_back(len(progress.open))
    summary, handed_off = progress.attempt_summary(work), sum(map(len, progress.with_waiter.values()))
    if wait is not None:
        why = "; ".join(part for part in (progress.told(), progress.reason) if part) or None
        details = WaitDetails(
            run=work.run,
            open=len(progress.open),
            next_attempt_at=now + wait,
            reason=progress.reason,
            handed_off=handed_off,
            **dict(summary),
        )
        later = work.is_alone and wait > LEAVES_AFTER
        raise errors.waiting(len(progress.open), wait, why, details, later=later)
    if progress.missing:
        # Not before: each of the tries that come first misses the same ones.
        _tell_missing(work, progress)
    return DeliveryReport(
        run=work.run,
        counts=ended,
        leaving={message: due_at or now for message, due_at in progress.handed_off.items()},
        apart=progress.apart,
        missing=progress.missing,
        handed_off=handed_off,
        reason=progress.told() or progress.reason,
        **dict(summary if _reads_attempts() else ()),
    )


def _reads_attempts() -> bool:
    """Whether the workflow is of a version that knows these fields of a report: it says so by the errors that are to
    end its activity, which is what a worker of any version can be told."""
    policy = activity.info().retry_policy
    return policy is not None and errors.NEXT_ATTEMPT_LATER in (policy.non_retryable_error_types or ())
