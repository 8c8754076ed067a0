"""From a message's change of state to the funnel, in a running product; asked over the API and the command line."""

from __future__ import annotations

from typing import Any

import httpx

from hermod.contracts.notifications.content import Email
from hermod.contracts.notifications.messages import Status
from tests.integration.api.conftest import calling
from tests.support.analytics.event_rows import arrived
from tests.support.polling import eventually
from tests.support.product import ProductFixture
from web.app import create_app


async def authorized(house: ProductFixture, client: httpx.AsyncClient) -> None:
    core, tenant = house.hermod.core, house.hermod.tenant
    key = await core.storage.tenants.create_key(tenant, "test", core.clock.now())
    client.headers["authorization"] = f"Bearer {key.key}"


async def test_messages_are_in_the_funnel_once_and_events_in_the_other_answers(house: ProductFixture) -> None:
    await house.add_account("main")
    receipt = await house.hermod.send_many(
        [Email(to=f"{name}@example.com", subject="Hello", text="Hello") for name in ("ada", "bob", "eve")],
        metadata={"campaign": "spring"},
    )
    for sent in receipt.receipts:
        await house.reached(sent.id, Status.SENT)
    await house.hermod.track("order.paid", {"plan": "pro"}, contact="customer-7")
    await arrived(house.hermod, 1)
    app = create_app(house.hermod.core.settings, hermod=house.hermod)
    async with calling(app) as client:
        await authorized(house, client)

        async def get(what: str, **asked: str) -> dict[str, Any]:
            response = await client.get(f"/v1/analytics/{what}", params=asked)
            assert response.status_code == 200, response.text
            answer: dict[str, Any] = response.json()
            return answer

        async def all_there() -> bool:
            house.hermod.core.events.look(house.hermod.tenant)
            funnel = await get("funnel", campaign="spring")
            counted = [(one["channel"], one["accepted"], one["sent"]) for one in funnel["channels"]]
            assert counted == [("email", 3, 3)], counted
            return True

        await eventually(all_there, within=30)
        assert (await get("funnel", channel="sms"))["channels"] == []
        series = await get("timeseries", type="order.*", property="plan=pro", interval="minute")
        assert (series["total"], 60 <= len(series["points"]) <= 61) == (1, True)
        assert (await get("top", by="contact"))["items"] == [{"value": "customer-7", "count": 1}]
        steps = await get("funnel", steps="order.paid,order.refunded", within="3600")
        assert [(step["type"], step["count"]) for step in steps["steps"]] == [("order.paid", 1), ("order.refunded", 0)]
