"""Connections of a worker or of the web are cut, fall silent, or are away for a while, in the middle of messages: what
is known comes on record, and only what nobody can know is called unknown.

One product for all of these tests, with a tenant for each. The provider does not recognise a repeat.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import httpx
import pytest

from activities.dispatch.recording import RECORD_WAITS
from hermod.contracts.notifications.content import Channel
from hermod.contracts.notifications.messages import Guarantee, Status
from hermod.contracts.notifications.receipts import ReceiptEventType
from hermod.ports.notifications.receipts import Event
from tests.faults.conftest import Scene
from tests.faults.messages import SLOW, Batch, CutOff, behind_proxies, holder, send
from tests.support.lost_workers import miss_worker
from tests.support.polling import eventually
from tests.support.proxies.postgres_proxy import PostgresProxy

ONCE = Guarantee.AT_MOST_ONCE
ACCEPTED = ("accepted",)


@pytest.fixture
async def two(slow: Scene) -> AsyncIterator[list[CutOff]]:
    """The only two workers, each behind proxies of its own."""
    await slow.no_worker()
    async with behind_proxies(slow) as one, behind_proxies(slow) as other:
        yield [one, other]


@asynccontextmanager
async def calling(scene: Scene, database: PostgresProxy) -> AsyncIterator[httpx.AsyncClient]:
    """A caller of the API of a web process whose database is behind the proxy."""
    hermod = scene.house.hermod
    core = hermod.core
    key = (await core.storage.tenants.create_key(hermod.tenant, "test", core.clock.now())).key
    url = database.through(core.settings.database_url.get_secret_value())
    web = await scene.cluster.start_web(environment={"DATABASE_URL": url})
    try:
        headers = {"authorization": f"Bearer {key}"}
        async with httpx.AsyncClient(base_url=web.url, headers=headers, timeout=15) as client:
            yield client
    finally:
        web.child.kill()
        await web.child.until_exit()


async def post(client: httpx.AsyncClient) -> str:
    """The id of an accepted message."""
    letter = {"channel": "email", "to": "ada@example.com", "subject": "Hello", "text": "Hello"}
    answer = await client.post("/v1/messages", json=letter)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


async def worker_has_heard_of_it(scene: Scene, batch: Batch) -> None:
    """Wait until the worker was told of a cancellation, with the answer to a heartbeat, or the activity has ended."""
    asked_at = datetime.now(UTC)

    async def heard() -> bool:
        description = await scene.temporal.get_workflow_handle(batch.workflow_id).describe()
        pending = description.raw_description.pending_activities
        return all(one.last_heartbeat_time.ToDatetime(UTC) > asked_at for one in pending)

    await eventually(heard)


async def test_answer_to_the_intent_is_lost_the_request_is_made_once(slow: Scene, apart: CutOff) -> None:
    """The connection is cut when the intents are committed, and before the worker knows: they were not made, which the
    next try hears, so an at_most_once message is sent and not called unknown.
    """
    lost = apart.database.cut_after_commit("INSERT INTO attempts")
    batch = await send(slow, 5, guarantee=ONCE)
    await lost.fired()
    await batch.ends_as({"sent": 5})
    assert ("transient", "accepted") in await batch.outcomes()
    await batch.was_accepted_once()
    assert await batch.repeated() == []


async def test_batch_is_cancelled_while_outcomes_wait_to_be_recorded_they_are_recorded(
    slow: Scene, apart: CutOff
) -> None:
    """The batch is cancelled in Temporal in mid-request, and the database does not take the outcomes at first. There is
    no next try that could be told: the worker keeps what it knows until it is on record.
    """
    await slow.fault(SLOW, fault="slow", delay=14)
    refused = apart.database.cut_before("UPDATE attempts", times=1_000)
    batch = await send(slow, 3, guarantee=ONCE)
    await batch.arrived(3)
    await slow.temporal.get_workflow_handle(batch.workflow_id).cancel()
    await worker_has_heard_of_it(slow, batch)
    assert not refused.matched, "the provider answered too early"
    # A dispatch that is followed by another one tries four times, and hands its outcomes on.
    await eventually(lambda: len(refused.matched) > len(RECORD_WAITS) + 1, within=60)
    refused.end()
    await batch.ends_as({"sent": 3})
    assert await batch.outcomes() == {ACCEPTED: 3}
    assert await batch.closed() is not None


async def test_connections_fall_silent_calls_are_answered_and_messages_sent_over_new_ones(
    slow: Scene, apart: CutOff
) -> None:
    """All connections of the web and of the worker to the database become black holes, and new ones work. Both give
    them up by themselves: callers have their answer, and what they were told is taken is sent.
    """
    async with calling(slow, apart.database) as client:
        first = await post(client)
        await slow.house.reached(first, Status.SENT)
        apart.database.freeze()
        accepted = [await post(client) for _ in range(4)]
        for message in accepted:
            await slow.house.reached(message, Status.SENT, within=60)
        assert await slow.requests(SLOW, [first, *accepted]) == dict.fromkeys([first, *accepted], 1)


async def test_answer_to_the_acceptance_is_lost_the_caller_hears_that_it_is_taken_and_it_is_sent_once(
    slow: Scene, apart: CutOff
) -> None:
    """The connection of the web is cut when a message is committed, and before the web knows. It asks again under the
    same id, so that the caller, who has no key, does not send it a second time.
    """
    async with calling(slow, apart.database) as client:
        lost = apart.database.cut_after_commit("INSERT INTO messages")
        message = await post(client)
        await lost.fired()
        await slow.house.reached(message, Status.SENT)
        assert await slow.counted() == {"sent": 1}
        assert await slow.requests(SLOW, [message]) == {message: 1}


async def test_outcome_comes_after_it_was_called_unknown_the_message_moves_on(slow: Scene, two: list[CutOff]) -> None:
    """A worker loses both servers in mid-request, and another one takes over and has to call the request unknown. Then
    the first one is back, with the answer: the message is sent, and a report by the provider's id finds it.
    """
    await slow.fault(SLOW, fault="slow", delay=14)
    batch = await send(slow, guarantee=ONCE)
    await batch.arrived(1)
    pid = await holder(slow, batch.workflow_id)
    (lost,) = [one for one in two if one.worker.pid == pid]
    lost.leave()
    await miss_worker(slow.temporal, [batch.workflow_id])
    await batch.ends_as({"unknown": 1})
    await lost.come_back()
    await batch.ends_as({"sent": 1})
    view = await slow.house.hermod.status(batch.ids[0])
    assert [attempt.outcome for attempt in view.attempts] == ["accepted"]
    assert view.provider_message_id is not None
    assert "late" in [decision.kind for decision in view.decisions]
    core = slow.house.hermod.core
    told = Event(
        id="1", kind=ReceiptEventType.DELIVERED, word="delivered", provider_message_id=view.provider_message_id
    )
    await core.storage.receipts.take(slow.house.hermod.tenant, "main", Channel.EMAIL, [told], core.clock.now())
    await slow.house.reached(batch.ids[0], Status.DELIVERED)
    assert await batch.repeated() == []
