"""Stripe's events as facts: every type that counts, nothing of the payer, and a word for what cannot be read."""

from __future__ import annotations

import json
from copy import deepcopy
from datetime import UTC, datetime
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devstack.demo.stripe_stand_in import PAYER, StripePayment, event
from hermod.domain.payments.payments import FactKind
from hermod.domain.payments.stripe_events import EVENT_TYPES, UnreadableEvent, read_event

AT: Final = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


DISPUTES: Final = ("created", "updated", "closed", "funds_withdrawn", "funds_reinstated")


def every_event() -> dict[str, dict[str, Any]]:
    customer = StripePayment("sub_019aa1c2d3e40123456789abcdef", charged_at=AT)
    events = [
        customer.succeeded(at=AT),
        customer.processing(at=AT),
        customer.failed(at=AT),
        customer.canceled(at=AT),
        customer.checked_out(at=AT),
        customer.paid_later(at=AT),
        customer.failed_later(at=AT),
        customer.expired(at=AT),
        customer.gave_back(100, at=AT),
        customer.refund("created", "re_1", 100, at=AT),
        customer.refund("updated", "re_1", 100, at=AT),
        customer.refund("failed", "re_1", 100, status="failed", at=AT),
        *(customer.disputed(verb, at=AT) for verb in DISPUTES),
    ]
    return {one["type"]: one for one in events}


EVENTS: Final = every_event()
KINDS: Final = {
    "payment_intent.succeeded": FactKind.PAID,
    "payment_intent.processing": FactKind.PROCESSING,
    "payment_intent.payment_failed": FactKind.FAILED,
    "payment_intent.canceled": FactKind.CANCELED,
    "checkout.session.completed": FactKind.PAID,
    "checkout.session.async_payment_succeeded": FactKind.PAID,
    "checkout.session.async_payment_failed": FactKind.FAILED,
    "checkout.session.expired": FactKind.EXPIRED,
    "charge.refunded": FactKind.REFUNDED,
    "refund.created": FactKind.REFUND,
    "refund.updated": FactKind.REFUND,
    "refund.failed": FactKind.REFUND,
    **{f"charge.dispute.{verb}": FactKind.DISPUTED for verb in DISPUTES},
}


def with_object(kind: str, **changes: Any) -> dict[str, Any]:
    changed = deepcopy(EVENTS[kind])
    changed["data"]["object"] |= changes
    return changed


@pytest.mark.parametrize("kind", KINDS)
def test_event_is_read_says_what_happened_and_whose_it_is(kind: str) -> None:
    read = read_event(EVENTS[kind])
    assert read.fact is not None
    assert (read.type, read.at, read.livemode, read.fact.kind) == (kind, AT, False, KINDS[kind])
    assert read.submission == (
        None if kind.startswith(("refund.", "charge.dispute.")) else "sub_019aa1c2d3e40123456789abcdef"
    )
    assert read.payment or read.checkout


def test_every_type_that_is_asked_for_is_read_here() -> None:
    assert set(EVENT_TYPES) - set(KINDS) == {"charge.refund.updated"}  # what refund.updated was called before


@pytest.mark.parametrize("kind", KINDS)
def test_event_is_read_keeps_nothing_of_the_payer(kind: str) -> None:
    read = read_event(EVENTS[kind])
    assert read.fact is not None
    kept = json.dumps([read.id, read.submission, read.fact.document()])
    assert not [word for word in (PAYER["name"], PAYER["email"], "London", "cus_", "pm_") if str(word) in kept]


@pytest.mark.parametrize(
    ("metadata", "reference", "submission"),
    [
        ({"submission_id": "sub_1"}, "sub_2", "sub_1"),
        ({}, "sub_2", "sub_2"),
        (None, "sub_2", "sub_2"),
        ({"submission_id": "ada@example.com"}, None, None),
        ({"submission_id": 7}, "order 4711", None),
        ({}, "sub_" + "a" * 100, None),
    ],
)
def test_submission_is_named_in_metadata_or_as_reference(metadata: Any, reference: Any, submission: str | None) -> None:
    session = with_object("checkout.session.completed", metadata=metadata, client_reference_id=reference)
    assert read_event(session).submission == submission


