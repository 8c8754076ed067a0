"""The ledger does not take a step, since the record has moved: that dispatch begins nothing more of the message."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from activities.dispatch.progress import DispatchInput
from activities.notifications.dispatcher import MessageDispatcher
from activities.notifications.rate_limits import Limit
from activities.notifications.requests import SendJob
from hermod.contracts.ids import message_id
from hermod.contracts.notifications.content import Channel, Email
from hermod.contracts.notifications.messages import Guarantee, Status, Submission
from hermod.ports.notifications.ledger import InFlight, Item
from hermod.ports.notifications.limiter import RateRules, Reservation, ReserveRequest
from hermod.storage.notifications.acceptance import Draft, Ready
from tests.support.product import ProductFixture

OWNER = "message/a-test/by-hand"
LETTER = Email(to="ada@example.com", subject="Hello", text="Hello")
DAYS = timedelta(days=2)


@dataclass
class Refusing:
    """A ledger that takes no change and no outcome, and tells of messages as `altered` has them."""

    ledger: Any
    altered: Callable[[Item], Item]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.ledger, name)

    async def open_items(self, *asked: Any) -> list[Item]:
        return [self.altered(item) for item in await self.ledger.open_items(*asked)]

    async def change(self, *_: Any) -> set[str]:
        return set()

    async def record(self, *_: Any) -> set[str]:
        return set()


@dataclass
class Hasty:
    """A clock on which three seconds pass between two looks."""

    time: datetime = field(default_factory=lambda: datetime.now(UTC))

    def now(self) -> datetime:
        self.time += timedelta(seconds=3)
        return self.time


@dataclass
class Limiter:
    """It lets nothing go for as many questions."""

    closed: int = 0

    async def rules(self, tenant: str) -> RateRules:
        return RateRules(rate=1.0)

    async def reserve(self, ask: ReserveRequest, now: datetime) -> Reservation:
        self.closed -= 1
        return Reservation(tokens=0 if self.closed >= 0 else ask.most, delay=0.0, wait=0.0)

    async def give_back(self, bucket: str, rate: float, tokens: int) -> None:
        return None


class Awake:
    async def wait(self, limit: Limit, job: SendJob, seconds: float) -> float | None:
        return None


def is_late(item: Item) -> Item:
    return replace(item, not_after=datetime.now(UTC) - DAYS)


def is_suppressed(item: Item) -> Item:
    return replace(item, suppressed="complained")


def may_arrive_twice(item: Item) -> Item:
    since = datetime.now(UTC) - DAYS
    return replace(item, guarantee=Guarantee.AT_MOST_ONCE, doubtful="main", doubtful_since=since)


def was_lost_in_mid_request(item: Item) -> Item:
    return replace(item, in_flight=InFlight(account="main"))


async def is_left_alone(house: ProductFixture, altered: Callable[[Item], Item], *, closed: int = 0) -> None:
    await house.add_account("main")
    house.script("main")
    storage, tenant = house.hermod.core.storage, house.hermod.tenant
    draft = Draft(message_id(), OWNER, None, Ready(submission=Submission(content=LETTER), content=LETTER))
    await storage.acceptance.take(tenant, [draft], datetime.now(UTC))
    assert house.senders is not None
    delivery = MessageDispatcher(
        DispatchInput(tenant=tenant, channel=Channel.EMAIL, owner=OWNER, run="run", messages=(draft.id,)),
        ledger=Refusing(storage.ledger, altered),
        accounts=storage.accounts,
        senders=house.senders,
        hygiene=storage.hygiene,
        limiter=Limiter(closed),
        rate_wait=Awake(),
        clock=Hasty(),
        stopping=lambda: False,
    )
    progress = await delivery.run({})
    assert (await house.hermod.status(draft.id)).attempts == ()
    assert [item.status for item in progress.open] == [Status.RETRYING], "it is looked at again"


@pytest.mark.parametrize("altered", [is_late, is_suppressed, may_arrive_twice])
async def test_message_that_must_not_be_sent_and_cannot_be_ended_is_not_sent(
    skipping: ProductFixture, altered: Callable[[Item], Item]
) -> None:
    await is_left_alone(skipping, altered)


async def test_message_whose_lost_request_was_recorded_by_somebody_else_is_not_sent(skipping: ProductFixture) -> None:
    await is_left_alone(skipping, was_lost_in_mid_request)


async def test_message_that_a_rate_holds_back_and_that_has_moved_is_not_sent(skipping: ProductFixture) -> None:
    await is_left_alone(skipping, lambda item: item, closed=2)
