"""What the worlds of the protocol models share: worker processes, and a server that hands out work.

The ledgers and the dispatches are the product's own, on the real PostgreSQL. Simulated are what surrounds them:
Temporal (which run of which workflow there is, and that an activity may be given out again at any time), the clock, and
the end of processes: killed, or shut down with a time to drain. `hermod.storage.workers` has tests of its own; here the
world says who lives.
"""

from __future__ import annotations

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar, Final

from sqlalchemy import Row, text

from activities.delivery.carried import Unrecorded
from activities.delivery.progress import Progress
from hermod.contracts.errors import Conflict, Unavailable
from hermod.storage.contents import Contents
from hermod.storage.engine import Database
from hermod.storage.records import Records
from hermod.storage.tenants import Tenants
from hermod.storage.vault import Vault
from tests.integration.protocol.gates import Gates

BEGIN: Final = datetime.now(UTC).replace(microsecond=0)
"""Ids tell the time at which they were made, so the world's time begins today."""
CONTENT_DAYS: Final = 30
RECORD_DAYS: Final = 60
ROUNDS: Final = 60
"""Of the event loop, after which everybody stands at a gate."""

Attempt = tuple[str, int]
"""Record and number."""


@dataclass(eq=False)
class Process:
    """A worker process. `number` is its session's."""

    number: int
    alive: bool = True
    stopping: bool = False
    cut_off: bool = False
    killed: bool = False


@dataclass(frozen=True)
class Child:
    """A workflow that a batch starts for what it has handed off."""

    id: str
    members: tuple[str, ...]
    due: datetime | None


@dataclass(eq=False)
class Workflow:
    """A run of a workflow as Temporal knows it, and the activity of that run."""

    id: str
    members: tuple[str, ...]
    run: int = 1
    state: str = "running"
    due: datetime | None = None
    executor: Executor | None = None
    details: Sequence[Any] = ()
    """What the last try left in its heartbeat; it stays until another one leaves something."""
    cancelling: bool = False
    children: list[Child] | None = None
    """Still to be started; None while the activity has not reported."""
    taken_from: str | None = None
    failed: bool = False

    @property
    def run_id(self) -> str:
        return f"{self.id}#{self.run}"

    @property
    def wants_worker(self) -> bool:
        return self.state == "running" and self.executor is None and self.children is None and not self.cancelling


@dataclass(eq=False)
class Executor:
    """One try of an activity. `told`: it has learnt that it is not wanted any more."""

    process: Process
    workflow: Workflow
    work: asyncio.Task[Progress] | None = None
    """The dispatch itself: what a shutdown cuts off."""
    task: asyncio.Task[None] | None = None
    told: bool = False

    @property
    def is_current(self) -> bool:
        """Whether the server takes an answer of it."""
        return self.workflow.executor is self and self.workflow.state == "running"

    def stopping(self) -> bool:
        return self.told or self.process.stopping

    def superseded(self) -> bool:
        return self.told and not self.is_current


@dataclass(frozen=True)
class Heard:
    """An answer that a process has got, and that says what became of the request."""

    executor: Executor
    outcome: str


class Alive:
    """In the place of `hermod.storage.workers.Workers`."""

    def __init__(self, world: World, process: Process | None) -> None:
        self._world = world
        self.number = process.number if process else None

    async def living(self, numbers: Collection[int | None]) -> set[int]:
        return {one.number for one in self._world.processes if one.alive and one.number in numbers}


class Gated:
    """Something whose every call is a step of an executor."""

    def __init__(self, one: object, executor: object, gates: Gates) -> None:
        self._one = one
        self._executor = executor
        self._gates = gates

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._one, name)

        async def gated(*args: Any, **names: Any) -> Any:
            return await self._gates.pass_through(self._executor, name, lambda: call(*args, **names))

        return gated


