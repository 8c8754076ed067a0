"""A dispatch that hands deliveries to their endpoint's waiter: once, also when it is made twice, never in a circle."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import text

from hermod.bootstrap import Storage
from hermod.clock import SystemClock
from hermod.contracts.ids import webhook_endpoint_workflow, webhook_workflow
from hermod.contracts.webhooks.deliveries import DeliveryStatus, EndpointSettings
from hermod.ports.webhooks.ledger import Exchange, Post
from tests.integration.webhooks.bench import BATCH, TENANT, Bench


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
    assert (view.status, [attempt.status_code for attempt in view.attempts]) == (DeliveryStatus.PARKED, [500])
