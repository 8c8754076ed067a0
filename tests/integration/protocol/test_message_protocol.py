"""Thousands of schedules of the ledger's protocol: whatever dies, freezes, is late or lost between any two commits.

HERMOD_SCHEDULES says how many; the default is what a test run can afford. After every step:

- each request at a provider is one attempt on record, and no attempt is two requests;
- an at_most_once message is never requested again where an earlier request may have been taken, unless the provider
  recognises the repeat or an operator has said that it was not sent;
- a message that was taken is requested again only after the record called that request unknown, or an operator's word;
- the attempts on record are numbered without a gap.

At the end of each schedule everybody works as they should, and every message comes to an end with its reason.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from activities.delivery import recording
from hermod.contracts.messages import Guarantee, Outcome, Status
from hermod.domain.states import OPEN
from hermod.storage.engine import Database
from hermod.storage.promises import Promises
from tests.integration.protocol.gates import Fate
from tests.integration.protocol.world import World, may_have_arrived

SCHEDULES = int(os.environ.get("HERMOD_SCHEDULES", "40"))
STEPS = 40
WHICH = st.integers(min_value=0, max_value=1_000)
ANSWERS = ("accept", "accept, no answer", "refuse, no answer", "busy", "refuse", "nobody there")
_tenants = itertools.count(1)


class Protocol(RuleBasedStateMachine):
    loop: ClassVar[asyncio.AbstractEventLoop]
    database: ClassVar[Database]
    steps: ClassVar[int] = 0

    def _do(self, work: Any) -> Any:
        type(self).steps += 1
        result = self.loop.run_until_complete(work)
        self.loop.run_until_complete(self.world.collect())
        return result

    def _pick(self, some: list[Any], which: int) -> Any:
        return some[which % len(some)] if some else None

    def _running(self) -> list[Any]:
        return [one for one in self.world.workflows.values() if one.state == "running"]

    def _messages(self) -> list[str]:
        return [row.id for row in self.loop.run_until_complete(self.world.rows())]

    @initialize(keyed=st.booleans(), first=st.sampled_from(Guarantee), count=st.integers(1, 3))
    def begin(self, keyed: bool, first: Guarantee, count: int) -> None:
        self.world = World(self.database, f"t{next(_tenants)}", keyed=keyed)
        self._do(self.world.settle_in())
        self._do(self.world.accept(count, first))

    @rule(guarantee=st.sampled_from(Guarantee), count=st.integers(1, 3))
    def accept(self, guarantee: Guarantee, count: int) -> None:
        if len(self.world.workflows) < 4:
            self._do(self.world.accept(count, guarantee))

    @rule(answers=st.lists(st.sampled_from(ANSWERS), min_size=1, max_size=3))
    def provider_will(self, answers: list[str]) -> None:
        self.world.answers = answers

    @rule()
    def sweep(self) -> None:
        self._do(self.world.sweep())

    @rule(which=WHICH, worker=WHICH)
    def hand_out(self, which: int, worker: int) -> None:
        workers = [one for one in self.world.processes if one.alive and not one.stopping]
        ready = [one for one in self._running() if one.executor is None and not one.cancelling]
        if ready and workers:
            workflow = self._pick(ready, which)
            self.world.time = max(self.world.time, workflow.due or self.world.time)
            self._do(self.world.hand_out(workflow, self._pick(workers, worker)))

    @rule(which=WHICH, fate=st.sampled_from([Fate.GO, Fate.GO, Fate.GO, *Fate]))
    def step(self, which: int, fate: Fate) -> None:
        step = self._pick(self.world.gates.waiting, which)
        if step is not None:
            self._do(self.world.gates.decide(step, fate))

    @rule(count=st.integers(1, 6))
    def all_goes_well_for_a_while(self, count: int) -> None:
        for _ in range(count):
            if self.world.gates.waiting:
                self._do(self.world.gates.decide(self.world.gates.waiting[0], Fate.GO))

    @rule(which=WHICH)
    def heartbeat_is_overdue(self, which: int) -> None:
        workflow = self._pick([one for one in self._running() if one.executor is not None], which)
        if workflow is not None:
            self.world.give_up_on(workflow)

    @rule(which=WHICH)
    def learns_that_it_is_not_wanted(self, which: int) -> None:
        gone = [one for one in self.world.executors if not one.is_current or one.workflow.cancelling]
        if gone:
            self._pick(gone, which).told = True

    @rule(which=WHICH, made=st.booleans())
    def worker_dies(self, which: int, made: bool) -> None:
        workers = [one for one in self.world.processes if one.alive]
        if len(workers) > 1:
            self._do(self.world.kill(self._pick(workers, which), made=made))

    @rule(which=WHICH)
    def workflow_is_reset(self, which: int) -> None:
        workflow = self._pick(list(self.world.workflows.values()), which)
        if workflow is not None and workflow.state in ("running", "failed", "completed"):
            self.world.reset(workflow)

    @rule(which=WHICH)
    def workflow_is_cancelled(self, which: int) -> None:
        workflow = self._pick(self._running(), which)
        if workflow is not None:
            workflow.cancelling = True

    @rule(which=WHICH)
    def cancel_step(self, which: int) -> None:
        workflow = self._pick([one for one in self._running() if one.cancelling and one.executor is None], which)
        if workflow is not None:
            self._do(self.world.withdraw(workflow))

    @rule(which=WHICH)
    def message_is_cancelled(self, which: int) -> None:
        self._do(self.world.cancel(self._pick(self._messages(), which)))

    @rule(which=WHICH)
    def dead_letter_is_retried(self, which: int) -> None:
        self._do(self.world.retry(self._pick(self._messages(), which)))

    @rule(which=WHICH, outcome=st.sampled_from(["sent", "not_sent"]))
    def unknown_is_resolved(self, which: int, outcome: str) -> None:
        self._do(self.world.resolve(self._pick(self._messages(), which), outcome))

    @rule(which=WHICH)
    def provider_reports(self, which: int) -> None:
        request = self._pick([one for one in self.world.requests if one.taken], which)
        if request is not None:
            self._do(self.world.report(request))

    @rule(minutes=st.sampled_from([1, 2, 30, 600]))
    def time_passes(self, minutes: int) -> None:
        self.world.time += timedelta(minutes=minutes)

    @invariant()
    def promises_hold(self) -> None:
        self.loop.run_until_complete(self._check())

    async def _check(self) -> None:
        world = self.world
        attempts, words = await world.attempts(), await world.words()
        for row in await world.rows():
            numbers = sorted(number for message, number in attempts if message == row.id)
            assert numbers == list(range(1, row.attempt_count + 1)), (row.id, numbers)
            asked = sorted((one for one in world.requests if one.message == row.id), key=lambda one: one.number)
            for request in asked:
                assert (row.id, request.number) in attempts, "a request that is not on record"
            if row.id in words:
                continue
            for earlier, later in itertools.pairwise(asked):
                was = attempts[row.id, earlier.number]
                repeat_is_safe = earlier.account == later.account == "keyed"
                if row.guarantee == Guarantee.AT_MOST_ONCE and not repeat_is_safe:
                    assert not earlier.taken, f"at_most_once was requested twice: {asked}"
                if earlier.taken:
                    called_unknown = was.outcome == Outcome.UNKNOWN or was.late_at is not None
                    assert called_unknown, f"a repeat in silence: {asked}, {was}"
            for request in asked:
                on_record = attempts[row.id, request.number]
                never = on_record.error_code == "not_started"
                assert not (request.taken and never), "called never made, and was taken"
            if row.status in (Status.FAILED, Status.EXPIRED, Status.CANCELLED, Status.SUPPRESSED):
                # What ended as not sent may have arrived only where the record says that nobody knows.
                for request in asked:
                    if request.taken:
                        assert may_have_arrived(attempts[row.id, request.number].outcome)

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.loop.run_until_complete(self._settle())

    async def _settle(self) -> None:
        """Nothing goes wrong any more: everything comes to its end."""
        world = self.world
        world.answers = []
        for executor in world.executors:
            executor.told = executor.told or not executor.is_current
        for _ in range(600):
            await world.collect()
            if world.gates.waiting:
                await world.gates.decide(world.gates.waiting[0], Fate.GO)
                continue
            if not [row for row in await world.rows() if Status(row.status) in OPEN]:
                break
            await self._work_on()
        await self._check()
        left = [(row.id, row.status, row.workflow_id) for row in await world.rows() if Status(row.status) in OPEN]
        assert not left, f"stranded: {left}"
        found = await Promises(world.database, frozenset({"keyed"})).audit(
            world.time, since=world.time - timedelta(days=300)
        )
        broken = [(name, one) for name, some in found.items() for one in some if one.tenant == world.tenant]
        assert not broken, broken

    async def _work_on(self) -> None:
        world = self.world
        worker = next(one for one in world.processes if one.alive and not one.stopping)
        for workflow in self._running():
            if workflow.cancelling and workflow.executor is None:
                await world.withdraw(workflow)
            elif workflow.executor is None:
                await world.hand_out(workflow, worker)
        world.time += timedelta(hours=1)
        await world.sweep()


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


@pytest.mark.timeout(120 + 2 * SCHEDULES)
def test_protocol_of_messages_keeps_its_promises_in_every_schedule(
    loop: asyncio.AbstractEventLoop,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
) -> None:
    monkeypatch.setattr(recording, "RECORD_WAITS", (0.0, 0.0))
    asyncio.set_event_loop(loop)
    Protocol.loop, Protocol.steps = loop, 0
    Protocol.database = Database(database_url, pool_size=4)
    try:
        run_state_machine_as_test(
            Protocol,
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
        loop.run_until_complete(Protocol.database.close())
    record_property("protocol", {"schedules": SCHEDULES, "steps": Protocol.steps})
