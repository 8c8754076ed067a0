"""Temporal is away, says nothing, or has no worker: what a call has done to the record decides its answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

import pytest

from devstack.servers.ports import LOOPBACK, free_port
from hermod.contracts.notifications.messages import Status
from hermod.contracts.webhooks.deliveries import EndpointSettings, Ordering, ReplayInput, ReplayStatus
from starter import Hermod
from starter.webhooks.endpoints import create_endpoint
from starter.webhooks.replays import replay
from tests.integration.api.conftest import Api, calling, new_api
from tests.support.polling import eventually
from tests.support.product import settings_for
from web.app import create_app

SIGNUP = {"name": "Sign up", "schema": {"type": "object"}}


@asynccontextmanager
async def silent_server() -> AsyncIterator[str]:
    """The address of a server that takes connections and says nothing, as one whose machine hangs."""
    over = asyncio.Event()

    async def say_nothing(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await over.wait()
        writer.close()

    server = await asyncio.start_server(say_nothing, LOOPBACK)
    yield f"{LOOPBACK}:{server.sockets[0].getsockname()[1]}"
    over.set()
    server.close()
    await server.wait_closed()


@asynccontextmanager
async def api_over(database_url: str, temporal: str) -> AsyncIterator[Api]:
    settings = settings_for(database_url, temporal)
    async with AsyncExitStack() as stack:
        process = await stack.enter_async_context(await Hermod.connect(settings=settings))
        app = create_app(settings, hermod=process)
        client = await stack.enter_async_context(calling(app))
        yield await new_api(process, app, client)


@pytest.fixture(params=["away", "silent"])
async def api(request: pytest.FixtureRequest, database_url: str) -> AsyncIterator[Api]:
    """An API whose Temporal refuses connections, or takes them and says nothing."""
    async with AsyncExitStack() as stack:
        address = f"{LOOPBACK}:{free_port()}"
        if request.param == "silent":
            address = await stack.enter_async_context(silent_server())
        yield await stack.enter_async_context(api_over(database_url, address))


async def emitted(api: Api, **settings: object) -> str:
    """The id of the delivery of an event."""
    await create_endpoint(api.hermod, EndpointSettings(url="http://127.0.0.1:9/", **settings))  # type: ignore[arg-type]
    key = "k" if settings else None
    receipt = await api.hermod.emit("order.paid", {}, ordering_key=key)
    return receipt.deliveries[0].id


async def cancelled(api: Api, path: str) -> None:
    response = await api.client.post(f"{path}/cancel")
    assert (response.status_code, response.json()["status"]) == (202, "cancelled")
    assert (await api.client.get(path)).json()["status"] == "cancelled"


async def test_temporal_gives_no_answer_cancelling_answers_what_the_record_says(api: Api) -> None:
    message, delivery, ordered = await api.sent(), await emitted(api), await emitted(api, ordering=Ordering.BY_KEY)
    await cancelled(api, f"/v1/messages/{message}")
    await cancelled(api, f"/v1/webhook-deliveries/{delivery}")
    await cancelled(api, f"/v1/webhook-deliveries/{ordered}")


async def test_temporal_gives_no_answer_what_is_accepted_is_pending(api: Api) -> None:
    message, delivery = await api.sent(), await emitted(api)
    await api.client.put("/v1/forms/signup", json=SIGNUP)
    submission = (await api.client.post("/v1/forms/signup/submissions", json={"data": {}})).json()
    partial = await api.client.put("/v1/forms/signup/partials/session-1", json={"revision": 1, "data": {}})
    events = await api.client.post("/v1/events", json={"type": "page.viewed"})
    assert (submission["status"], partial.status_code, events.status_code) == ("pending", 202, 202)
    await api.hermod.core.coalescer.drain()
    await api.hermod.core.webhooks.drain()
    await api.hermod.core.submissions.drain()
    assert (await api.client.get(f"/v1/messages/{message}")).json()["status"] == "pending"
    assert (await api.client.get(f"/v1/webhook-deliveries/{delivery}")).json()["status"] == "pending"
    assert (await api.client.get(f"/v1/submissions/{submission['id']}")).json()["status"] == "pending"


async def test_temporal_gives_no_answer_a_retry_and_a_replay_are_taken_and_begin_later(api: Api) -> None:
    message, delivery = await api.sent(), await emitted(api)
    await api.put_into(message, Status.FAILED)
    await cancelled(api, f"/v1/webhook-deliveries/{delivery}")
    endpoint = (await api.client.get(f"/v1/webhook-deliveries/{delivery}")).json()["endpoint_id"]
    since = api.hermod.core.clock.now() - timedelta(hours=1)
    *retried, begun = await asyncio.gather(
        api.client.post(f"/v1/messages/{message}/retry"),
        api.client.post(f"/v1/webhook-deliveries/{delivery}/retry"),
        replay(api.hermod, endpoint, ReplayInput(since=since)),
    )
    assert [(one.status_code, one.json()["status"]) for one in retried] == [(202, "pending")] * 2
    assert begun.status is ReplayStatus.RUNNING


async def test_temporal_gives_no_answer_health_says_so_and_answers(api: Api) -> None:
    response = await api.client.get("/health")
    report = response.json()
    assert (response.status_code, report["status"], report["temporal"]["ok"]) == (503, "degraded", False)
    assert report["database"]["ok"]


async def test_no_worker_takes_up_a_cancellation_it_answers_what_the_record_says(
    database_url: str, idle_temporal: str
) -> None:
    """Temporal holds the call until a worker takes it up."""
    async with api_over(database_url, idle_temporal) as api:
        message, delivery = await api.sent(), await emitted(api)
        for path in (f"/v1/messages/{message}", f"/v1/webhook-deliveries/{delivery}"):

            async def queued(path: str = path) -> bool:
                return bool((await api.client.get(path)).json()["status"] == "queued")

            await eventually(queued)
            await cancelled(api, path)
