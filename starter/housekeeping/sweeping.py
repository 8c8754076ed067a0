"""One pass of the sweeper: what has no workflow gets one, and what lost its workflow is found.

It implements `hermod.ports.sweeper.Sweeper` for the housekeeping activity, over messages, webhook deliveries,
submissions, and whatever else is to be woken. What it concludes from what is in docs/protocols.md.

A record counts as started where a run has it in its input, and in no other case. So workflows are taken whole and
started as new; where one runs already, the beginning of its history says which records it has, and the others get a
workflow of their own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final, Generic, Protocol, TypeVar

from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.exceptions import WorkflowAlreadyStartedError

from hermod.contracts.errors import Unavailable
from hermod.contracts.notifications.delivery import SweepReport
from hermod.ports.clock import Clock
from hermod.ports.sweeper import Sweeper
from hermod.storage.operations.orphaned_records import Limit, Orphan
from hermod.telemetry import SWEEP_FAILURES, fault, get_logger
from starter.concurrency.gather_limited import gather_limited
from starter.housekeeping.sweep_table import LEDGERS
from starter.temporal.runs import begun_with, workflow_status

LIMIT: Final = Limit(workflows=LEDGERS.at_most, records=20_000)
"""Of one look."""
LOOK_TIME: Final = timedelta(seconds=10)
"""No further workflow is taken up after so long: the next sweep goes on, and other records have their turn."""

_CLOSED_ABNORMALLY: Final = frozenset(
    {
        WorkflowExecutionStatus.TERMINATED,
        WorkflowExecutionStatus.CANCELED,
        WorkflowExecutionStatus.TIMED_OUT,
    }
)
"""Somebody, or a time-out, ended it from outside. FAILED is how a workflow with a dead letter ends by itself."""

_log = get_logger(__name__)

Answer = TypeVar("Answer")
Record = TypeVar("Record", bound=Orphan)
Record_contra = TypeVar("Record_contra", bound=Orphan, contravariant=True)


class Records(Protocol[Record]):
    """A ledger, as the sweeper sees it: `hermod.storage.operations.orphaned_records.OrphanedRecords`."""

    async def unstarted(self, now: datetime, *, older_than: timedelta, limit: Limit) -> list[Record]: ...

    async def stalled(self, now: datetime, *, older_than: timedelta, limit: Limit) -> list[Record]: ...

    async def touch(self, records: Sequence[Record], now: datetime, /) -> None: ...

    async def transfer(self, records: Sequence[Record], to: str, now: datetime, /) -> set[str]: ...

    async def dead_letter(
        self, records: Sequence[Record], run: str, reason: str, now: datetime, /, *, untouched_since: datetime
    ) -> int: ...


class Workflows(Protocol[Record_contra]):
    """The workflows of a ledger's records. The records of one call have the same owner."""

    async def start(self, records: Sequence[Record_contra], /) -> bool:
        """Start their owner as a new run, with exactly these records, and mark them; False where Temporal is away.

        Raises WorkflowAlreadyStartedError where it runs, with nothing marked.
        """
        ...

    async def mark_started(self, records: Sequence[Record_contra], /) -> None:
        """Their owner runs, and has them in its input."""
        ...

    def own(self, records: Sequence[Record_contra], /) -> str:
        """The id of the workflow of one record alone; of several, a new id."""
        ...


class Incomplete(Exception):
    """Some workflows could not be looked after, for whatever reason: the log names them. `report` is of the others."""

    def __init__(self, report: SweepReport) -> None:
        super().__init__("some workflows could not be looked after")
        self.report = report


