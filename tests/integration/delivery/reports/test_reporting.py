"""From the request to what became of it: a provider's reports, over HTTP, about messages that were really sent."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from devstack.sandbox.entry import Entry
from devstack.sandbox.fault import FaultName
from devstack.sandbox.faults import FaultOrder
from devstack.sandbox.inbox import Filter
from devstack.sandbox.providers.contract import Call, Target
from devstack.sandbox.providers.sandbox import SandboxProvider
from hermod.contracts.notifications.content import Channel, Email, Sms
from hermod.contracts.notifications.messages import Category, Guarantee, MessageView, Outcome, Status
from hermod.contracts.notifications.outcomes import OutcomeUnknown
from starter.temporal import schedules
from tests.integration.api.conftest import calling
from tests.support.product import ProductFixture
from web.app import create_app

SECRET = {"api_key": "key", "webhook_secret": "shared-with-the-sandbox"}
NUMBER = "+14155550100"
LETTER = Email(to="ada@example.com", subject="Hello", text="Hello")


@dataclass(frozen=True)
class Exchange:
    """A tenant whose provider is the sandbox, and the web to which the sandbox reports."""

    house: ProductFixture
    web: httpx.AsyncClient

    def entries(self, message: str) -> list[Entry]:
        assert self.house.sandbox is not None
        return self.house.sandbox.inbox.find(Filter(message_id=message), 9)[0]

    def call(self, message: str, happening: str, words: str = "STOP") -> Call:
        """The sandbox's call about the message that it has."""
        (entry, *_) = self.entries(message)
        account = "mail" if entry.channel == "email" else "texts"
        url = f"http://hermod.test/ingress/receipts/sandbox/{self.house.hermod.tenant}/{account}"
        made = SandboxProvider().report(entry, happening, Target(url, SECRET, datetime.now(UTC), words=words))
        assert made is not None
        return made

    async def make(self, call: Call) -> int:
        return (await self.web.request(call.method, call.path, headers=call.headers, content=call.body)).status_code

    async def report(self, message: str, *happenings: str, words: str = "STOP") -> MessageView:
        for happening in happenings:
            assert await self.make(self.call(message, happening, words)) == 200
        return await self.house.hermod.status(message)

    async def sent(self, content: Email | Sms = LETTER, **options: Any) -> str:
        receipt = await self.house.hermod.send(content, **options)
        assert (await self.house.ended(receipt.id)).status is Status.SENT
        return receipt.id

    async def outcome(self, content: Email | Sms = LETTER, **options: Any) -> Status:
        receipt = await self.house.hermod.send(content, **options)
        return (await self.house.ended(receipt.id)).status


@pytest.fixture
async def exchange(house: ProductFixture) -> AsyncIterator[Exchange]:
    await house.add_account("mail", credentials=SECRET)
    await house.add_account("texts", channel=Channel.SMS, credentials=SECRET)
    async with calling(create_app(house.hermod.core.settings, hermod=house.hermod)) as client:
        yield Exchange(house, client)


async def test_message_is_delivered_and_opened_tells_its_story(exchange: Exchange) -> None:
    view = await exchange.report(await exchange.sent(), "accepted", "delivered", "opened")
    assert view.status is Status.DELIVERED
    assert [one.word for one in view.receipts] == ["message.sent", "message.delivered", "message.opened"]
    assert [(one.kind, one.verdict) for one in view.decisions][-1] == ("receipt", "delivered")


async def test_reports_out_of_order_and_repeated_end_alike(exchange: Exchange) -> None:
    message = await exchange.sent()
    calls = [exchange.call(message, happening) for happening in ("complained", "delivered", "accepted")]
    for call in [*calls, *reversed(calls)]:
        assert await exchange.make(call) == 200
    view = await exchange.house.hermod.status(message)
    assert (view.status, len(view.receipts)) == (Status.COMPLAINED, 3)


async def test_hard_bounce_suppresses_the_next_message(exchange: Exchange) -> None:
    view = await exchange.report(await exchange.sent(), "bounced")
    assert (view.status, view.error_code) == (Status.BOUNCED, "no_such_mailbox")
    assert view.error is not None
    assert "ada@" not in view.error
    assert await exchange.outcome() is Status.SUPPRESSED
    assert await exchange.outcome(LETTER.model_copy(update={"to": "bob@example.com"})) is Status.SENT


