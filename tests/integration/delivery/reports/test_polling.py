"""Expo's receipts are asked for: messages learn what became of them, and devices whose app is gone are removed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

import pytest
from sqlalchemy import text

from hermod.contracts.notifications.content import Channel, Push
from hermod.contracts.notifications.devices import PollReport
from hermod.contracts.notifications.messages import MessageView, Status
from hermod.contracts.notifications.receipts import ReceiptEventType
from tests.support.polling import eventually
from tests.support.product import ProductFixture

AWAY: Final = "http://127.0.0.1:9/expo"

_AGE: Final = text("""
    UPDATE messages SET finished_at = finished_at - CAST(:age AS interval)
     WHERE tenant_id = :tenant AND finished_at IS NOT NULL
""")


async def pushed(house: ProductFixture, to: str) -> MessageView:
    """A message that Expo has taken."""
    receipt = await house.hermod.send(Push(to=to, title="Hello"))
    return await house.reached(receipt.id, Status.SENT)


async def age(house: ProductFixture, by: timedelta) -> None:
    """Let the messages that were sent have been sent earlier."""
    await house.hermod.core.storage.database.execute(_AGE, {"tenant": house.hermod.tenant, "age": by})


async def poll(house: ProductFixture) -> PollReport:
    """One round, over all tenants of this run."""
    handle = await house.client.start_workflow(
        "PollReceipts", id=f"poll-{house.hermod.tenant}", task_queue="hermod", result_type=PollReport
    )
    report: PollReport = await handle.result()
    return report


@pytest.fixture
async def expo(house: ProductFixture) -> ProductFixture:
    await house.add_account("main", channel=Channel.PUSH, provider="expo", credentials={"access_token": "token"})
    return house


async def test_receipt_of_a_message_sent_a_while_ago_is_asked_for_and_kept(expo: ProductFixture) -> None:
    sent = await pushed(expo, "ExponentPushToken[ada]")
    await age(expo, timedelta(minutes=20))
    assert (await poll(expo)).told >= 1
    view = await expo.hermod.status(sent.id)
    assert (view.status, [one.kind for one in view.receipts]) == (Status.SENT, [ReceiptEventType.ACCEPTED])


@pytest.mark.parametrize("since", [timedelta(minutes=5), timedelta(hours=30)])
async def test_receipt_of_a_message_too_young_or_too_old_is_not_asked_for(
    expo: ProductFixture, since: timedelta
) -> None:
    sent = await pushed(expo, "ExponentPushToken[ada]")
    await age(expo, since)
    await poll(expo)
    assert (await expo.hermod.status(sent.id)).receipts == ()


async def test_receipt_is_asked_for_once(expo: ProductFixture) -> None:
    sent = await pushed(expo, "ExponentPushToken[ada]")
    await age(expo, timedelta(minutes=20))
    await poll(expo)
    before = (await expo.hermod.status(sent.id)).receipts
    assert (await waiting(expo)) == []
    await poll(expo)
    assert (await expo.hermod.status(sent.id)).receipts == before


async def waiting(house: ProductFixture) -> list[str]:
    """What is still to be asked for."""
    core = house.hermod.core
    pages = [page async for page in core.storage.unanswered.pages(core.clock.now())]
    return [theirs for page in pages for one in page if one.tenant == house.hermod.tenant for theirs in one.theirs]


async def test_receipt_says_that_the_app_is_gone_the_device_is_removed_and_the_token_suppressed(
    expo: ProductFixture,
) -> None:
    devices, now = expo.hermod.core.storage.devices, expo.hermod.core.clock.now()
    gone, alive = "ExponentPushToken[uninstalled:1]", "ExponentPushToken[bob]"
    for token in (gone, alive):
        await devices.register(expo.hermod.tenant, "ada", token, now - timedelta(days=1))
    receipt = await expo.hermod.send(Push(to="ada", title="Hello"))
    for one in (receipt.id, *receipt.also):
        await expo.reached(one, Status.SENT)
    await age(expo, timedelta(minutes=20))
    await poll(expo)
    assert await devices.tokens(expo.hermod.tenant, "ada") == [alive]
    views = {view.to: view for view in [await expo.hermod.status(one) for one in (receipt.id, *receipt.also)]}
    assert (views[gone].status, views[alive].status) == (Status.BOUNCED, Status.SENT)
    again = await expo.hermod.send(Push(to=gone, title="Hello"))
    assert (await expo.ended(again.id)).status is Status.SUPPRESSED


async def test_app_that_came_back_after_the_message_keeps_its_device(expo: ProductFixture) -> None:
    devices, token = expo.hermod.core.storage.devices, "ExponentPushToken[uninstalled:2]"
    await pushed(expo, token)
    await age(expo, timedelta(minutes=20))
    await devices.register(expo.hermod.tenant, "ada", token, expo.hermod.core.clock.now())
    await poll(expo)
    assert await devices.tokens(expo.hermod.tenant, "ada") == [token]


async def test_account_that_gives_no_answer_is_asked_again_in_the_next_round(expo: ProductFixture) -> None:
    sent = await pushed(expo, "ExponentPushToken[ada]")
    await age(expo, timedelta(minutes=20))
    settings: dict[str, Any] = {"provider": "expo", "credentials": {"access_token": "token"}}
    await expo.add_account("main", channel=Channel.PUSH, base_url=AWAY, **settings)
    report = await poll(expo)
    assert report.failed >= 1
    await expo.add_account("main", channel=Channel.PUSH, **settings)

    async def told() -> bool:
        await poll(expo)
        return bool((await expo.hermod.status(sent.id)).receipts)

    await eventually(told, within=20)
