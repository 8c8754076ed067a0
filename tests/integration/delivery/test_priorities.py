"""All kinds of work share one scale of urgency, so a busy worker lets none of them starve behind another's default."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.client import Interceptor as ClientInterceptor
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput
from temporalio.worker import Interceptor as WorkerInterceptor

from hermod.bootstrap import open_senders
from hermod.contracts.notifications.content import Email
from hermod.contracts.webhooks.deliveries import Ordering, ReplayInput
from starter import Hermod
from starter.forms.partials import save_partial
from starter.temporal import schedules
from starter.temporal.connection import DATA_CONVERTER
from starter.webhooks.replays import replay
from tests.support.forms.product import ENTERED, add_form
from tests.support.polling import eventually
from tests.support.product import ProductFixture, new_house, settings_for
from tests.support.webhooks.product import add_endpoint
from worker import LANES, WORKFLOW_CLASSES, build_workers, running

NOBODY = "http://127.0.0.1:9/"
ROUNDS = 8
DEFAULT_KEY = 6
HOUSEKEEPING_KEY = 1
_WAITS_SINCE_LONG = """
    UPDATE webhook_deliveries
       SET workflow_id = 'webhook-endpoint/' || tenant_id || '/' || endpoint_id, updated_at = now() - interval '1 hour'
     WHERE id = (SELECT min(id) FROM webhook_deliveries WHERE tenant_id = :tenant)
"""
OF_LANES = ("deliver", "deliver_webhooks", "process_submission", "look_at_partial", "ingest_events")
"""Activities, one on each lane that a round gives work."""


@dataclass
class Activities(ClientInterceptor, WorkerInterceptor):
    """With which key of priority each activity came to a worker."""

    keys: dict[str, set[int | None]] = field(default_factory=dict)

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        keys = self.keys

        class Noting(ActivityInboundInterceptor):
            async def execute_activity(self, input: ExecuteActivityInput) -> Any:
                info = activity.info()
                keys.setdefault(info.activity_type, set()).add(info.priority.priority_key)
                return await super().execute_activity(input)

        return Noting(next)


@dataclass(frozen=True)
class Idle:
    """A product without a worker: what it accepts is started, and waits."""

    house: ProductFixture
    activities: Activities

    async def take_a_round(self, number: int) -> None:
        """One of each kind that has a default priority, handed over in this order."""
        hermod, core = self.house.hermod, self.house.hermod.core
        await hermod.send(Email(to="ada@example.com", subject="Hello", text="Hello"))
        await core.coalescer.drain()
        await hermod.emit("order.paid", {"n": number})
        await core.webhooks.drain()
        await hermod.submit("signup", ENTERED)
        await core.submissions.drain()
        await save_partial(hermod, "signup", f"session-{number}", {"revision": 1, "data": {"name": "Ada"}})
        await core.partials.drain()
        await hermod.track("page.viewed", {"n": number})
        await core.events.drain()

    async def started(self, workflows: int) -> dict[str, list[Any]]:
        """The histories' first events by the type of the workflow, once so many can be found."""

        async def found() -> list[str] | None:
            ids = [one.id async for one in self.house.client.list_workflows()]
            return ids if len(ids) >= workflows else None

        begun: dict[str, list[Any]] = {}
        for one in await eventually(found):
            history = await self.house.client.get_workflow_handle(one).fetch_history()
            started = history.events[0].workflow_execution_started_event_attributes
            begun.setdefault(started.workflow_type.name, []).append(started)
        return begun


@pytest.fixture
async def idle(database_url: str, idle_temporal: str) -> AsyncIterator[Idle]:
    activities = Activities()
    client = await Client.connect(idle_temporal, data_converter=DATA_CONVERTER, interceptors=[activities])
    async with await Hermod.connect(settings=settings_for(database_url, idle_temporal), temporal=client) as hermod:
        house = await new_house(hermod, client)
        await house.add_account("main", base_url=NOBODY)
        await add_form(house)
        yield Idle(house, activities)