@pytest.mark.parametrize(
    "other",
    [
        event("customer.created", {"id": "cus_1", "object": "customer", "email": "ada@example.com"}),
        event("payment_intent.created", {"id": "pi_1", "object": "payment_intent"}),
        with_object("checkout.session.completed", mode="setup", payment_status="no_payment_required"),
        with_object("refund.created", payment_intent=None, charge=None),
    ],
)
def test_event_says_nothing_of_a_payment_has_no_fact(other: dict[str, Any]) -> None:
    assert read_event(other).fact is None


def test_object_is_expanded_is_known_by_its_id() -> None:
    session = with_object("checkout.session.completed", payment_intent={"id": "pi_9", "object": "payment_intent"})
    assert read_event(session).payment == "pi_9"


def test_charge_without_intent_stands_for_its_own_payment() -> None:
    charge, refund = (
        with_object("charge.refunded", payment_intent=None),
        with_object("refund.failed", payment_intent=None),
    )
    assert read_event(charge).payment == charge["data"]["object"]["id"]
    assert read_event(refund).payment == refund["data"]["object"]["charge"]


def test_code_is_no_word_of_stripes_is_not_taken_over() -> None:
    said = with_object("payment_intent.payment_failed", last_payment_error={"code": "Card of Ada declined"})
    fact = read_event(said).fact
    assert fact is not None
    assert fact.code == "payment_failed"


THIN: Final = {"id": "evt_1", "object": "v2.core.event", "type": "v1.billing.meter.error_report_triggered",
               "created": "2026-11-22T12:00:00.000Z", "livemode": False, "related_object": {"id": "mtr_1"}}  # fmt: skip


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        [],
        "evt_1",
        {},
        {"id": "evt_1", "object": "event"},
        THIN,
        EVENTS["charge.refunded"] | {"data": {}},
        EVENTS["charge.refunded"] | {"data": {"object": "ch_1"}},
        EVENTS["charge.refunded"] | {"id": None},
        EVENTS["charge.refunded"] | {"id": "evt 1\x00"},
        EVENTS["charge.refunded"] | {"type": 1},
        EVENTS["charge.refunded"] | {"livemode": "false"},
        EVENTS["charge.refunded"] | {"created": "2026-11-22"},
        EVENTS["charge.refunded"] | {"created": 10**12},
        EVENTS["charge.refunded"] | {"created": True},
        with_object("charge.refunded", amount_refunded=-1),
        with_object("charge.refunded", amount_refunded=10**18),
        with_object("charge.refunded", amount_refunded="100"),
        with_object("charge.refunded", amount_refunded=1.5),
        with_object("charge.refunded", currency=None),
        with_object("charge.refunded", created=None),
        with_object("payment_intent.succeeded", id=None),
        with_object("payment_intent.succeeded", amount_received=None),
        with_object("checkout.session.completed", payment_status="later"),
        with_object("checkout.session.completed", payment_intent=["pi_1"]),
    ],
)
def test_event_is_not_what_stripe_documents_is_unreadable(wrong: Any) -> None:
    with pytest.raises(UnreadableEvent):
        read_event(wrong)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(list(KINDS)), st.data())
def test_event_has_anything_in_a_field_is_read_or_unreadable(kind: str, data: st.DataObject) -> None:
    changed = deepcopy(EVENTS[kind])
    where = data.draw(st.sampled_from([changed, changed["data"]["object"]]))
    where[data.draw(st.sampled_from(list(where)))] = data.draw(JSON)
    try:
        read_event(changed)
    except UnreadableEvent:
        return
