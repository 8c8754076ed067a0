"""`--concurrency email=5` is so many requests of the lane at once in one worker, whatever they are of."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from sqlalchemy import text
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from hermod.contracts.notifications.content import Email
from hermod.contracts.notifications.messages import Status
from hermod.contracts.notifications.outcomes import AnyOutcome
from hermod.contracts.queues import Lane
from hermod.contracts.tenants.accounts import Account
from hermod.ports.notifications.sender import Outgoing, Sender
from hermod.ports.webhooks.ledger import Exchange, Post
from starter import Hermod
from tests.support.product import NOWHERE, ProductFixture, Script, ScriptedSender, new_house, settings_for
from tests.support.webhooks.product import add_endpoint, delivered
from worker import build_workers, running

MOST = 5
MOMENT = 0.01
LETTER = Email(to="ada@example.com", subject="Hello", text="Hello")


@dataclass
class TaskScope:
    """Requests at this moment, and the most that there ever were."""

    now: int = 0
    most: int = 0
    made: int = 0

    async def request(self) -> None:
        self.now += 1
        self.made += 1
        self.most = max(self.most, self.now)
        try:
            await asyncio.sleep(MOMENT)
        finally:
            self.now -= 1


@dataclass
class Senders:
    """A SenderFactory for accounts whose requests are counted all together."""

    under_way: TaskScope = field(default_factory=TaskScope)
    scripts: dict[str, Script] = field(default_factory=dict)

    def sender(self, account: Account) -> Sender:
        return CountedSender(self.scripts.setdefault(account.name, Script()), self.under_way)


class CountedSender(ScriptedSender):
    def __init__(self, script: Script, under_way: TaskScope) -> None:
        super().__init__(script)
        self._under_way = under_way

    async def send(self, message: Outgoing) -> AnyOutcome:
        await self._under_way.request()
        return await super().send(message)

    async def send_batch(self, messages: Sequence[Outgoing]) -> Sequence[AnyOutcome]:
        await self._under_way.request()
        return await super().send_batch(messages)


@dataclass
class CountedPoster:
    under_way: TaskScope = field(default_factory=TaskScope)

    async def post(self, order: Post) -> Exchange:
        await self.under_way.request()
        return Exchange(outcome="success", status_code=200)

    async def aclose(self) -> None:
        return None


@dataclass(frozen=True)
class Narrow:
    """A product whose only worker makes five requests of each lane at once."""

    house: ProductFixture
    senders: Senders
    poster: CountedPoster


@pytest.fixture
async def narrow(database_url: str, idle_temporal: str) -> AsyncIterator[Narrow]:
    settings = settings_for(database_url, idle_temporal)
    senders, poster = Senders(), CountedPoster()
    client = await Client.connect(idle_temporal, data_converter=pydantic_data_converter)
    async with await Hermod.connect(settings=settings, temporal=client) as hermod:
        core = hermod.core
        workers = build_workers(
            client,
            settings,
            core.storage,
            senders,
            poster,
            analytics=core.analytics,
            lanes=[Lane.EMAIL, Lane.WEBHOOKS],
            concurrency={Lane.EMAIL: MOST, Lane.WEBHOOKS: MOST},
            drain=timedelta(0),
        )
        async with core.storage.workers.session(), running(workers):
            yield Narrow(await new_house(hermod, client, senders), senders, poster)


async def all_sent(narrow: Narrow, ids: Sequence[str]) -> None:
    for one in ids:
        assert (await narrow.house.ended(one)).status is Status.SENT


@pytest.mark.parametrize("rate", [None, 500.0], ids=["unlimited", "limited"])
async def test_batches_and_single_messages_together_make_no_more_requests_than_the_lane_may(
    narrow: Narrow, rate: float | None
) -> None:
    hermod = narrow.house.hermod
    for account in ("main", "other"):
        await narrow.house.add_account(account, rate=rate)
    batches = await asyncio.gather(
        hermod.send_many([LETTER] * 100),
        hermod.send_many([LETTER] * 60, provider_account="other"),
        hermod.send_many([LETTER] * 40),
    )
    singles = await asyncio.gather(*(hermod.send(LETTER) for _ in range(30)))
    await all_sent(narrow, [one.id for one in (*(one for batch in batches for one in batch.receipts), *singles)])
    assert narrow.senders.under_way.made == 230
    assert 1 < narrow.senders.under_way.most <= MOST


async def test_requests_of_several_messages_each_count_as_requests(narrow: Narrow) -> None:
    await narrow.house.add_account("main")
    narrow.senders.scripts["main"] = Script(max_batch=5)
    batches = await asyncio.gather(*(narrow.house.hermod.send_many([LETTER] * 50) for _ in range(4)))
    await all_sent(narrow, [one.id for batch in batches for one in batch.receipts])
    assert narrow.senders.under_way.made == 40
    assert narrow.senders.under_way.most <= MOST


async def test_deliveries_to_many_endpoints_make_no_more_requests_than_the_lane_may(narrow: Narrow) -> None:
    for number in range(8):
        await add_endpoint(narrow.house, f"{NOWHERE}/{number}")
    receipts = await asyncio.gather(*(narrow.house.hermod.emit("order.paid", {"n": n}) for n in range(12)))
    for receipt in receipts:
        for one in receipt.deliveries:
            await delivered(narrow.house, one.id)
    assert narrow.poster.under_way.made == 96
    assert 1 < narrow.poster.under_way.most <= MOST


async def test_batch_to_many_endpoints_waits_for_the_lane_and_does_not_fall_apart(narrow: Narrow) -> None:
    """A lane without a free request is short for a moment. Each workflow more costs the engine more than the wait."""
    for number in range(30):
        await add_endpoint(narrow.house, f"{NOWHERE}/{number}", event_types=(f"order.n{number}",))
    hermod = narrow.house.hermod
    receipts = await asyncio.gather(*(hermod.emit(f"order.n{n % 30}", {"n": n}) for n in range(60)))
    for receipt in receipts:
        (one,) = receipt.deliveries
        await delivered(narrow.house, one.id)
    rows = await hermod.core.storage.database.rows(
        text("SELECT DISTINCT workflow_id FROM webhook_deliveries WHERE tenant_id = :tenant"),
        {"tenant": hermod.tenant},
    )
    assert narrow.poster.under_way.made == 60
    assert [row.workflow_id.partition("/")[0] for row in rows] == ["webhook-batch"]
