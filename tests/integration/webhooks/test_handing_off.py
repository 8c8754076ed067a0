"""A dispatch that hands deliveries to their endpoint's waiter: once, also when it is made twice, never in a circle."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from sqlalchemy import text

from activities.delivery.progress import Progress, Work
from activities.webhook_delivery.dispatch import Ways, WebhookDispatch
from hermod.bootstrap import Storage, SystemClock, open_storage
from hermod.contracts.ids import new_id, webhook_batch_workflow, webhook_endpoint_workflow, webhook_workflow
from hermod.contracts.webhooks import DeliveryStatus, EndpointSettings, EventInput
from hermod.outbound.guard import AddressGuard
from hermod.outbound.webhook_requests import post_for
from hermod.ports.webhooks import Exchange, Post, Poster
from hermod.storage.webhook_acceptance import EventDraft, PlannedDelivery, event_body
from tests.integration.webhooks.posting import posting
from tests.support.hostile import Hostile
from tests.support.product import settings_for

TENANT, BATCH = "shop", webhook_batch_workflow("shop", "bat_1")


class WokenWaiters:
    """Notes who was woken for what."""

    def __init__(self) -> None:
        self.woken: list[tuple[str, list[str]]] = []

    async def wake(self, tenant: str, endpoint: str, deliveries: Collection[str]) -> None:
        self.woken.append((endpoint, sorted(deliveries)))

    async def look_again(self, tenant: str, endpoint: str) -> None:
        self.woken.append((endpoint, []))


@dataclass
class Bench:
    storage: Storage
    poster: Poster
    receiver: Hostile
    waiters: WokenWaiters = field(default_factory=WokenWaiters)

    async def endpoint(self, **settings: object) -> str:
        given = EndpointSettings.model_validate({"url": self.receiver.url, "retry": (60,) * 5, **settings})
        now = SystemClock().now()
        return (await self.storage.webhook_endpoints.create(TENANT, given, actor="test", now=now)).id

    async def accept(self, endpoint: str, count: int, owner: str | None = None) -> list[str]:
        """So many deliveries; without an owner, each has a workflow of its own."""
        event, drafts, now = EventInput(type="order.paid", payload={}), [], SystemClock().now()
        for _ in range(count):
            own = new_id("whd")
            planned = PlannedDelivery(own, endpoint, None, owner or webhook_workflow(TENANT, own))
            drafts.append(EventDraft(new_id("evt"), event, event_body(event, now), None, (planned,)))
        await self.storage.webhook_acceptance.take(TENANT, drafts, now)
        return [draft.deliveries[0].id for draft in drafts]

    async def pause(self, endpoint: str, wait: timedelta, reason: str = "asked") -> None:
        statement = text("UPDATE webhook_endpoints SET paused_until = :until, pause_reason = CAST(:reason AS text)")
        await self.storage.database.execute(statement, {"until": SystemClock().now() + wait, "reason": reason})
        self.storage.webhook_endpoints.forget(TENANT, endpoint)

    async def dispatch(self, owner: str, deliveries: Collection[str]) -> Progress:
        ways = Ways(
            ledger=self.storage.webhook_ledger,
            endpoints=self.storage.webhook_endpoints,
            health=self.storage.endpoint_health,
            poster=self.poster,
            requests=post_for,
            limiter=self.storage.rates,
            waiters=self.waiters,
        )
        work = Work(tenant=TENANT, owner=owner, run="run-1", messages=tuple(deliveries), kind="webhook")
        return await WebhookDispatch(work, ways, clock=SystemClock(), stopping=lambda: False).run({})

    async def owners(self) -> set[str]:
        rows = await self.storage.database.rows(text("SELECT workflow_id FROM webhook_deliveries"), {})
        return {row.workflow_id for row in rows}


@pytest.fixture
async def bench(database_url: str, receiver: Hostile) -> AsyncIterator[Bench]:
    settings = settings_for(database_url, "127.0.0.1:1")
    async with open_storage(settings) as storage, posting(AddressGuard(allow_private=True)) as poster:
        await storage.tenants.create(TENANT, TENANT, SystemClock().now())
        async with storage.workers.session():
            yield Bench(storage, poster, receiver)


async def test_batch_made_twice_reports_the_same_hand_off_both_times(bench: Bench) -> None:
    endpoint = await bench.endpoint()
    ids = await bench.accept(endpoint, 5, BATCH)
    await bench.pause(endpoint, timedelta(hours=1))
    for _ in range(2):
        progress = await bench.dispatch(BATCH, ids)
        assert (progress.open, progress.handed_off, progress.apart) == ([], {}, ())
        assert {name: sorted(those) for name, those in progress.with_waiter.items()} == {endpoint: sorted(ids)}
    assert await bench.owners() == {webhook_endpoint_workflow(TENANT, endpoint)}
    assert bench.waiters.woken == [(endpoint, sorted(ids))] * 2
    assert not bench.receiver.requests


async def test_single_delivery_made_twice_reports_the_same_hand_off_both_times(bench: Bench) -> None:
    endpoint = await bench.endpoint()
    (delivery,) = await bench.accept(endpoint, 1)
    await bench.pause(endpoint, timedelta(hours=1))
    for _ in range(2):
        progress = await bench.dispatch(webhook_workflow(TENANT, delivery), [delivery])
        assert (progress.open, progress.with_waiter, progress.missing) == ([], {endpoint: [delivery]}, 0)


async def test_short_pause_is_waited_for_in_place(bench: Bench) -> None:
    endpoint = await bench.endpoint()
    (delivery,) = await bench.accept(endpoint, 1)
    await bench.pause(endpoint, timedelta(seconds=3))
    progress = await bench.dispatch(webhook_workflow(TENANT, delivery), [delivery])
    assert [item.id for item in progress.open] == [delivery]
    assert not bench.waiters.woken
    assert await bench.owners() == {webhook_workflow(TENANT, delivery)}


async def test_delivery_that_was_cancelled_meanwhile_is_not_handed_off(bench: Bench) -> None:
    endpoint = await bench.endpoint()
    kept, gone = await bench.accept(endpoint, 2, BATCH)
    await bench.pause(endpoint, timedelta(hours=1))
    await bench.storage.webhook_deliveries.cancel(TENANT, gone, actor="test", now=SystemClock().now())
    progress = await bench.dispatch(BATCH, [kept, gone])
    assert progress.with_waiter == {endpoint: [kept]}
    assert progress.ended == {"cancelled": 1}


async def test_waiter_keeps_what_the_endpoint_does_not_take_and_sends_what_it_was_asked_for(bench: Bench) -> None:
    endpoint = await bench.endpoint()
    ids = await bench.accept(endpoint, 3, BATCH)
    await bench.pause(endpoint, timedelta(hours=1))
    await bench.dispatch(BATCH, ids)
    waiter = webhook_endpoint_workflow(TENANT, endpoint)
    held = await bench.dispatch(waiter, ids)
    assert (held.open, held.with_waiter) == ([], {})
    await bench.pause(endpoint, timedelta(0))
    bench.receiver.behave("500", "ok")
    await bench.dispatch(waiter, ids)
    assert len(bench.receiver.requests) == 3
    await bench.dispatch(waiter, ids)
    assert len(bench.receiver.requests) == 3, "the one that failed has a wait of its own"
    assert await bench.owners() == {waiter}


async def test_several_endpoints_in_a_batch_only_those_in_trouble_have_their_deliveries_wait(bench: Bench) -> None:
    paused, failing = await bench.endpoint(), await bench.endpoint()
    waiting, by_itself = await bench.accept(paused, 2, BATCH), await bench.accept(failing, 2, BATCH)
    await bench.pause(paused, timedelta(hours=1))
    await bench.storage.database.execute(
        text("UPDATE webhook_endpoints SET paused_until = NULL WHERE id = :id"), {"id": failing}
    )
    bench.receiver.behave("500")
    progress = await bench.dispatch(BATCH, [*waiting, *by_itself])
    assert {name: sorted(those) for name, those in progress.with_waiter.items()} == {paused: sorted(waiting)}
    assert [(part.endpoint, sorted(part.deliveries)) for part in progress.apart] == [(failing, sorted(by_itself))]


async def test_success_that_closes_the_breaker_ends_the_wait_of_the_waiter(bench: Bench) -> None:
    endpoint = await bench.endpoint()
    (delivery,) = await bench.accept(endpoint, 1)
    await bench.storage.database.execute(text("UPDATE webhook_endpoints SET pause_count = 1"), {})
    await bench.pause(endpoint, timedelta(seconds=-1), "failing")
    assert (await bench.dispatch(webhook_workflow(TENANT, delivery), [delivery])).ended == {"delivered": 1}
    assert bench.waiters.woken == [(endpoint, [])]


class DisablesMeanwhile:
    """A wire on which requests fail, after their endpoint was disabled."""

    def __init__(self, storage: Storage, endpoint: str) -> None:
        self._storage = storage
        self._endpoint = endpoint

    async def post(self, order: Post) -> Exchange:
        def disabled(settings: EndpointSettings) -> EndpointSettings:
            return settings.model_copy(update={"enabled": False})

        now = SystemClock().now()
        await self._storage.webhook_endpoints.update(
            TENANT, self._endpoint, disabled, named={"enabled"}, actor="test", now=now
        )
        return Exchange(outcome="http_error", status_code=500)

    async def aclose(self) -> None:
        return None


async def test_request_was_under_way_when_its_endpoint_was_disabled_its_delivery_is_parked_as_it_ends(
    bench: Bench,
) -> None:
    endpoint = await bench.endpoint()
    (delivery,) = await bench.accept(endpoint, 1)
    bench.poster = DisablesMeanwhile(bench.storage, endpoint)
    progress = await bench.dispatch(webhook_workflow(TENANT, delivery), [delivery])
    assert (progress.open, progress.ended) == ([], {"parked": 1})
    view = await bench.storage.webhook_deliveries.view(TENANT, delivery)
    assert (view.status, [attempt.status_code for attempt in view.log]) == (DeliveryStatus.PARKED, [500])
