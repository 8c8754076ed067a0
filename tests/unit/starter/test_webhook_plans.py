"""Which deliveries share a workflow."""

from __future__ import annotations

from collections import Counter

from hermod.contracts.webhooks.deliveries import BATCH_BYTES, Ordering
from hermod.storage.webhook_endpoints.endpoints import Subscriber
from starter.webhooks.starts import OWN_BATCH, EventFanOut, WebhookGrouping, units


def fans(endpoints: int, events: int, *, size: int = 100) -> list[EventFanOut]:
    """So many events for each of so many endpoints."""
    subscribers = [Subscriber(f"whe_{number}", Ordering.NONE) for number in range(endpoints)]
    return [EventFanOut(size, None, [one]) for _ in range(events) for one in subscribers]


def workflows(asked: list[EventFanOut]) -> Counter[str]:
    return Counter(delivery.workflow_id for plan in WebhookGrouping("shop").plan(asked) for delivery in plan)


def test_event_that_comes_alone_makes_a_workflow_for_each_delivery() -> None:
    made = workflows(fans(3, 1))
    assert sorted(made.values()) == [1, 1, 1]
    assert all(name.startswith("webhook/shop/whd_") for name in made)


def test_few_endpoints_have_a_batch_each() -> None:
    assert sorted(workflows(fans(4, 30)).values()) == [30] * 4


def test_many_endpoints_with_few_deliveries_share_batches_of_five_hundred() -> None:
    made = workflows(fans(100, 12))
    assert sorted(made.values()) == [200, 500, 500]
    assert all(name.startswith("webhook-batch/shop/bat_") for name in made)


def test_endpoint_with_many_deliveries_has_its_own_batch_beside_the_shared_one() -> None:
    asked = [*fans(10, 1), *fans(1, OWN_BATCH)]
    assert sorted(workflows(asked).values()) == [9, OWN_BATCH + 1]
    made = [(delivery, None) for plan in WebhookGrouping("shop").plan(asked) for delivery in plan]
    assert {unit.endpoint for unit in units("shop", made)} == {None, "whe_0"}


def test_large_bodies_make_smaller_batches() -> None:
    assert set(workflows(fans(1, 20, size=BATCH_BYTES // 4)).values()) == {4}


def test_ordering_key_counts_only_where_the_endpoint_keeps_order() -> None:
    ordered, free = Subscriber("whe_1", Ordering.BY_KEY), Subscriber("whe_2", Ordering.NONE)
    (plan, other) = WebhookGrouping("shop").plan(
        [EventFanOut(1, "customer-7", [ordered, free]), EventFanOut(1, None, [ordered, free])]
    )
    assert plan[0].order_key is not None
    assert "customer-7" not in plan[0].workflow_id
    assert plan[0].workflow_id == f"webhook-order/shop/whe_1.{plan[0].order_key}"
    assert [one.order_key for one in (plan[1], *other)] == [None, None, None]


def test_events_of_a_moment_share_workflows_over_their_calls() -> None:
    group = WebhookGrouping("shop", shared=True)
    made = Counter(
        one.workflow_id for _ in range(30) for plan in group.plan([*fans(3, 1), *fans(1, OWN_BATCH)]) for one in plan
    )
    assert all(name.startswith("webhook-batch/shop/bat_") for name in made)
    assert sum(made.values()) == 30 * (3 + OWN_BATCH)
    assert len(made) == 5  # four of the endpoint with many, and one of the others
