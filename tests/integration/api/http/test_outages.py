"""A server of ours is away: without the database 503 and nothing half-done, without Temporal business as usual."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace

import pytest
from pydantic import SecretStr

from devstack.servers.ports import free_port
from hermod.bootstrap import open_analytics
from hermod.contracts.errors import Unavailable
from hermod.contracts.notifications.messages import Status
from starter import Hermod
from tests.integration.api.conftest import EMAIL, SMS, Api, assert_problem, calling, new_api
from tests.integration.api.reporting import call, give_secret, make
from tests.support.forms.rows import add_form
from tests.support.polling import eventually
from tests.support.product import NOWHERE, ProductFixture, settings_for
from tests.support.proxies.postgres_proxy import PostgresProxy
from web.app import create_app

ACCOUNT = {"channel": "email", "provider": "sandbox", "credentials": {"api_key": "k"}, "base_url": "http://127.0.0.1:9"}


@dataclass(frozen=True)
class Proxied:
    api: Api
    database: PostgresProxy

    async def back(self) -> None:
        """Let the database be there again, and wait until connections that were cut are noticed."""
        await self.database.accept()

        async def answers() -> bool:
            try:
                await self.api.stored()
            except Unavailable:
                return False
            return True

        await eventually(answers)


@pytest.fixture
async def proxied(database_url: str, database_proxy: PostgresProxy) -> AsyncIterator[Proxied]:
    """The API with a proxy in front of its database."""
    settings = settings_for(database_proxy.through(database_url), f"127.0.0.1:{free_port()}")
    async with AsyncExitStack() as stack:
        process = await stack.enter_async_context(await Hermod.connect(settings=settings))
        app = create_app(settings, hermod=process)
        client = await stack.enter_async_context(calling(app))
        yield Proxied(await new_api(process, app, client), database_proxy)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/messages", EMAIL),
        ("POST", "/v1/messages/batch", {"messages": [EMAIL, SMS]}),
        ("GET", "/v1/messages", None),
        ("GET", "/v1/messages/msg_1", None),
        ("POST", "/v1/messages/msg_1/cancel", None),
        ("PUT", "/v1/provider-accounts/new", ACCOUNT),
        ("GET", "/v1/provider-accounts", None),
        ("POST", "/v1/suppressions", {"address": "ada@example.com"}),
        ("GET", "/v1/suppressions", None),
    ],
)  # fmt: skip
async def test_database_goes_away_calls_are_unavailable_and_nothing_is_stored(
    proxied: Proxied, method: str, path: str, body: object
) -> None:
    proxied.database.shut()
    response = await proxied.api.client.request(method, path, json=body)
    assert_problem(response, 503, "unavailable")
    assert int(response.headers["retry-after"]) >= 1
    await proxied.back()
    assert await proxied.api.stored() == 0


async def test_database_comes_back_the_repeated_call_is_taken_once(proxied: Proxied) -> None:
    proxied.database.shut()
    assert (await proxied.api.send(EMAIL, idempotency_key="k")).status_code == 503
    await proxied.back()
    assert (await proxied.api.send(EMAIL, idempotency_key="k")).status_code == 202
    assert (await proxied.api.send(EMAIL, idempotency_key="k")).status_code == 202
    assert await proxied.api.stored() == 1


async def test_database_goes_away_a_report_is_repeated_by_its_provider_and_taken_then(proxied: Proxied) -> None:
    await give_secret(proxied.api)
    report = call(proxied.api)
    proxied.database.shut()
    assert_problem(await make(proxied.api, report), 503, "unavailable")
    await proxied.back()
    assert (await make(proxied.api, report)).status_code == 200
    assert len(await proxied.api.rows("SELECT 1 FROM receipts WHERE tenant_id = :tenant")) == 1


async def test_database_goes_away_under_load_answers_are_true(proxied: Proxied) -> None:
    async def call(number: int) -> tuple[str, int]:
        response = await proxied.api.send(SMS, idempotency_key=f"k{number}")
        return f"k{number}", response.status_code

    calls = [asyncio.create_task(call(number)) for number in range(200)]
    await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
    proxied.database.shut()
    answers = dict(await asyncio.gather(*calls))
    assert set(answers.values()) <= {202, 503}
    await proxied.back()
    stored = {row.key for row in await proxied.api.rows("SELECT key FROM idempotency_keys")}
    assert {key for key, status in answers.items() if status == 202} - stored == set()
    again = dict(await asyncio.gather(*(call(number) for number in range(200))))
    assert set(again.values()) == {202}
    assert await proxied.api.stored() == 200


async def test_database_is_away_at_the_start_it_starts_all_the_same() -> None:
    url = f"postgresql://nobody:nothing@127.0.0.1:{free_port()}/nowhere"
    app = create_app(settings_for(url, f"127.0.0.1:{free_port()}"))
    async with app.router.lifespan_context(app), calling(app) as client:
        client.headers["authorization"] = "Bearer hk_0123456789ab_aaaaaaaaaaaaaaaaaaaaaaaa"
        assert_problem(await client.post("/v1/messages", json=EMAIL), 503, "unavailable")
        health = await client.get("/health")
        assert (health.status_code, health.json()["status"]) == (503, "down")
        assert (await client.get("/docs")).status_code == 200


@pytest.mark.parametrize(
    ("path", "body", "statement", "table"),
    [
        ("/v1/messages", EMAIL, "INSERT INTO messages", "messages"),
        ("/v1/messages/batch", {"messages": [EMAIL]}, "INSERT INTO messages", "messages"),
        ("/v1/webhook-events", {"type": "a", "payload": {}}, "INSERT INTO webhook_events", "webhook_events"),
        ("/v1/forms/order/submissions", {"data": {}}, "COMMIT", "form_submissions"),
        ("/v1/events", {"type": "a"}, "INSERT INTO event_batches", "event_batches"),
    ],
    ids=["message", "batch", "webhook-event", "submission", "event"],
)
@pytest.mark.parametrize("stays_away", [False, True])
async def test_answer_of_the_database_is_lost_the_call_is_taken_once_or_told_the_truth(
    proxied: Proxied, path: str, body: object, statement: str, table: str, stays_away: bool
) -> None:
    await add_form(proxied.api.hermod.core.storage.database, proxied.api.tenant)
    lost = proxied.database.cut_after_commit(statement, and_refuse=stays_away)
    response = await proxied.api.client.post(path, json=body)
    assert lost.matched
    if stays_away:
        assert_problem(response, 503, "maybe-stored")
        assert "may be stored" in response.json()["detail"]
        await proxied.back()
    else:
        assert response.status_code == 202, response.text
    assert len(await proxied.api.rows(f"SELECT 1 FROM {table} WHERE tenant_id = :tenant")) == 1


async def test_database_cannot_be_reached_it_is_said_that_nothing_was_stored(proxied: Proxied) -> None:
    proxied.database.shut()
    response = await proxied.api.send(EMAIL)
    assert "nothing was stored" in response.json()["detail"]
    await proxied.back()


async def test_answer_to_a_move_is_lost_it_is_said_that_it_may_be_done(proxied: Proxied) -> None:
    message = await proxied.api.sent()
    proxied.database.cut_after_commit("UPDATE messages SET status = 'cancelled'")
    response = await proxied.api.client.post(f"/v1/messages/{message}/cancel")
    assert_problem(response, 503, "maybe-stored")
    assert "look at the record" in response.json()["detail"]
    assert (await proxied.api.client.get(f"/v1/messages/{message}")).json()["status"] == "cancelled"


async def test_database_goes_away_after_a_move_the_move_has_its_answer(proxied: Proxied) -> None:
    message = await proxied.api.sent()
    await proxied.api.put_into(message, Status.FAILED)
    lost = proxied.database.cut_after_commit("FROM attempts")
    response = await proxied.api.client.post(f"/v1/messages/{message}/retry")
    assert lost.matched
    assert (response.status_code, response.json()["status"]) == (202, "pending"), response.text


async def test_temporal_is_away_messages_are_taken_and_wait(api: Api) -> None:
    message = await api.sent()
    story = (await api.client.get(f"/v1/messages/{message}")).json()
    assert story["status"] == "pending"
    assert (await api.client.post(f"/v1/messages/{message}/cancel")).status_code == 202


async def test_everything_is_up_a_message_arrives_and_health_is_ok(house: ProductFixture) -> None:
    await house.add_account("main")
    core = house.hermod.core
    key = await core.storage.tenants.create_key(house.hermod.tenant, "test", core.clock.now())
    app = create_app(core.settings, hermod=Hermod(core, "default", "web"))
    async with calling(app) as client:
        client.headers["authorization"] = f"Bearer {key.key}"
        response = await client.post("/v1/messages", json=EMAIL, headers={"x-request-id": "the-request"})
        message = response.json()["id"]
        await house.reached(message, Status.SENT)
        story = (await client.get(f"/v1/messages/{message}")).json()
        assert [one["outcome"] for one in story["attempts"]] == ["accepted"]
        assert (story["request_id"], story["provider"]) == ("the-request", "sandbox")
        description = await house.client.get_workflow_handle(story["workflow_id"]).describe()
        assert await description.memo_value("request_id") == "the-request"

        async def healthy() -> bool:
            response = await client.get("/health")
            assert (response.status_code, response.json()["status"]) == (200, "ok"), response.text
            return True

        assert await eventually(healthy)
        assert (await client.get("/queue/health")).status_code == 200
        assert (await client.get("/api/v1/workers/health")).status_code == 200


async def test_clickhouse_is_away_everything_else_goes_on_and_health_says_so(house: ProductFixture) -> None:
    core = house.hermod.core
    settings = core.settings.model_copy(update={"clickhouse_url": SecretStr(NOWHERE)})
    async with open_analytics(settings, core.storage.database) as analytics:
        app = create_app(settings, hermod=Hermod(replace(core, analytics=analytics), "default", "web"))
        async with calling(app) as client:

            async def found() -> bool:
                report = (await client.get("/health")).json()
                parts = (report["status"], report["clickhouse"]["ok"], report["workers"]["ok"])
                assert parts == ("degraded", False, True), report
                assert NOWHERE in report["clickhouse"]["detail"]
                return True

            assert await eventually(found)


async def test_clickhouse_is_not_set_for_the_web_health_and_questions_say_what_to_set(house: ProductFixture) -> None:
    """The engine inside a process belongs to the worker: a web that opened it would keep events from being stored."""
    core = house.hermod.core
    settings = core.settings.model_copy(update={"clickhouse_url": None})
    async with open_analytics(settings, core.storage.database) as analytics:
        app = create_app(settings, hermod=Hermod(replace(core, analytics=analytics), "default", "web"))
        async with calling(app) as client:
            report = (await client.get("/health")).json()
        with pytest.raises(Unavailable, match="CLICKHOUSE_URL is not set"):
            await analytics.clickhouse.rows("SELECT 1")
    assert (report["status"], report["clickhouse"]["ok"]) == ("degraded", False)
    assert "CLICKHOUSE_URL is not set" in report["clickhouse"]["detail"]