async def test_stop_and_start_decide_over_the_next_texts(exchange: Exchange) -> None:
    text = Sms(to=NUMBER, body="Hello")
    message = await exchange.sent(text)
    view = await exchange.report(message, "inbound", words=" Stop. ")
    assert (view.status, view.receipts) == (Status.SENT, ())
    assert await exchange.outcome(text) is Status.SUPPRESSED
    await exchange.report(message, "inbound", words="thanks")
    assert await exchange.outcome(text) is Status.SUPPRESSED
    await exchange.report(message, "inbound", words="START")
    assert await exchange.outcome(text) is Status.SENT


async def test_unsubscribed_mail_still_carries_receipts(exchange: Exchange) -> None:
    await exchange.report(await exchange.sent(category=Category.MARKETING), "unsubscribed")
    assert await exchange.outcome(category=Category.MARKETING) is Status.SUPPRESSED
    assert await exchange.outcome() is Status.SENT


async def test_report_ends_the_retries_of_a_message_that_the_provider_had_taken(exchange: Exchange) -> None:
    """The connection broke after the provider took it. Its word comes before the retry: nothing is sent again."""
    house = exchange.house
    assert house.sandbox is not None
    to = f"{house.hermod.tenant}@example.com"
    house.sandbox.faults.set("sandbox", FaultOrder(fault=FaultName.ACCEPT_THEN_RESET, times=1, to=to))
    receipt = await house.hermod.send(LETTER.model_copy(update={"to": to}))
    waiting = await house.reached(receipt.id, Status.RETRYING)
    assert [one.outcome for one in waiting.attempts] == [Outcome.UNKNOWN]
    view = await exchange.report(receipt.id, "delivered")
    assert (view.status, view.next_attempt_at, view.error) == (Status.DELIVERED, None, None)
    ended = await house.client.get_workflow_handle(receipt.workflow_id).result()
    assert ended["counts"] == {"delivered": 1}
    assert len((await house.hermod.status(receipt.id)).attempts) == 1
    assert [entry.repeats for entry in exchange.entries(receipt.id)] == [0]


async def test_report_settles_a_message_whose_outcome_nobody_knew(skipping: ProductFixture) -> None:
    await skipping.add_account("main", credentials=SECRET)
    skipping.script("main", OutcomeUnknown(error_code="timeout"))
    receipt = await skipping.hermod.send(LETTER, guarantee=Guarantee.AT_MOST_ONCE)
    assert (await skipping.ended(receipt.id)).status is Status.UNKNOWN
    assert [one.id for one in (await skipping.hermod.dead_letters()).items] == [receipt.id]
    entry = Entry(
        provider="sandbox",
        channel="email",
        message_id=receipt.id,
        provider_message_id="sbx_1",
        sender=None,
        to=("ada@example.com",),
    )
    url = f"http://hermod.test/ingress/receipts/sandbox/{skipping.hermod.tenant}/main"
    call = SandboxProvider().report(entry, "accepted", Target(url, SECRET, datetime.now(UTC)))
    assert call is not None
    async with calling(create_app(skipping.hermod.core.settings, hermod=skipping.hermod)) as web:
        answer = await web.request(call.method, call.path, headers=call.headers, content=call.body)
    assert answer.status_code == 200
    view = await skipping.hermod.status(receipt.id)
    assert (view.status, view.provider_message_id, view.error_code) == (Status.SENT, "sbx_1", None)
    assert (await skipping.hermod.dead_letters()).items == ()


async def test_report_comes_before_the_outcome_is_recorded_is_settled_by_the_housekeeping(exchange: Exchange) -> None:
    house = exchange.house
    message = await exchange.sent()
    database = house.hermod.core.storage.database
    moved = text("UPDATE messages SET status = :status WHERE id = :id")
    await database.execute(moved, {"id": message, "status": "sending"})
    assert (await exchange.report(message, "delivered")).status is Status.SENDING
    await database.execute(moved, {"id": message, "status": "sent"})
    await schedules.change(house.client, "receipts", "run")
    await house.reached(message, Status.DELIVERED)