async def first_tasks(client: Client, workflow: str) -> Sequence[tuple[str, datetime]]:
    """The type of each run of these workflows, and when a worker first took it up."""
    found = []
    async for one in client.list_workflows(f"WorkflowType = '{workflow}'"):
        events = (await client.get_workflow_handle(one.id, run_id=one.run_id).fetch_history()).events
        taken = [event.event_time.ToDatetime() for event in events if _is_taken_up(event)]
        assert taken, f"{one.id} was never taken up"
        found.append((one.id, taken[0]))
    return found


def _is_taken_up(event: Any) -> bool:
    return bool(event.HasField("workflow_task_started_event_attributes"))


async def test_every_kind_of_work_carries_the_default_key_and_housekeeping_the_first(idle: Idle) -> None:
    house, tenant = idle.house, idle.house.hermod.tenant
    core = house.hermod.core
    await add_endpoint(house, NOBODY, event_types=("order.*",))
    line = await add_endpoint(house, NOBODY, event_types=("line.*",), ordering=Ordering.BY_KEY)
    await idle.take_a_round(1)
    letter = Email(to="ada@example.com", subject="Hello", text="Hello")
    await house.hermod.send_many([letter, letter])
    await core.coalescer.drain()
    await asyncio.gather(*(house.hermod.emit("order.paid", {"n": number}) for number in range(20)))
    await house.hermod.emit("line.moved", {}, ordering_key="k")
    await core.webhooks.drain()
    await replay(house.hermod, line.id, ReplayInput(since=core.clock.now() - timedelta(hours=1)))
    await core.storage.database.execute(text(_WAITS_SINCE_LONG), {"tenant": tenant})
    assert (await core.webhooks.waiters.sweep()).restarted == 1
    await schedules.apply(house.client)
    for one in schedules.SCHEDULES:
        await schedules.change(house.client, one.name, "run")
    housekeeping = {one.workflow for one in schedules.SCHEDULES}
    wanted = {workflow._Definition.must_from_class(one).name for one in WORKFLOW_CLASSES}

    async def all_kinds() -> dict[str, list[Any]]:
        begun = await idle.started(1)
        assert set(begun) == wanted
        return begun

    for kind, runs in (await eventually(all_kinds)).items():
        for run in runs:
            given = (run.priority.priority_key, run.priority.fairness_key)
            assert given == ((HOUSEKEEPING_KEY, "housekeeping") if kind in housekeeping else (DEFAULT_KEY, tenant)), (
                kind
            )


async def test_backlog_of_all_kinds_meets_one_busy_worker_none_waits_for_the_end_of_another(idle: Idle) -> None:
    house, client = idle.house, idle.house.client
    core = house.hermod.core
    await add_endpoint(house, NOBODY)
    for number in range(ROUNDS):
        await idle.take_a_round(number)
    await schedules.apply(client)
    await schedules.change(client, "sweep-stranded", "run")
    kinds = ("SendNotification", "DeliverWebhook", "ProcessSubmission", "SavePartial", "IngestEvents")
    await idle.started(ROUNDS * len(kinds) + 1)
    async with open_senders(core.settings) as senders:
        workers = build_workers(
            client,
            core.settings,
            core.storage,
            senders,
            core.poster,
            analytics=core.analytics,
            concurrency=dict.fromkeys(LANES, 1),
            drain=timedelta(0),
        )
        async with running(workers):

            async def all_begun() -> bool:
                return idle.activities.keys.keys() >= {*OF_LANES, "sweep_stranded"}

            await eventually(all_begun)
            taken = {}
            for kind in kinds:

                async def all_taken_up(kind: str = kind) -> Sequence[tuple[str, datetime]]:
                    found = await first_tasks(client, kind)
                    assert len(found) >= ROUNDS
                    return found

                taken[kind] = [at for _, at in await eventually(all_taken_up)]
            swept = [at for _, at in await first_tasks(client, "SweepStranded")]
    for kind in kinds:
        for other in kinds:
            assert min(taken[kind]) < max(taken[other]), f"{kind} waited for all of {other}"
        assert min(swept) < max(taken[kind])
    keys = idle.activities.keys
    assert keys["sweep_stranded"] == {HOUSEKEEPING_KEY}
    assert {name: keys[name] for name in OF_LANES} == {name: {DEFAULT_KEY} for name in OF_LANES}
