"""One pass of the sweeper: what has no workflow gets one, and what lost its workflow is found.

It implements `hermod.ports.sweeper.Sweeper` for the housekeeping activity, over messages, webhook deliveries,
submissions, and whatever else is to be woken.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from itertools import groupby
from typing import Final, Generic, Protocol, TypeVar

from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from hermod.contracts.delivery import BATCH_SIZE, SweepReport
from hermod.contracts.errors import Unavailable
from hermod.ports.clock import Clock
from hermod.ports.sweeper import Sweeper
from hermod.storage.stranded import StrandedMessage
from hermod.storage.webhook_stranded import StrandedDelivery
from hermod.telemetry import SWEEP_FAILURES, get_logger
from starter.dispatching import Dispatcher, Unit
from starter.some_at_once import some_at_once
from starter.webhook_starts import WebhookDispatcher, WebhookUnit

UNSTARTED_AFTER: Final = timedelta(seconds=5)
"""What was accepted or staged this long ago and is still pending has been forgotten by its starter."""
STILL_AFTER: Final = timedelta(minutes=10)
"""What is open and due, and was not touched for so long, may have lost its workflow."""
AT_MOST: Final = 5_000
LOOK_AT_MOST: Final = 500
STARTS_AT_ONCE: Final = 10

_log = get_logger(__name__)

_WITHOUT_A_WORD: Final = frozenset(
    {
        WorkflowExecutionStatus.TERMINATED,
        WorkflowExecutionStatus.CANCELED,
        WorkflowExecutionStatus.TIMED_OUT,
        WorkflowExecutionStatus.FAILED,
    }
)


class Stranded(Protocol):
    @property
    def tenant(self) -> str: ...

    @property
    def id(self) -> str: ...

    @property
    def workflow_id(self) -> str: ...


Record = TypeVar("Record", bound=Stranded)


class Records(Protocol[Record]):
    """A ledger, as the sweeper sees it: `hermod.storage.stranded_records.StrandedRecords`, for one."""

    async def unstarted(self, now: datetime, *, older_than: timedelta, limit: int) -> list[Record]: ...

    async def still(self, now: datetime, *, older_than: timedelta, limit: int) -> list[Record]: ...

    async def touch(self, tenant: str, ids: Sequence[str], now: datetime, /) -> None: ...

    async def bury(self, tenant: str, ids: Sequence[str], run: str, reason: str, now: datetime, /) -> None: ...


class LedgerSweeper(Generic[Record]):
    """`begin` starts the workflow of records that share one, and says whether it runs."""

    def __init__(
        self,
        records: Records[Record],
        begin: Callable[[Sequence[Record]], Awaitable[bool]],
        client: Client,
        clock: Clock,
    ) -> None:
        self._records = records
        self._begin = begin
        self._client = client
        self._clock = clock

    async def sweep(self) -> SweepReport:
        now = self._clock.now()
        unstarted = await self._records.unstarted(now, older_than=UNSTARTED_AFTER, limit=AT_MOST)
        started = await self._start(unstarted)
        restarted = buried = 0
        for group in _by_workflow(await self._records.still(now, older_than=STILL_AFTER, limit=LOOK_AT_MOST)):
            fate, run = await self._fate(group[0].workflow_id)
            tenant, ids = group[0].tenant, [record.id for record in group]
            if fate in _WITHOUT_A_WORD and fate is not None:
                reason = f"its workflow was closed as {fate.name.lower()} without finishing it"
                await self._records.bury(tenant, ids, run, reason, now)
                buried += len(ids)
            elif fate is WorkflowExecutionStatus.RUNNING:
                await self._records.touch(tenant, ids, now)
            else:
                restarted += await self._start(group)
        return SweepReport(started=started, restarted=restarted, buried=buried)

    async def _start(self, records: Sequence[Record]) -> int:
        """How many records have a workflow now."""

        async def start(group: Sequence[Record]) -> int:
            return len(group) if await self._begin(group) else 0

        groups = [group[:BATCH_SIZE] for group in _by_workflow(records)]
        return sum(await some_at_once(STARTS_AT_ONCE, start, groups))

    async def _fate(self, workflow_id: str) -> tuple[WorkflowExecutionStatus | None, str]:
        """The status of the workflow and its run, or None where Temporal knows no such workflow."""
        try:
            description = await self._client.get_workflow_handle(workflow_id).describe()
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return None, ""
            raise Unavailable("Temporal does not answer") from error
        return description.status, description.run_id


class Sweepers:
    """All of them, by the kind of their records, one after another; one that fails does not stop those after it.

    `wakers` answer how many of their own they have woken.
    """

    def __init__(self, sweepers: Mapping[str, Sweeper], wakers: Mapping[str, Callable[[], Awaitable[int]]]) -> None:
        self._sweeps = {kind: one.sweep for kind, one in sweepers.items()} | {
            kind: partial(_woken, wake) for kind, wake in wakers.items()
        }

    async def sweep(self) -> SweepReport:
        """`failed` names the kinds that went wrong. Raises Unavailable where a server was away for every one."""
        reports: list[SweepReport] = []
        errors: dict[str, Exception] = {}
        for kind, sweep in self._sweeps.items():
            try:
                reports.append(await sweep())
            except Exception as error:  # noqa: BLE001 - whatever it is, the others are swept
                errors[kind] = error
                SWEEP_FAILURES.labels(kind).inc()
                trace = None if isinstance(error, Unavailable) else error
                _log.error("sweep_failed", kind=kind, error=type(error).__name__, exc_info=trace)
        if errors and not reports and all(isinstance(error, Unavailable) for error in errors.values()):
            raise Unavailable("no kind of record could be swept")
        return SweepReport(
            started=sum(report.started for report in reports),
            restarted=sum(report.restarted for report in reports),
            buried=sum(report.buried for report in reports),
            failed=tuple(errors),
        )


async def _woken(wake: Callable[[], Awaitable[int]]) -> SweepReport:
    return SweepReport(restarted=await wake())


def begin_messages(dispatcher: Dispatcher) -> Callable[[Sequence[StrandedMessage]], Awaitable[bool]]:
    async def begin(messages: Sequence[StrandedMessage]) -> bool:
        first = messages[0]
        return await dispatcher.start(
            Unit(
                workflow_id=first.workflow_id,
                tenant=first.tenant,
                channel=first.channel,
                messages=tuple(message.id for message in messages),
                priority=first.priority,
                due_at=first.send_at,
                request_id=first.request_id,
            )
        )

    return begin


def begin_deliveries(dispatcher: WebhookDispatcher) -> Callable[[Sequence[StrandedDelivery]], Awaitable[bool]]:
    async def begin(deliveries: Sequence[StrandedDelivery]) -> bool:
        first = deliveries[0]
        return await dispatcher.start(
            WebhookUnit(
                workflow_id=first.workflow_id,
                tenant=first.tenant,
                endpoint=first.endpoint if len({delivery.endpoint for delivery in deliveries}) == 1 else None,
                deliveries=tuple(delivery.id for delivery in deliveries),
                request_id=first.request_id,
            )
        )

    return begin


def _by_workflow(records: Iterable[Record]) -> list[list[Record]]:
    def key(record: Record) -> tuple[str, str]:
        return record.tenant, record.workflow_id

    return [list(group) for _, group in groupby(sorted(records, key=key), key=key)]