class LedgerSweeper(Generic[Record]):
    """The sweeper of one ledger. Every pass is safe to repeat and to break off; two of them may run at once."""

    def __init__(
        self,
        records: Records[Record],
        workflows: Workflows[Record],
        client: Client,
        clock: Clock,
        *,
        limit: Limit = LIMIT,
    ) -> None:
        self._records = records
        self._workflows = workflows
        self._client = client
        self._clock = clock
        self._limit = limit

    async def sweep(self) -> SweepReport:
        """Raises Incomplete when all has been tried; where nothing could be done, the first error instead."""
        now = self._clock.now()
        unstarted = await self._records.unstarted(now, older_than=LEDGERS.unstarted_after, limit=self._limit)
        started, errors = await self._each(unstarted, self._start)
        now = self._clock.now()
        stalled = await self._records.stalled(now, older_than=LEDGERS.stalled_after, limit=self._limit)
        reports, more_errors = await self._each(stalled, self._look_after)
        report = SweepReport(
            started=sum(started),
            restarted=sum(one.restarted for one in reports),
            buried=sum(one.buried for one in reports),
        )
        for error in (*errors, *more_errors):
            raise error if report == SweepReport() else Incomplete(report)
        return report

    async def _each(
        self, records: Iterable[Record], handle: Callable[[list[Record]], Awaitable[Answer]]
    ) -> tuple[list[Answer], list[Exception]]:
        """The workflows are taken up as long as there is time, the oldest first: the answers, and what went wrong."""
        until = self._clock.now() + LOOK_TIME
        answers: list[Answer] = []
        errors: list[Exception] = []

        async def take_up(group: list[Record]) -> None:
            if self._clock.now() >= until:
                return
            try:
                answers.append(await handle(group))
            except Exception as error:  # noqa: BLE001 - whatever it is, the others are looked after
                errors.append(error)
                names = {"workflow_id": group[0].workflow_id, "tenant": group[0].tenant}
                _log.error("workflow_not_swept", **names, **_described(error))

        _ = await gather_limited(LEDGERS.at_once, take_up, _by_workflow(records))
        return answers, errors

    async def _start(self, group: Sequence[Record]) -> int:
        """How many of the records have a workflow now."""
        if not group:
            return 0
        try:
            return len(group) if await self._workflows.start(group) else 0
        except WorkflowAlreadyStartedError as running:
            return await self._join(group, running.run_id)

    async def _join(self, group: Sequence[Record], run_id: str | None) -> int:
        """Leave to the run what it has, and give a workflow of their own to the others.

        A run that began before the record was reopened has given it up once, and may be about to close: the record
        stays as it is until that run is gone, or has taken it up.
        """
        run = await begun_with(self._client, group[0].workflow_id, run_id)
        if run is None:
            return 0
        known = [record for record in group if record.id in run.records and record.updated_at <= run.began_at]
        if known:
            await self._workflows.mark_started(known)
        return len(known) + await self._separate([record for record in group if record.id not in run.records])

    async def _separate(self, strangers: Sequence[Record]) -> int:
        """A new workflow for records that their owner does not know; how many have one."""
        if not strangers or (to := self._workflows.own(strangers)) == strangers[0].workflow_id:
            return 0
        moved = await self._records.transfer(strangers, to, self._clock.now())
        return await self._start([replace(record, workflow_id=to) for record in strangers if record.id in moved])

    async def _look_after(self, group: list[Record]) -> SweepReport:
        """Records that share an owner of which nothing was heard for long."""
        status, run_id = await workflow_status(self._client, group[0].workflow_id)
        if status is WorkflowExecutionStatus.RUNNING:
            return await self._leave(group, run_id)
        if status is not None:
            group = await self._without_moved(group)
        if status in _CLOSED_ABNORMALLY:
            return await self._dead_letter(group, status.name.lower(), run_id)
        restarted = await self._start(group)
        if restarted:
            await self._records.touch(group, self._clock.now())
        return SweepReport(restarted=restarted)

    async def _leave(self, group: list[Record], run_id: str) -> SweepReport:
        """The owner runs. It cannot help what it does not know."""
        if self._workflows.own(group[:1]) == group[0].workflow_id:
            known = frozenset(record.id for record in group)
        elif (run := await begun_with(self._client, group[0].workflow_id, run_id)) is not None:
            known = run.records
        else:
            return SweepReport()
        await self._records.touch([one for one in group if one.overdue and one.id in known], self._clock.now())
        return SweepReport(restarted=await self._separate([one for one in group if one.id not in known]))

    async def _without_moved(self, group: list[Record]) -> list[Record]:
        """Of records whose batch has ended, those that are not in the hands of their own workflow. Where that runs, it
        becomes the owner.
        """

        async def moves(record: Record) -> bool:
            own = self._workflows.own([record])
            if own == record.workflow_id:
                return False
            status, _ = await workflow_status(self._client, own)
            if status is not WorkflowExecutionStatus.RUNNING:
                return False
            await self._records.transfer([record], own, self._clock.now())
            return True

        moved = await gather_limited(LEDGERS.at_once, moves, group)
        return [record for record, has_moved in zip(group, moved, strict=True) if not has_moved]

    async def _dead_letter(self, group: Sequence[Record], status: str, run_id: str) -> SweepReport:
        overdue, now = [record for record in group if record.overdue], self._clock.now()
        reason = f"its workflow was closed as {status} without finishing it"
        untouched_since = now - LEDGERS.stalled_after
        ended = await self._records.dead_letter(overdue, run_id, reason, now, untouched_since=untouched_since)
        if ended:
            names = {"workflow_id": group[0].workflow_id, "tenant": group[0].tenant}
            _log.warning("workflow_closed_abnormally", closed_as=status, dead_letters=ended, **names)
        return SweepReport(buried=ended)


class Sweepers:
    """All of them, by the kind of their records, one after another; one that fails does not stop those after it."""

    def __init__(self, sweepers: Mapping[str, Sweeper]) -> None:
        self._sweepers = sweepers

    async def sweep(self) -> SweepReport:
        """`failed` names the kinds that went wrong. Raises Unavailable where a server was away for every one."""
        reports: list[SweepReport] = []
        errors: dict[str, Exception] = {}
        for kind, sweeper in self._sweepers.items():
            try:
                reports.append(await sweeper.sweep())
            except Exception as error:  # noqa: BLE001 - whatever it is, the others are swept
                errors[kind] = error
                SWEEP_FAILURES.labels(kind).inc()
                _log.error("sweep_failed", kind=kind, **_described(error))
                if isinstance(error, Incomplete):
                    reports.append(error.report)
        if errors and not reports and all(isinstance(error, Unavailable) for error in errors.values()):
            raise Unavailable("no kind of record could be swept")
        return SweepReport(
            started=sum(report.started for report in reports),
            restarted=sum(report.restarted for report in reports),
            buried=sum(report.buried for report in reports),
            failed=tuple(errors),
        )


def _described(error: Exception) -> dict[str, str]:
    """For the log: what is ours in words, anything else with its trace."""
    if isinstance(error, Unavailable | Incomplete):
        return {"error": type(error).__name__, "reason": str(error)}
    return fault(error)


def _by_workflow(records: Iterable[Record]) -> list[list[Record]]:
    """The records of each workflow, in the order in which their first ones come."""
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        groups.setdefault((record.tenant, record.workflow_id), []).append(record)
    return list(groups.values())
