"""The rules that all models of deliveries share, and how their schedules are run.

HERMOD_SCHEDULES says how many schedules a model runs; the default is what a test run can afford.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, ClassVar, Final

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from hermod.storage.engine import Database
from hermod.storage.promises import Promises
from tests.integration.protocol.gates import Fate
from tests.integration.protocol.world import BEGIN, World

SCHEDULES: Final = int(os.environ.get("HERMOD_SCHEDULES", "40"))
STEPS: Final = 40
TIMEOUT: Final = 120 + 2 * SCHEDULES
WHICH: Final = st.integers(min_value=0, max_value=1_000)
FATES: Final = st.sampled_from([Fate.GO, Fate.GO, Fate.GO, *Fate])
MOST_WORKFLOWS: Final = 4
ROUNDS: Final = 800
"""After which whatever is still open at the end of a schedule counts as stranded."""

tenants = itertools.count(1)


class Machine(RuleBasedStateMachine):
    """A model with a database and an event loop of its own. `steps` counts what was done in all schedules."""

    loop: ClassVar[asyncio.AbstractEventLoop]
    database: ClassVar[Database]
    steps: ClassVar[int] = 0

    def wait_for(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    def pick(self, some: list[Any], which: int) -> Any:
        return some[which % len(some)] if some else None


class Deliveries(Machine):
    """Batches of records on their way, by executors that die, freeze, are cut off and are superseded."""

    world: World
    kinds: ClassVar[frozenset[str]]
    """Of records that this is about, for the audit."""
    idempotent: ClassVar[frozenset[str]] = frozenset()
    """Providers that recognise a repeat."""

    def do(self, work: Any) -> Any:
        type(self).steps += 1
        result = self.wait_for(work)
        self.wait_for(self.world.collect())
        return result

    def records(self) -> list[str]:
        return [row.id for row in self.wait_for(self.world.rows())]

    def open_statuses(self) -> list[str]:
        return [row.status for row in self.wait_for(self.world.rows()) if row.finished_at is None]

    async def check(self) -> None:
        """What holds after every step."""
        raise NotImplementedError

    async def outcomes(self) -> dict[tuple[str, int], str]:
        """Of the attempts on record; `worker_lost` where a request was called lost."""
        raise NotImplementedError

    async def help_out(self) -> None:
        """At the end of a schedule: what only people can do."""

    # What Temporal and the sweeper do

    @rule()
    def sweep(self) -> None:
        self.do(self.world.sweep())

    @rule(which=WHICH, worker=WHICH)
    def hand_out(self, which: int, worker: int) -> None:
        workers = [one for one in self.world.processes if one.alive and not one.stopping]
        workflow = self.pick([one for one in self.world.running() if one.wants_worker], which)
        if workflow is not None:
            self.world.time = max(self.world.time, workflow.due or self.world.time)
            self.do(self.world.hand_out(workflow, self.pick(workers, worker)))

    @rule(which=WHICH)
    def child_is_started(self, which: int) -> None:
        workflow = self.pick([one for one in self.world.running() if one.children and not one.cancelling], which)
        if workflow is not None:
            self.do(self.world.start_child(workflow))

    @rule(which=WHICH)
    def heartbeat_is_overdue(self, which: int) -> None:
        workflow = self.pick([one for one in self.world.running() if one.executor is not None], which)
        if workflow is not None:
            self.world.give_up_on(workflow)

    @rule(which=WHICH)
    def learns_that_it_is_not_wanted(self, which: int) -> None:
        gone = [one for one in self.world.executors if not one.is_current or one.workflow.cancelling]
        if gone:
            self.pick(gone, which).told = True

    @rule(which=WHICH)
    def workflow_is_reset(self, which: int) -> None:
        states = ("running", "failed", "completed")
        workflow = self.pick([one for one in self.world.workflows.values() if one.state in states], which)
        if workflow is not None:
            self.world.reset(workflow)

    @rule(which=WHICH)
    def workflow_is_cancelled(self, which: int) -> None:
        workflow = self.pick(self.world.running(), which)
        if workflow is not None:
            workflow.cancelling = True

    @rule(which=WHICH)
    def cancel_step(self, which: int) -> None:
        workflow = self.pick([one for one in self.world.running() if one.cancelling and one.executor is None], which)
        if workflow is not None:
            self.do(self.world.withdraw(workflow))

    # What becomes of steps and processes

    @rule(which=WHICH, fate=FATES)
    def step(self, which: int, fate: Fate) -> None:
        step = self.pick(self.world.gates.waiting, which)
        if step is not None:
            self.do(self.world.gates.decide(step, fate))

    @rule(count=st.integers(1, 6))
    def all_goes_well_for_a_while(self, count: int) -> None:
        for _ in range(count):
            if self.world.gates.waiting:
                self.do(self.world.gates.decide(self.world.gates.waiting[0], Fate.GO))

    @rule(which=WHICH, made=st.booleans())
    def worker_dies(self, which: int, made: bool) -> None:
        self.do(self.world.kill(self.pick([one for one in self.world.processes if one.alive], which), made=made))

    @rule(which=WHICH)
    def worker_is_shut_down(self, which: int) -> None:
        busy = {id(one.process) for one in self.world.executors}
        workers = [one for one in self.world.processes if id(one) in busy and not one.stopping]
        if workers:
            self.world.stop(self.pick(workers, which))

    @rule(which=WHICH)
    def time_to_drain_is_over(self, which: int) -> None:
        process = self.pick([one for one in self.world.processes if one.stopping and not one.cut_off], which)
        if process is not None and process.alive:
            self.world.cut_off(process)
            self.do(self.world.collect())

    # What time brings

    @rule(minutes=st.sampled_from([1, 2, 30, 600]))
    def time_passes(self, minutes: int) -> None:
        self.world.time += timedelta(minutes=minutes)

    @rule(days=st.sampled_from([20, 40, 100]))
    def records_are_dropped_after(self, days: int) -> None:
        self.world.time += timedelta(days=days)
        self.do(self.world.drop_old())

    @invariant()
    def promises_hold(self) -> None:
        if hasattr(self, "world"):
            self.wait_for(self.check())

    def teardown(self) -> None:
        if hasattr(self, "world"):
            try:
                self.wait_for(self._settle())
            finally:
                self.wait_for(self._leave())

    async def _settle(self) -> None:
        """Nothing goes wrong any more: everything comes to its end."""
        world = self.world
        world.answers = []
        for executor in world.executors:
            executor.told = executor.told or not executor.is_current
        for _ in range(ROUNDS):
            await world.collect()
            if world.gates.waiting:
                await world.gates.decide(world.gates.waiting[0], Fate.GO)
            elif [row for row in await world.rows() if row.finished_at is None]:
                await self._work_on()
            else:
                break
        await self.check()
        left = [row for row in await world.rows() if row.finished_at is None]
        assert not left, f"stranded: {left}"
        unrecorded = world.unrecorded(await self.outcomes())
        assert not unrecorded, f"known, and not on record: {unrecorded}"
        found = await Promises(world.database, self.idempotent).audit(world.time, since=BEGIN - timedelta(days=1))
        found = {name: some for name, some in found.items() if name.kind in self.kinds}
        broken = [(name, one) for name, some in found.items() for one in some if one.tenant == world.tenant]
        assert not broken, broken

    async def _work_on(self) -> None:
        world = self.world
        worker = next(one for one in world.processes if one.alive and not one.stopping)
        for workflow in world.running():
            if workflow.cancelling and workflow.executor is None:
                await world.withdraw(workflow)
            elif workflow.children:
                await world.start_child(workflow)
            elif workflow.wants_worker:
                await world.hand_out(workflow, worker)
        await self.help_out()
        world.time += timedelta(hours=1)
        await world.sweep()

    async def _leave(self) -> None:
        for process in [one for one in self.world.processes if one.alive]:
            await self.world.kill(process, made=False)
        await self.world.forget()


@contextmanager
def event_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop that the schedules of a model run in."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield loop
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


def run_schedules(machine: type[Machine], database_url: str) -> dict[str, int]:
    """Run as many schedules as are asked for; how many they were, and how many steps they had."""
    with event_loop() as loop:
        machine.loop, machine.steps = loop, 0
        machine.database = Database(database_url, pool_size=4)
        try:
            run_state_machine_as_test(
                machine,
                settings=settings(
                    max_examples=SCHEDULES,
                    stateful_step_count=STEPS,
                    deadline=None,
                    suppress_health_check=list(HealthCheck),
                    phases=[Phase.generate, Phase.shrink],
                    print_blob=True,
                ),
            )
        finally:
            loop.run_until_complete(machine.database.close())
    return {"schedules": SCHEDULES, "steps": machine.steps}
