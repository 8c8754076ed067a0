"""What the worlds of messages and of webhooks share: batches of records on their way.

The ledgers and the dispatches are the product's own, on the real PostgreSQL. `hermod.storage.operations.workers` has
tests of its own; here the world says who lives.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final

from sqlalchemy import Row, TextClause

from activities.dispatch.progress import DispatchProgress
from activities.notifications.heartbeat_details import OutcomesNotPersisted
from hermod.contracts.errors import Unavailable
from hermod.storage.database.engine import Database
from hermod.storage.operations.promises import Promises
from hermod.storage.operations.records import Records
from tests.integration.protocol.simulation import BEGIN, CONTENT_DAYS, Executor, Process, Run, Simulation

RECORD_DAYS: Final = 60

Attempt = tuple[str, int]
"""Record and number."""


@dataclass(frozen=True)
class Child:
    """A workflow that a batch starts for what it has handed off."""

    id: str
    members: tuple[str, ...]
    due: datetime | None


@dataclass(eq=False)
class Workflow(Run):
    """`members` are the messages, or the webhook deliveries, that it is to deliver."""

    members: tuple[str, ...] = ()
    details: Sequence[Any] = ()
    """What the last try left in its heartbeat; it stays until another one leaves something."""
    cancelling: bool = False
    children: list[Child] | None = None
    """Still to be started; None while the activity has not reported."""
    failed: bool = False

    @property
    def wants_worker(self) -> bool:
        return super().wants_worker and self.children is None and not self.cancelling


@dataclass(frozen=True)
class Heard:
    """An answer that a process has got, and that says what became of the request."""

    executor: Executor
    outcome: str


class Alive:
    """In the place of `hermod.storage.operations.workers.Workers`."""

    def __init__(self, world: Simulation, process: Process | None) -> None:
        self._world = world
        self.number = process.number if process else None

    async def living(self, numbers: Collection[int | None]) -> set[int]:
        return {one.number for one in self._world.processes if one.alive and one.number in numbers}


class World(Simulation):
    KIND: ClassVar[str]
    """Of the records, for the audit."""
    LOOK: ClassVar[TextClause]
    """Every record with each of its attempts, or none. Of the record: `id`, `status`, `workflow_id`, `finished_at`,
    `attempt_count`; of the attempt: `number`, `outcome`, `late_at`, `worker`, `ends_by`, and whether it was called
    `lost`."""
    IDEMPOTENT: ClassVar[frozenset[str]] = frozenset()
    """Providers that recognise a repeat."""

    def __init__(self, database: Database, tenant: str) -> None:
        super().__init__(database, tenant)
        self.workflows: dict[str, Workflow] = {}
        self.heard: dict[Attempt, Heard] = {}
        self.out_of_reach: set[Attempt] = set()
        """Whose outcome a process knew, and could not hand on to anybody."""
        self.dropped: set[str] = set()
        self.records: dict[str, Row[Any]] = {}
        self.attempts: dict[Attempt, Row[Any]] = {}
        """As they stood at the last look."""
        self._records_before: Mapping[str, Row[Any]] = {}
        self._attempts_before: Mapping[Attempt, Row[Any]] = {}
        self._old_records = Records(database, days=RECORD_DAYS, content_days=CONTENT_DAYS)

    # What is different for messages and webhooks

    @abstractmethod
    def encode(self, results: Sequence[Any]) -> list[list[Any]]: ...

    @abstractmethod
    def leaving(self, workflow: Workflow, progress: DispatchProgress) -> list[Child]:
        """The workflows of what the dispatch has handed off."""

    @abstractmethod
    async def mark_started(self, owner: str, members: Sequence[str]) -> None: ...

    @abstractmethod
    async def close_records(self, workflow: Workflow) -> int:
        """The cancel step; how many requests have to end first."""

    @abstractmethod
    async def help_out(self) -> None:
        """At the end of a schedule: what comes from outside."""

    async def look(self) -> None:
        found = await self.database.rows(self.LOOK, {"tenant": self.tenant})
        self.records = {row.id: row for row in found}
        self.attempts = {(row.id, row.number): row for row in found if row.number is not None}

    async def rows(self) -> Sequence[Row[Any]]:
        """The records as they stand."""
        await self.look()
        return list(self.records.values())

    # What housekeeping does

    async def sweep(self) -> None:
        """What the sweeper does, whatever the age of the records: begin again what has no run and is open."""
        groups: dict[str, list[str]] = {}
        for row in await self.rows():
            if row.finished_at is None:
                groups.setdefault(row.workflow_id, []).append(row.id)
        for owner, ids in groups.items():
            if not self.has_run(owner):
                await self.begin(owner, ids)

    async def begin(self, owner: str, ids: Sequence[str]) -> None:
        """Start the workflow of records that share one."""
        self.start(owner, tuple(ids))
        await self.mark_started(owner, ids)

    async def purge_expired(self) -> None:
        """What retention does; what it has dropped had ended."""
        before = {row.id: row for row in await self.rows()}
        await self.contents.purge_expired(self.time)
        await self._old_records.purge_expired(self.time)
        gone = before.keys() - {row.id for row in await self.rows()}
        assert not [one for one in gone if before[one].finished_at is None], "an open record was dropped"
        self.dropped |= gone

    # What Temporal does

    def runs(self) -> Sequence[Workflow]:
        return list(self.workflows.values())

    def has_run(self, owner: str) -> bool:
        workflow = self.workflows.get(owner)
        return workflow is not None and workflow.state == "running"

    def acts(self, owner: str) -> bool:
        """Whether something will come of what this workflow owns, without the sweeper's look at what stands still: it
        runs, or one that runs is about to start it.
        """
        return self.has_run(owner) or any(
            child.id == owner for workflow in self.running() for child in workflow.children or ()
        )

    def start(
        self,
        owner: str,
        members: tuple[str, ...],
        due: datetime | None = None,
        *,
        anew: bool = False,
    ) -> None:
        """`anew`: a run that is still there makes way."""
        known = self.workflows.get(owner)
        if known is not None and known.state == "running":
            if not anew:
                return
            self._terminate(known)
        number = known.number + 1 if known else 1
        self.workflows[owner] = Workflow(owner, number, due=due, members=members)

    def reset(self, workflow: Workflow) -> None:
        """A new run under the same id; the old one's activity is not wanted any more."""
        self._terminate(workflow)
        self.workflows[workflow.id] = Workflow(workflow.id, workflow.number + 1, members=workflow.members)

    async def withdraw(self, workflow: Workflow) -> None:
        """The cancel step of a workflow whose activity has ended, however it did."""
        self._lose(workflow.details)
        if not await self.close_records(workflow):
            workflow.state = "cancelled"

    async def start_child(self, workflow: Workflow) -> None:
        """The batch starts a workflow of what left it, and ends when it has started all of them."""
        assert workflow.children is not None
        if workflow.children:
            child = workflow.children.pop(0)
            self.start(child.id, child.members, child.due)
        if not workflow.children:
            await self._close(workflow)

    async def report(self, executor: Executor, work: asyncio.Task[DispatchProgress]) -> None:
        """What `activities.dispatch.running.run_dispatch` has around a dispatch: its report, or what it hands on."""
        await asyncio.wait([work])
        try:
            progress = work.result()
        except OutcomesNotPersisted as unrecorded:
            details = [self.encode(unrecorded.results)]
            await self.say(executor, "heartbeat", lambda: self._take_details(executor, details))
            await self.say(executor, "failure", lambda: self.take_failure(executor))
        except (Unavailable, asyncio.CancelledError):
            await self.say(executor, "failure", lambda: self.take_failure(executor))
        else:
            await self.say(executor, "report", lambda: self._take_report(executor, progress))

    async def _take_details(self, executor: Executor, details: Sequence[Any]) -> None:
        if executor.is_current:
            _workflow(executor).details = details
        else:
            self._lose(details)

    async def _take_report(self, executor: Executor, progress: DispatchProgress) -> None:
        workflow = _workflow(executor)
        if not executor.is_current:
            return
        workflow.executor = None
        if workflow.cancelling:
            return
        wait = progress.wait(self.time, alone=len(workflow.members) == 1)
        if wait is not None:
            workflow.due = self.time + wait
            return
        assert progress.missing <= len(self.dropped & set(workflow.members)), f"{progress.missing} records are missing"
        workflow.failed = bool(progress.missing or progress.ended.get("failed"))
        workflow.children = self.leaving(workflow, progress)
        if not workflow.children:
            await self._close(workflow)

    async def _close(self, workflow: Workflow) -> None:
        """It has done its part: what is open of its members is in hands that will act."""
        workflow.state = "failed" if workflow.failed else "completed"
        for row in await self.rows():
            if row.id in workflow.members and row.finished_at is None and row.status != "pending":
                assert self.acts(row.workflow_id), f"left behind by {workflow.id}: {row}"

    def _terminate(self, workflow: Workflow) -> None:
        workflow.state = "terminated"
        self._lose(workflow.details)

    def _lose(self, details: Sequence[Any]) -> None:
        """Nobody will read these any more."""
        self.out_of_reach |= {(one[0], one[1]) for one in (details[0] if details else ())}

    # What holds of every step

    async def check_step(self) -> None:
        await self.look()
        living = {one.number for one in self.processes if one.alive}
        for attempt, now in self.attempts.items():
            before = self._attempts_before.get(attempt)
            if before is None or before.outcome is None:
                under_way = now.worker in living and now.ends_by > self.time
                assert not (now.lost and under_way), f"called lost, and a living worker makes it: {attempt}"
                if now.lost and now.ends_by > self.time:
                    self._check_lost(attempt, now)
            elif now.outcome != before.outcome:
                doubtful = before.lost or before.outcome == "unknown"
                assert (doubtful, now.late_at is None) == (True, False), f"outcome written twice: {before} became {now}"
        requested = {attempt for attempt, row in self.attempts.items() if row.outcome is None}
        sending = {(one, row.attempt_count) for one, row in self.records.items() if row.status == "sending"}
        assert requested == sending, f"requests under way: {requested}, sending: {sending}"
        for one, row in self.records.items():
            was = self._records_before.get(one)
            if was is not None and was.status == "sending":
                self._check_move(was, row, self.attempts[one, was.attempt_count])
        self._records_before, self._attempts_before = self.records, self.attempts

    def _check_lost(self, attempt: Attempt, now: Row[Any]) -> None:
        """Before its time is over. A worker that was not killed has recorded what it knew, or handed it on."""
        killed = any(one.killed for one in self.processes if one.number == now.worker)
        assert killed or attempt in self.out_of_reach, f"called lost, and its worker ended in good order: {attempt}"

    def _check_move(self, was: Row[Any], row: Row[Any], request: Row[Any]) -> None:
        """Of a record that had a request under way."""
        if row.status != "sending" or row.attempt_count != was.attempt_count:
            assert request.outcome is not None, f"moved under a request: {was} became {row}"
        else:
            assert row.workflow_id == was.workflow_id, f"another owner under a request: {was} became {row}"

    # The end

    async def work_on(self) -> bool:
        if not [row for row in await self.rows() if row.finished_at is None]:
            return False
        for workflow in self.running():
            if workflow.cancelling and workflow.executor is None:
                await self.withdraw(workflow)
            elif workflow.children:
                await self.start_child(workflow)
            elif workflow.wants_worker:
                await self.hand_out(workflow, self.workers()[0])
        await self.help_out()
        self.time += timedelta(hours=1)
        await self.sweep()
        return True

    async def check_the_end(self) -> None:
        """Everything has come to its end, and what is on record keeps every promise."""
        left = [row for row in await self.rows() if row.finished_at is None]
        assert not left, f"stranded: {left}"
        unrecorded = self._unrecorded()
        assert not unrecorded, f"known, and not on record: {unrecorded}"
        found = await Promises(self.database, self.IDEMPOTENT).audit(self.time, since=BEGIN - timedelta(days=1))
        found = {name: some for name, some in found.items() if name.kind == self.KIND}
        broken = [(name, one) for name, some in found.items() for one in some if one.tenant == self.tenant]
        assert not broken, broken

    def _unrecorded(self) -> list[Attempt]:
        """Attempts whose outcome a process knew all the time, and that are on record as lost."""
        return [
            attempt
            for attempt, heard in self.heard.items()
            if not heard.executor.process.killed
            and attempt not in self.out_of_reach
            and attempt[0] not in self.dropped
            and (self.attempts[attempt].outcome is None or self.attempts[attempt].lost)
        ]