class World(ABC):
    """`members` of a workflow are the messages, or the webhook deliveries, that it is to deliver."""

    TABLES: ClassVar[Sequence[str]]
    """With rows of a tenant."""

    def __init__(self, database: Database, tenant: str) -> None:
        self.database = database
        self.tenant = tenant
        self.time = BEGIN
        self.gates = Gates()
        self.processes = [Process(1), Process(2)]
        self.workflows: dict[str, Workflow] = {}
        self.executors: list[Executor] = []
        self.answers: list[str] = []
        """What the next requests will come to; when there is none left, they are taken."""
        self.heard: dict[Attempt, Heard] = {}
        self.out_of_reach: set[Attempt] = set()
        """Whose outcome a process knew, and could not hand on to anybody."""
        self.dropped: set[str] = set()
        self.vault = Vault(Vault.new_key())
        self.contents = Contents(database, self.vault, CONTENT_DAYS)
        self._old_records = Records(database, days=RECORD_DAYS, content_days=CONTENT_DAYS)

    def now(self) -> datetime:
        return self.time

    # What is different for messages and webhooks

    @abstractmethod
    def dispatch(self, executor: Executor) -> Coroutine[Any, Any, Progress]:
        """A dispatch of the workflow's members, with what an earlier try has left in `details`."""

    @abstractmethod
    def pack(self, results: Sequence[Any]) -> list[list[Any]]: ...

    @abstractmethod
    def leaving(self, workflow: Workflow, progress: Progress) -> list[Child]:
        """The workflows of what the dispatch has handed off."""

    @abstractmethod
    async def rows(self) -> Sequence[Row[Any]]:
        """The records, with `id`, `status`, `workflow_id`, `finished_at` and `attempt_count`."""

    @abstractmethod
    async def mark_started(self, members: Sequence[str]) -> None: ...

    @abstractmethod
    async def close_records(self, workflow: Workflow) -> int:
        """The cancel step; how many requests have to end first."""

    # What the outside does

    async def settle_in(self) -> None:
        await Tenants(self.database).create(self.tenant, self.tenant, self.time)

    async def forget(self) -> None:
        """Delete everything of the tenant: the next schedule finds the tables as this one did."""
        await forget(self.database, self.tenant, self.TABLES)

    async def sweep(self) -> None:
        """What the sweeper does, whatever the age of the records: begin again what has no run and is open."""
        groups: dict[str, list[str]] = {}
        for row in await self.rows():
            if row.finished_at is None:
                groups.setdefault(row.workflow_id, []).append(row.id)
        for owner, ids in groups.items():
            if not self.runs(owner):
                await self.begin(owner, ids)

    async def begin(self, owner: str, ids: Sequence[str]) -> None:
        """Start the workflow of records that share one."""
        self.start(owner, tuple(ids))
        await self.mark_started(ids)

    async def drop_old(self) -> None:
        """What retention does; what it has dropped had ended."""
        before = {row.id: row for row in await self.rows()}
        await self.contents.drop_old(self.time)
        await self._old_records.drop_old(self.time)
        gone = before.keys() - {row.id for row in await self.rows()}
        assert not [one for one in gone if before[one].finished_at is None], "an open record was dropped"
        self.dropped |= gone

    # What Temporal does

    def runs(self, owner: str) -> bool:
        workflow = self.workflows.get(owner)
        return workflow is not None and workflow.state == "running"

    def running(self) -> list[Workflow]:
        return [one for one in self.workflows.values() if one.state == "running"]

    def start(
        self,
        owner: str,
        members: tuple[str, ...],
        due: datetime | None = None,
        *,
        anew: bool = False,
        taken_from: str | None = None,
    ) -> None:
        """`anew`: a run that is still there makes way."""
        known = self.workflows.get(owner)
        if known is not None and known.state == "running":
            if not anew:
                return
            self._terminate(known)
        run = known.run + 1 if known else 1
        self.workflows[owner] = Workflow(owner, members, run=run, due=due, taken_from=taken_from)

    def reset(self, workflow: Workflow) -> None:
        """A new run under the same id; the old one's activity is not wanted any more."""
        self._terminate(workflow)
        self.workflows[workflow.id] = Workflow(
            workflow.id, workflow.members, run=workflow.run + 1, taken_from=workflow.taken_from
        )

    async def hand_out(self, workflow: Workflow, process: Process) -> None:
        """Give the workflow's activity to a worker, for the first time or again."""
        executor = Executor(process, workflow)
        workflow.executor = executor
        self.executors.append(executor)
        executor.work = asyncio.create_task(self.dispatch(executor))
        executor.task = asyncio.create_task(self._report(executor, executor.work))

    def give_up_on(self, workflow: Workflow) -> None:
        """Its heartbeat is overdue, as the server sees it: the next try may begin. The old one does not know yet."""
        workflow.executor = None

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
            self.start(child.id, child.members, child.due, taken_from=workflow.id)
        if not workflow.children:
            await self._close(workflow)

    async def collect(self) -> None:
        """Let everybody run until they stand at a gate; a process that has drained exits."""
        for _ in range(ROUNDS):
            await asyncio.sleep(0)
        for executor in [one for one in self.executors if one.task is not None and one.task.done()]:
            self.executors.remove(executor)
            assert executor.task is not None
            executor.task.result()
        for process in self.processes:
            if process.stopping and process not in [one.process for one in self.executors]:
                process.alive = False

    async def _report(self, executor: Executor, work: asyncio.Task[Progress]) -> None:
        """What `activities.delivery.running.dispatched` has around a dispatch: its report, or what it hands on."""
        await asyncio.wait([work])
        try:
            progress = work.result()
        except Unrecorded as unrecorded:
            details = [self.pack(unrecorded.results)]
            await self._say(executor, "heartbeat", lambda: self._take_details(executor, details))
            await self._say(executor, "failure", lambda: self._take_failure(executor))
        except (Unavailable, asyncio.CancelledError):
            await self._say(executor, "failure", lambda: self._take_failure(executor))
        else:
            await self._say(executor, "report", lambda: self._take_report(executor, progress))

    async def _say(self, executor: Executor, name: str, take: Callable[[], Awaitable[None]]) -> None:
        """To the server, again and again until it has answered."""
        while True:
            with contextlib.suppress(Unavailable):
                await self.gates.pass_through(executor, name, take)
                return

    async def _take_details(self, executor: Executor, details: Sequence[Any]) -> None:
        if executor.is_current:
            executor.workflow.details = details
        else:
            self._lose(details)

    async def _take_failure(self, executor: Executor) -> None:
        if executor.is_current:
            executor.workflow.executor = None

    async def _take_report(self, executor: Executor, progress: Progress) -> None:
        workflow = executor.workflow
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
                assert self.runs(row.workflow_id), f"left behind by {workflow.id}: {row}"

    def _terminate(self, workflow: Workflow) -> None:
        workflow.state = "terminated"
        self._lose(workflow.details)

    def _lose(self, details: Sequence[Any]) -> None:
        """Nobody will read these any more."""
        self.out_of_reach |= {(one[0], one[1]) for one in (details[0] if details else ())}

    # What ends

    async def kill(self, process: Process, *, made: bool) -> None:
        process.alive, process.killed = False, True
        killed = [one for one in self.executors if one.process is process]
        self.executors = [one for one in self.executors if one.process is not process]
        for executor in killed:
            if executor.is_current:
                executor.workflow.executor = None
            await self.gates.abandon(executor, made=made)
            for task in (executor.task, executor.work):
                if task is not None:
                    task.cancel()
                    await asyncio.gather(task, return_exceptions=True)
        if not process.stopping:
            self._begin_process()

    def stop(self, process: Process) -> None:
        """It is asked to shut down: it takes no more work, and what it has may come to its end."""
        process.stopping = True
        self._begin_process()

    def cut_off(self, process: Process) -> None:
        """Its time to drain is over."""
        process.cut_off = True
        for executor in self.executors:
            if executor.process is process and executor.work is not None:
                executor.work.cancel()

    def _begin_process(self) -> None:
        self.processes.append(Process(max(one.number for one in self.processes) + 1))

    # What is on record

    def unrecorded(self, known: Mapping[Attempt, str]) -> list[Attempt]:
        """Attempts whose outcome a process knew all the time, and that are on record as lost (`known`: outcomes)."""
        return [
            attempt
            for attempt, heard in self.heard.items()
            if not heard.executor.process.killed
            and attempt not in self.out_of_reach
            and attempt[0] not in self.dropped
            and known.get(attempt) in (None, "worker_lost")
        ]

    async def allowed(self, move: Awaitable[Any]) -> bool:
        """Whether the record's state let somebody make this move."""
        try:
            await move
        except Conflict:
            return False
        return True


async def forget(database: Database, tenant: str, tables: Sequence[str]) -> None:
    gone = ", ".join(f"{table}_gone AS (DELETE FROM {table} WHERE tenant_id = :tenant)" for table in tables)
    await database.execute(text(f"WITH {gone} DELETE FROM tenants WHERE id = :tenant"), {"tenant": tenant})
