"""SIGKILL to a worker: nothing is lost, nothing arrives twice in silence, and the log says what happened."""

from __future__ import annotations

import httpx
from temporalio.client import WorkflowExecutionStatus

from hermod.contracts.notifications.content import Email
from hermod.contracts.notifications.messages import Guarantee, Outcome, Status
from tests.faults.conftest import Scene
from tests.support.polling import eventually
from web.app import create_app

MESSAGES = 10_000
LETTER = Email(to="ada@example.com", subject="Hello", text="Hello")


async def test_worker_killed_half_way_through_batches_every_message_arrives_exactly_once(scene: Scene) -> None:
    await scene.add_sandbox_account()
    worker = await scene.cluster.start_worker()
    key = await scene.house.hermod.core.storage.tenants.create_key(
        scene.house.hermod.tenant, "test", scene.house.hermod.core.clock.now()
    )
    accepted = []
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(create_app(scene.cluster.settings, hermod=scene.house.hermod)),
        base_url="http://hermod",
        headers={"authorization": f"Bearer {key.key}"},
    ) as api:
        for half in range(2):
            numbers = range(half * MESSAGES // 2, (half + 1) * MESSAGES // 2)
            letters = [
                {"channel": "email", "to": f"user{number}@example.com", "subject": f"Order {number}", "text": "Thanks"}
                for number in numbers
            ]
            answer = await api.post("/v1/messages/batch", json={"messages": letters}, timeout=30)
            assert answer.status_code == 202
            accepted.append(answer.json()["accepted"])

    async def half_way() -> bool:
        return (await scene.counted()).get("sent", 0) > MESSAGES // 3

    await eventually(half_way, within=30)
    worker.kill()
    await worker.until_exit()
    interrupted = await scene.counted()
    assert interrupted["sent"] < MESSAGES
    await scene.cluster.start_worker()

    async def all_sent() -> bool:
        counted = await scene.counted()
        assert counted == {"sent": MESSAGES}, counted
        return True

    await eventually(all_sent, within=60, every=0.2)
    received = await scene.received("sandbox")
    assert len(received) == MESSAGES
    assert set(received.values()) == {1}

    async def all_closed() -> bool:
        # The list is a little behind what it lists.
        found = [workflow async for workflow in scene.temporal.list_workflows("WorkflowType = 'SendBatch'")]
        return {workflow.status for workflow in found} == {WorkflowExecutionStatus.COMPLETED}

    await eventually(all_closed, within=30)


async def test_worker_killed_in_mid_request_is_taken_over_and_the_attempt_is_unknown(scene: Scene) -> None:
    await scene.add_sandbox_account(provider="sendgrid")
    await scene.fault("sendgrid", fault="slow", delay=25, times=2)
    worker = await scene.cluster.start_worker()
    again = await scene.house.hermod.send(LETTER)
    once = await scene.house.hermod.send(LETTER, guarantee=Guarantee.AT_MOST_ONCE)
    for receipt in (again, once):
        await scene.house.reached(receipt.id, Status.SENDING)

    async def both_requests_are_under_way() -> bool:
        async with httpx.AsyncClient(base_url=scene.cluster.sandbox.url) as sandbox:
            stats = (await sandbox.get("/_sandbox/stats")).json()
        return bool(stats["sendgrid"]["faults"] == 2)

    await eventually(both_requests_are_under_way)
    worker.kill()
    await scene.cluster.start_worker()
    sent = await scene.house.reached(again.id, Status.SENT)
    unknown = await scene.house.reached(once.id, Status.UNKNOWN)
    assert [attempt.outcome for attempt in sent.attempts] == [Outcome.UNKNOWN, Outcome.ACCEPTED]
    assert [attempt.outcome for attempt in unknown.attempts] == [Outcome.UNKNOWN]
    assert sent.attempts[0].error_code == "worker_lost"
