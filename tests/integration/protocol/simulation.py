"""Worker processes, and a server that hands out work: what the models of all kinds of records share.

Simulated are Temporal (which run of which workflow there is, and that an activity may be given out again at any time),
the clock, and the end of processes: killed, or shut down with a time to drain.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Final

from sqlalchemy import text

from hermod.contracts.errors import Conflict, Unavailable
from hermod.contracts.ids import since
from hermod.storage.database.engine import Database
from hermod.storage.secrets.contents import Contents
from hermod.storage.secrets.vault import Vault
from hermod.storage.tenants.tenants import Tenants
from tests.integration.protocol.gates import Gates

BEGIN: Final = datetime.now(UTC).replace(microsecond=0)
"""Ids tell the time at which they were made, so the world's time begins today."""
TICK: Final = timedelta(microseconds=1)
CONTENT_DAYS: Final = 30
ROUNDS: Final = 60
"""Of the event loop, after which everybody stands at a gate."""


@dataclass(eq=False)
class Process:
    """A worker process. `number` is its session's."""

    number: int
    alive: bool = True
    stopping: bool = False
    cut_off: bool = False
    killed: bool = False


@dataclass(eq=False)
class Run:
    """A run of a workflow as Temporal knows it, and the try of its activity that the server waits for."""

    id: str
    number: int = 1
    state: str = "running"
    due: datetime | None = None
    executor: Executor | None = None

    @property
    def run_id(self) -> str:
        return f"{self.id}#{self.number}"

    @property
    def wants_worker(self) -> bool:
        return self.state == "running" and self.executor is None


@dataclass(eq=False)
class Executor:
    """One try of an activity. `told`: it has learnt that it is not wanted any more."""

    process: Process
    run: Run
    work: asyncio.Task[Any] | None = None
    """The activity itself: what a shutdown cuts off."""
    task: asyncio.Task[None] | None = None
    told: bool = False
    since: datetime = BEGIN
    """When it was handed out."""

    @property
    def is_current(self) -> bool:
        """Whether the server takes an answer of it."""
        return self.run.executor is self and self.run.state == "running"

    def stopping(self) -> bool:
        return self.told or self.process.stopping

    def superseded(self) -> bool:
        return self.told and not self.is_current


class Gated:
    """Something whose every call is a step of an executor."""

    def __init__(self, one: object, executor: object, gates: Gates) -> None:
        self._one = one
        self._executor = executor
        self._gates = gates

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._one, name)

        async def gated(*args: Any, **names: Any) -> Any:
            if [] in args:
                # About nothing: no statement is made.
                return await call(*args, **names)
            return await self._gates.pass_through(self._executor, name, lambda: call(*args, **names))

        return gated


class Simulation(ABC):
    TABLES: ClassVar[Sequence[str]]
    """With rows of a tenant."""

    def __init__(self, database: Database, tenant: str) -> None:
        self.database = database
        self.tenant = tenant
        self.time = BEGIN
        self.gates = Gates()
        self.processes = [Process(1), Process(2)]
        self.executors: list[Executor] = []
        self.answers: list[str] = []
        """What the next requests will come to; when there is none left, they are taken."""
        self._ids = itertools.count(1)
        self.vault = Vault(Vault.new_key())
        self.contents = Contents(database, self.vault, CONTENT_DAYS)

    def now(self) -> datetime:
        """A little later at every look, so that no two grants are of the same moment."""
        self.time += TICK
        return self.time

    def new_id(self, prefix: str) -> str:
        """By the world's time, and in order, so that a schedule which runs again is the same."""
        return f"{since(prefix, self.time)}{next(self._ids):016x}"

    @abstractmethod
    def runs(self) -> Sequence[Run]:
        """The runs of workflows that there were, whatever became of them."""

    @abstractmethod
    def work(self, executor: Executor) -> Coroutine[Any, Any, Any]:
        """What the executor is to do."""

    @abstractmethod
    async def report(self, executor: Executor, work: asyncio.Task[Any]) -> None:
        """Wait for the end of the work, and say to the server what came of it."""

    @abstractmethod
    async def sweep(self) -> None: ...

    async def purge_expired(self) -> None:
        """What retention does."""

    @abstractmethod
    async def check(self) -> None:
        """What holds at any time."""

    async def check_step(self) -> None:
        """What holds of every single step."""

    @abstractmethod
    async def work_on(self) -> bool:
        """Whether there is something left to do, which is begun then: nothing goes wrong any more."""

    async def settle_in(self) -> None:
        await Tenants(self.database).create(self.tenant, self.tenant, self.time)

    async def forget(self) -> None:
        """Delete everything of the tenant: the next schedule finds the tables as this one did."""
        gone = ", ".join(f"{table}_gone AS (DELETE FROM {table} WHERE tenant_id = :tenant)" for table in self.TABLES)
        statement = text(f"WITH {gone} DELETE FROM tenants WHERE id = :tenant")
        await self.database.execute(statement, {"tenant": self.tenant})

    def running(self) -> list[Any]:
        return [one for one in self.runs() if one.state == "running"]

    def workers(self) -> list[Process]:
        """Those that take work."""
        return [one for one in self.processes if one.alive and not one.stopping]

    async def hand_out(self, run: Run, process: Process) -> None:
        """Give the workflow's activity to a worker, for the first time or again."""
        executor = Executor(process, run, since=self.time)
        run.executor = executor
        self.executors.append(executor)
        executor.work = asyncio.create_task(self.work(executor))
        executor.task = asyncio.create_task(self.report(executor, executor.work))

    def give_up_on(self, run: Run) -> None:
        """Its heartbeat is overdue, as the server sees it: the next try may begin. The old one does not know yet."""
        run.executor = None

    async def say(self, executor: Executor, name: str, take: Callable[[], Awaitable[None]]) -> None:
        """To the server, again and again until it has answered."""
        while True:
            with contextlib.suppress(Unavailable):
                await self.gates.pass_through(executor, name, take)
                return

    async def take_failure(self, executor: Executor) -> None:
        """The try has failed; the next one begins when it may."""
        if executor.is_current:
            executor.run.executor = None

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

    async def kill(self, process: Process, *, made: bool) -> None:
        process.alive, process.killed = False, True
        killed = [one for one in self.executors if one.process is process]
        self.executors = [one for one in self.executors if one.process is not process]
        for executor in killed:
            if executor.is_current:
                executor.run.executor = None
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

    async def allowed(self, move: Awaitable[Any]) -> bool:
        """Whether the record's state let somebody make this move."""
        try:
            await move
        except Conflict:
            return False
        return True
