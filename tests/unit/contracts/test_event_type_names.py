"""Types of events as other systems name them, and filters for them, wherever a type is given."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from hermod.contracts.analytics.events import TrackedEvent
from hermod.contracts.webhooks.deliveries import EventFilter, EventInput
from hermod.domain.webhooks.event_types import matches

GOOD = ("order.paid", "orders/create", "order-paid", "app/uninstalled", "invoice.payment_failed", "a/b.c-d", "Order")
BAD = ("", "a b", "/a", "a/", "a//b", ".a", "a.", "a..b", "a/.b", "ä", "a\n", "*", "a.*", "a" * 129)


@pytest.mark.parametrize("name", GOOD)
def test_type_is_named_as_another_system_does_it_is_taken_everywhere(name: str) -> None:
    assert EventInput(type=name, payload={}).type == TrackedEvent(type=name).type == name
    assert TypeAdapter(EventFilter).validate_python(name) == name


@pytest.mark.parametrize("name", BAD)
def test_type_has_no_name_it_is_refused_everywhere(name: str) -> None:
    for model in (EventInput, TrackedEvent):
        with pytest.raises(ValidationError):
            model.model_validate({"type": name, "payload": {}} if model is EventInput else {"type": name})


@pytest.mark.parametrize(
    ("wanted", "asks_for", "not_for"),
    [
        ("orders/*", ("orders/create", "orders/a.b"), ("orders", "orders.create", "ordersx/create")),
        ("order.*", ("order.paid", "order.a/b"), ("order/paid", "order", "order-paid")),
        ("order-paid", ("order-paid",), ("order.paid",)),
    ],
)
def test_filter_asks_for_all_below_a_name(wanted: str, asks_for: tuple[str, ...], not_for: tuple[str, ...]) -> None:
    assert TypeAdapter(EventFilter).validate_python(wanted) == wanted
    assert all(matches((wanted,), name) for name in asks_for)
    assert not any(matches((wanted,), name) for name in not_for)