def _workflow(executor: Executor) -> Workflow:
    assert isinstance(executor.run, Workflow)
    return executor.run


class Watched:
    """A ledger of which each decision is seen to come from the newest look at its record."""

    def __init__(self, ledger: Any, world: World) -> None:
        self._ledger = ledger
        self._world = world

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    async def open_items(self, *asked: Any) -> list[Any]:
        """In an order that does not depend on the database's plan."""
        return sorted(await self._ledger.open_items(*asked), key=lambda item: item.id)

    async def change(self, tenant: str, owner: str, *rest: Any) -> set[str]:
        changes = rest[-2]
        if not changes:
            return set()
        before = {row.id: row for row in await self._world.rows()}
        taken: set[str] = await self._ledger.change(tenant, owner, *rest)
        for change in changes:
            named = getattr(change, "message", None) or change.delivery
            if named in taken:
                self._check(before[named], owner, change.number)
        return taken

    async def transfer_ownership(self, tenant: str, owner: str, members: Mapping[str, int], *rest: Any) -> None:
        before = {row.id: row for row in await self._world.rows()}
        await self._ledger.transfer_ownership(tenant, owner, members, *rest)
        for row in await self._world.rows():
            was = before[row.id]
            if row.workflow_id != was.workflow_id:
                self._check(was, owner, members[row.id])
            elif row.id in members and was.finished_at is None and was.status != "sending":
                assert (was.workflow_id, was.attempt_count) != (owner, members[row.id]), f"not handed off: {row}"

    def _check(self, row: Row[Any], owner: str, number: int) -> None:
        stands = (row.workflow_id, row.attempt_count, row.status == "sending", row.finished_at)
        assert stands == (owner, number, False, None), f"changed from an old look ({number} attempts): {row}"
