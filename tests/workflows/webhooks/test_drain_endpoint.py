"""The waiter of an endpoint by itself: what it asks, how long it sleeps, and that it misses no signal.

Its activities are played here, on a server whose histories are called long after sixty events.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import pytest
from temporalio import activity
from temporalio.client import Client, WorkflowHandle
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from devstack.servers.temporal import DYNAMIC_CONFIG, dynamic_config_arguments, temporal_program
from hermod.contracts.notifications.delivery import DeliveryReport, DeliveryResult
from hermod.contracts.queues import WORKFLOWS, Lane
from hermod.contracts.webhooks.deliveries import DrainEndpointInput, WebhookOrder
from hermod.contracts.webhooks.steps import NextForEndpoint
from starter.temporal.connection import DATA_CONVERTER
from worker import workflow_runner
from workflows.webhooks.drain_endpoint import DrainEndpoint

LONG: Final = 60
NOTHING: Final = NextForEndpoint()
HOUR: Final = NextForEndpoint(seconds=3600, reason="paused by its receiver until 2027-01-01 13:00:00 UTC")


@dataclass
class Play:
    """What the database says, one after another; the last one goes on. `signalled`: looks in which a signal comes."""

    client: Client
    answers: list[NextForEndpoint] = field(default_factory=lambda: [NOTHING])
    signalled: set[int] = field(default_factory=set)
    looks: list[datetime] = field(default_factory=list)
    delivered: list[tuple[str, ...]] = field(default_factory=list)

    @activity.defn(name="next_for_endpoint")
    async def next(self, order: DrainEndpointInput) -> NextForEndpoint:
        self.looks.append(activity.info().started_time)
        if len(self.looks) in self.signalled:
            await self.client.get_workflow_handle(activity.info().workflow_id or "").signal("look_again")
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    @activity.defn(name="deliver_webhooks")
    async def deliver(self, order: WebhookOrder) -> DeliveryReport:
        self.delivered.append(order.deliveries)
        return DeliveryReport(run="", counts={"delivered": len(order.deliveries)})

    async def start(self) -> WorkflowHandle[DrainEndpoint, DeliveryResult]:
        order = DrainEndpointInput(tenant="shop", endpoint="whe_1")
        return await self.client.start_workflow(
            DrainEndpoint.run, order, id=str(uuid.uuid4()), task_queue=WORKFLOWS, start_signal="look_again"
        )


@pytest.fixture(scope="module")
async def environment(quiet_exit: None) -> AsyncIterator[WorkflowEnvironment]:
    config = {
        **DYNAMIC_CONFIG,
        "frontend.WorkflowTimeSkippingEnabled": True,
        "limit.historyCount.suggestContinueAsNew": LONG,
    }
    async with await WorkflowEnvironment.start_time_skipping_v2(
        dev_server_existing_path=str(temporal_program()),
        dev_server_extra_args=dynamic_config_arguments(config),
        data_converter=DATA_CONVERTER,
    ) as environment:
        yield environment


@pytest.fixture
async def play(environment: WorkflowEnvironment) -> AsyncIterator[Play]:
    play = Play(environment.client)
    workflows = Worker(
        play.client,
        task_queue=WORKFLOWS,
        workflows=[DrainEndpoint],
        activities=[play.next],
        workflow_runner=workflow_runner(),
    )
    async with workflows, Worker(play.client, task_queue=Lane.WEBHOOKS, activities=[play.deliver]):
        yield play


async def test_nothing_waits_it_ends(play: Play) -> None:
    assert await (await play.start()).result() == DeliveryResult(counts={})
    assert not play.delivered


async def test_what_is_due_is_delivered_and_the_rest_is_slept_for_with_the_reason_to_be_read(play: Play) -> None:
    play.answers = [HOUR, NextForEndpoint(deliveries=("a", "b")), NextForEndpoint(deliveries=("c",)), NOTHING]
    handle = await play.start()
    assert await handle.result() == DeliveryResult(counts={"delivered": 3})
    assert play.delivered == [("a", "b"), ("c",)]
    assert (play.looks[1] - play.looks[0]).total_seconds() >= 3600
    summaries = [
        event.user_metadata.summary.data
        async for event in handle.fetch_history_events()
        if event.HasField("timer_started_event_attributes")
    ]
    assert summaries == [f'"{HOUR.reason}"'.encode()]


async def test_signal_that_comes_during_a_look_is_followed_by_another_look_at_once(play: Play) -> None:
    play.answers = [HOUR, NOTHING]
    play.signalled = {1, 2}
    await (await play.start()).result()
    first, _, third = play.looks
    assert (third - first).total_seconds() < 3600, "neither slept nor ended over it"


async def test_long_history_goes_on_in_another_run_and_a_signal_at_its_end_is_looked_into(play: Play) -> None:
    looks = 20
    play.answers = [*[NextForEndpoint(deliveries=(str(number),)) for number in range(looks)], NOTHING]
    handle = await play.start()
    first = handle.first_execution_run_id
    await handle.result()
    assert [one for (one,) in play.delivered] == [str(number) for number in range(looks)]
    assert (await play.client.get_workflow_handle(handle.id).describe()).run_id != first
