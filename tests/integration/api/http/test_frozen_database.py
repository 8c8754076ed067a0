"""A database that stands still in the middle of the traffic: every call has its answer."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any, Final

import httpx

from devstack.servers.ports import LOOPBACK, free_port
from starter import Hermod
from tests.integration.api.conftest import EMAIL, SMS, calling, new_api
from tests.support.forms.rows import add_form
from tests.support.polling import eventually
from tests.support.product import settings_for
from tests.support.proxies.postgres_proxy import PostgresProxy
from web.app import create_app

CALLS: Final[tuple[tuple[str, str, Any], ...]] = (
    ("POST", "/v1/messages", EMAIL),
    ("POST", "/v1/messages/batch", {"messages": [EMAIL, SMS]}),
    ("GET", "/v1/messages", None),
    ("GET", "/v1/messages/msg_1", None),
    ("POST", "/v1/messages/msg_1/cancel", None),
    ("GET", "/v1/provider-accounts", None),
    ("PUT", "/v1/limits", {"rate_per_second": 5}),
    ("GET", "/v1/limits", None),
    ("POST", "/v1/suppressions", {"address": "ada@example.com"}),
    ("GET", "/v1/suppressions", None),
    ("POST", "/v1/webhook-events", {"type": "a", "payload": {}}),
    ("GET", "/v1/webhook-endpoints", None),
    ("POST", "/v1/forms/order/submissions", {"data": {}}),
    ("PUT", "/v1/forms/order/partials/session-12345678", {"revision": 1, "data": {}}),
    ("POST", "/v1/events", {"type": "a"}),
    ("GET", "/v1/events/refused", None),
    ("GET", "/health", None),
    ("GET", "/metrics", None),
    ("GET", "/u/nothing", None),
    ("POST", "/ingress/stripe/none", {}),
)


async def test_database_stands_still_every_call_of_a_crowd_is_answered(
    database_url: str, database_proxy: PostgresProxy
) -> None:
    settings = settings_for(database_proxy.through(database_url), f"{LOOPBACK}:{free_port()}")
    async with AsyncExitStack() as stack:
        process = await stack.enter_async_context(await Hermod.connect(settings=settings))
        app = create_app(settings, hermod=process)
        client = await stack.enter_async_context(calling(app))
        api = await new_api(process, app, client)
        await add_form(process.core.storage.database, api.tenant)

        async def call(number: int) -> httpx.Response:
            method, path, body = CALLS[number % len(CALLS)]
            return await client.request(method, path, json=body)

        calls = [asyncio.create_task(call(number)) for number in range(4 * len(CALLS))]
        await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
        database_proxy.freeze(new=True)
        late = [asyncio.create_task(call(number)) for number in range(2 * len(CALLS))]
        try:
            answers = await asyncio.wait_for(asyncio.gather(*calls, *late), timeout=90)
        finally:
            database_proxy.thaw()
        for answered in answers[len(calls) :]:
            assert answered.status_code in (200, 400, 404, 503), answered.text
        assert {answered.status_code for answered in answers[len(calls) :]} >= {503}

        async def goes_on() -> bool:
            return (await client.get("/v1/messages")).status_code == 200

        await eventually(goes_on)
