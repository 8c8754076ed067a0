"""The rules that all models of deliveries share, and how their schedules are run.

HERMOD_SCHEDULES says how many schedules a model runs; the default is what a test run can afford.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, ClassVar, Final

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.errors import Flaky
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from hermod.storage.database.engine import Database
from tests.integration.protocol.gates import Fate

SCHEDULES: Final = int(os.environ.get("HERMOD_SCHEDULES", "40"))
STEPS: Final = 40
TIMEOUT: Final = 120 + 2 * SCHEDULES
WHICH: Final = st.integers(min_value=0, max_value=1_000)
FATES: Final = st.sampled_from([Fate.GO, Fate.GO, Fate.GO, *Fate])
MOST_WORKFLOWS: Final = 4
RESETTABLE: Final = ("running", "failed", "completed")
LONGEST: Final = 30
"""Steps of an executor, after which it has come to its end."""
MOST_DIVERGED: Final = 2 + SCHEDULES // 100
ROUNDS: Final = 800
"""After which whatever is still open at the end of a schedule counts as stranded."""

tenants = itertools.count(1)


class Machine(RuleBasedStateMachine):
    """A model with a database and an event loop of its own. `steps` and `schedules` count what was done."""

    loop: ClassVar[asyncio.AbstractEventLoop]
    database: ClassVar[Database]
    steps: ClassVar[int] = 0
    schedules: ClassVar[int] = 0
    broken_in: ClassVar[int | None] = None
    """The first schedule that broke a promise; those after it make it shorter."""
    STOPS: ClassVar[tuple[str, ...]]
    """Kinds of steps before which executors come to stand; `the end` is none."""
    world: Any = None
    """A `Simulation`."""
    exact = False
    """Whether an executor that does not come to the step it is to stand before is an error: a known schedule has not
    happened then."""
    changed = False
    """Whether something was done since the last look."""

    def __init__(self) -> None:
        super().__init__()
        type(self).schedules += 1

    @classmethod
    def has_broken_one(cls) -> bool:
        return cls.broken_in is not None

    def do(self, work: Any) -> Any:
        type(self).steps += 1
        self.changed = True
        result = self.wait_for(work)
        self.wait_for(self.world.collect())
        self.wait_for(self.world.check_step())
        return result

    def wait_for(self, work: Any) -> Any:
        own = type(self)
        try:
            return self.loop.run_until_complete(work)
        except Exception:
            own.broken_in = own.broken_in or own.schedules
            raise

    def busy(self) -> list[Any]:
        """Processes that have something to do."""
        at_work = {one.process.number for one in self.world.executors}
        return [one for one in self.world.processes if one.number in at_work]

    def pick(self, some: list[Any], which: int) -> Any:
        return some[which % len(some)] if some else None

    @rule()
    def sweep(self) -> None:
        self.do(self.world.sweep())

    @precondition(lambda self: any(one.wants_worker for one in self.world.running()))
    @rule(which=WHICH, worker=WHICH, until=WHICH)
    def hand_out(self, which: int, worker: int, until: int) -> None:
        """The activity is given to a worker, who begins with it."""
        run = self.pick([one for one in self.world.running() if one.wants_worker], which)
        self.world.time = max(self.world.time, run.due or self.world.time)
        self.do(self.world.hand_out(run, self.pick(self.world.workers(), worker)))
        self._go_on(run.executor, until)

    @precondition(lambda self: any(one.executor for one in self.world.running()))
    @rule(which=WHICH)
    def heartbeat_is_overdue(self, which: int) -> None:
        self.world.give_up_on(self.pick([one for one in self.world.running() if one.executor is not None], which))

    @precondition(lambda self: any(one.executor for one in self.world.running()))
    @rule(which=WHICH, worker=WHICH, until=WHICH)
    def another_takes_over(self, which: int, worker: int, until: int) -> None:
        """Its heartbeat is overdue, and while it stands still the next try is under way."""
        run = self.pick([one for one in self.world.running() if one.executor is not None], which)
        self.world.give_up_on(run)
        if run.wants_worker:
            self.do(self.world.hand_out(run, self.pick(self.world.workers(), worker)))
            self._go_on(run.executor, until)

    @precondition(lambda self: self.world.gates.waiting)
    @rule(which=WHICH, fate=FATES)
    def step(self, which: int, fate: Fate) -> None:
        self.do(self.world.gates.decide(self.pick(self.world.gates.waiting, which), fate))

    @precondition(lambda self: self.world.gates.waiting)
    @rule(which=WHICH, until=WHICH)
    def goes_on(self, which: int, until: int) -> None:
        """All goes well for one executor; the others stand still."""
        step = self.pick(self.world.gates.waiting, which)
        self.do(self.world.gates.decide(step, Fate.GO))
        self._go_on(step.process, until)

    def _go_on(self, executor: object, until: int) -> None:
        """Until it stands before a step of one kind, or has come to its end."""
        kind = self.pick(list(self.STOPS), until)
        for _ in range(LONGEST):
            own = [one for one in self.world.gates.waiting if one.process is executor]
            if not own or own[0].name == kind:
                break
            self.do(self.world.gates.decide(own[0], Fate.GO))
        if self.exact and kind != "the end":
            own = [one for one in self.world.gates.waiting if one.process is executor]
            stands_before = own[0].name if own else "the end"
            assert stands_before == kind, f"it stands before {stands_before}, and the schedule is for {kind}"

    @precondition(lambda self: self.world.executors)
    @rule(which=WHICH, made=st.booleans())
    def worker_dies(self, which: int, made: bool) -> None:
        self.do(self.world.kill(self.pick(self.busy(), which), made=made))

    @rule(minutes=st.sampled_from([1, 2, 30, 600]), days=st.sampled_from([0, 0, 0, 0, 0, 40, 100]))
    def time_passes(self, minutes: int, days: int) -> None:
        """Where months pass, retention comes by."""
        self.world.time += timedelta(minutes=minutes, days=days)
        if days:
            self.do(self.world.purge_expired())

    @invariant()
    def promises_hold(self) -> None:
        if self.changed:
            self.changed = False
            self.wait_for(self.world.check())

    def teardown(self) -> None:
        if self.world is not None:
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
            elif not await world.work_on():
                break
        await world.check()
        await world.check_the_end()

    async def _leave(self) -> None:
        for process in [one for one in self.world.processes if one.alive]:
            await self.world.kill(process, made=False)
        await self.world.forget()


class Deliveries(Machine):
    """Batches of records on their way, by executors that die, freeze, are cut off and are superseded."""

    STOPS = ("the end", "the end", "grant", "request", "request", "record", "change", "transfer_ownership", "report")

    def records(self) -> list[str]:
        return list(self.world.records)

    @precondition(lambda self: any(_has_children(one) for one in self.world.running()))
    @rule(which=WHICH)
    def child_is_started(self, which: int) -> None:
        self.do(self.world.start_child(self.pick([one for one in self.world.running() if _has_children(one)], which)))

    @precondition(lambda self: any(_is_not_wanted(one) for one in self.world.executors))
    @rule(which=WHICH)
    def learns_that_it_is_not_wanted(self, which: int) -> None:
        self.pick([one for one in self.world.executors if _is_not_wanted(one)], which).told = True

    @precondition(lambda self: any(one.state in RESETTABLE for one in self.world.runs()))
    @rule(which=WHICH, cancels=st.booleans())
    def workflow_is_reset_or_cancelled(self, which: int, cancels: bool) -> None:
        run = self.pick([one for one in self.world.runs() if one.state in RESETTABLE], which)
        if not cancels:
            self.world.reset(run)
        elif run.state == "running":
            run.cancelling = True

    @precondition(lambda self: any(_is_to_be_closed(one) for one in self.world.running()))
    @rule(which=WHICH)
    def cancel_step(self, which: int) -> None:
        self.do(self.world.withdraw(self.pick([one for one in self.world.running() if _is_to_be_closed(one)], which)))

    @precondition(lambda self: any(not one.stopping for one in self.busy()))
    @rule(which=WHICH)
    def worker_is_shut_down(self, which: int) -> None:
        self.world.stop(self.pick([one for one in self.busy() if not one.stopping], which))

    @precondition(lambda self: any(one.stopping and not one.cut_off for one in self.busy()))
    @rule(which=WHICH)
    def time_to_drain_is_over(self, which: int) -> None:
        self.world.cut_off(self.pick([one for one in self.busy() if one.stopping and not one.cut_off], which))
        self.do(self.world.collect())


def _has_children(workflow: Any) -> bool:
    return bool(workflow.children) and not workflow.cancelling


def _is_not_wanted(executor: Any) -> bool:
    return not executor.told and (not executor.is_current or executor.run.cancelling)


def _is_to_be_closed(workflow: Any) -> bool:
    return bool(workflow.cancelling) and workflow.executor is None


@contextmanager
def event_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop that the schedules of a model run in."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        yield loop
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


def run_schedule(
    machine: type[Machine], database_url: str, rules: Iterable[tuple[Callable[..., None], Mapping[str, Any]]]
) -> None:
    """Run the rules one after another, and then everything to its end."""
    with event_loop() as loop:
        machine.loop = loop
        machine.database = Database(database_url, pool_size=4)
        try:
            model = machine()
            model.exact = True
            for rule_, arguments in rules:
                rule_(model, **arguments)
                model.promises_hold()
            model.teardown()
        finally:
            loop.run_until_complete(machine.database.close())


def run_schedules(machine: type[Machine], database_url: str) -> dict[str, int]:
    """Run as many schedules as are asked for; how many they were, and how many steps they had.

    A schedule that came out otherwise when it ran again says that the model is not the same each time, and nothing of a
    promise: where none was broken, others take its place, and `diverged` counts it.
    """
    diverged = 0
    with event_loop() as loop:
        machine.loop = loop
        machine.database = Database(database_url, pool_size=4)
        machine.steps, machine.schedules, machine.broken_in = 0, 0, None
        try:
            while machine.schedules < SCHEDULES:
                try:
                    _run(machine, SCHEDULES - machine.schedules)
                except Flaky:
                    diverged += 1
                    if machine.has_broken_one() or diverged > MOST_DIVERGED:
                        raise
        except BaseException as error:
            error.add_note(f"broken first in schedule {machine.broken_in} of {SCHEDULES}")
            raise
        finally:
            loop.run_until_complete(machine.database.close())
    return {"schedules": machine.schedules, "steps": machine.steps, "diverged": diverged}


def _run(machine: type[Machine], schedules: int) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=schedules,
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, Phase.shrink],
            print_blob=True,
        ),
    )
