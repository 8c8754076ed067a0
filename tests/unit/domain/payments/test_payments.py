"""What a payment has come to: the same for the same facts, in whatever order and however often they came."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devstack.demo.stripe_stand_in import StripePayment
from hermod.contracts.forms.forms import PaymentStatus
from hermod.domain.payments.payments import Fact, FactKind, Payment, payment_of
from hermod.domain.payments.stripe_events import read_event

NOON: Final = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
DAY: Final = timedelta(days=1)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def pay(**given: Any) -> StripePayment:
    return StripePayment("sub_1", charged_at=NOON, **given)


def come_to(*events: dict[str, Any], over: bool = False) -> Payment:
    """What the events come to, whichever comes first."""
    facts = [fact for event in events if (fact := read_event(event).fact) is not None]
    assert len(facts) == len(events)
    payment = payment_of(facts, over=over)
    assert payment is not None
    assert payment_of(reversed(facts), over=over) == payment
    return payment


def state(payment: Payment) -> tuple[str, int | None, int]:
    return payment.status.value, payment.amount, payment.amount_refunded


def test_intent_succeeds_is_paid() -> None:
    customer = pay()
    payment = come_to(customer.succeeded(at=at(5)))
    assert payment == Payment(
        status=PaymentStatus.PAID, reference=customer.intent_id, amount=1500, currency="eur", paid_at=at(5)
    )


def test_intent_fails_and_succeeds_is_paid_after_so_many_failures() -> None:
    customer = pay()
    failures = [customer.failed("insufficient_funds", at=at(1)), customer.failed("expired_card", at=at(2))]
    once, twice = come_to(failures[0]), come_to(*failures)
    assert (once.status, once.failure_code, once.failures) == (PaymentStatus.FAILED, "insufficient_funds", 1)
    assert (twice.status, twice.failure_code, twice.failures) == (PaymentStatus.FAILED, "expired_card", 2)
    paid = come_to(*failures, customer.succeeded(at=at(3)))
    assert (state(paid), paid.failure_code, paid.failures) == (("paid", 1500, 0), None, 2)


def test_delayed_method_is_processing_until_the_bank_has_spoken() -> None:
    customer = pay()
    done = customer.checked_out("unpaid", at=at(1))
    assert come_to(done, customer.processing(at=at(1))).status is PaymentStatus.PROCESSING
    assert state(come_to(done, customer.paid_later(at=NOON + 3 * DAY))) == ("paid", 1500, 0)
    failed = come_to(done, customer.failed("debit_not_authorized", at=NOON + DAY), customer.failed_later(at=at(86401)))
    assert (failed.status, failed.failure_code, failed.failures) == (PaymentStatus.FAILED, "debit_not_authorized", 1)
    assert come_to(done, customer.failed_later(at=NOON + DAY)).failure_code == "async_payment_failed"


def test_one_attempt_is_processing_another_one_expires_is_processing() -> None:
    first, second = pay(), pay()
    payment = come_to(first.checked_out("unpaid", at=at(1)), second.expired(at=NOON + DAY))
    assert (payment.status, payment.reference) == (PaymentStatus.PROCESSING, first.intent_id)


def test_checkout_expires_is_expired_until_another_one_is_paid() -> None:
    first, second = pay(), pay(amount=900)
    tried = (first.failed(at=at(1)), first.expired(at=NOON + DAY))
    expired = come_to(*tried)
    assert (expired.status, expired.failure_code) == (PaymentStatus.EXPIRED, "insufficient_funds")
    assert come_to(*tried, second.failed("lost_card", at=NOON + 2 * DAY)).status is PaymentStatus.FAILED
    paid = come_to(*tried, second.succeeded(at=NOON + 2 * DAY))
    assert (state(paid), paid.reference) == (("paid", 900, 0), second.intent_id)


def test_canceled_intent_is_a_failed_try() -> None:
    assert come_to(pay().canceled("fraudulent", at=at(1))).failure_code == "fraudulent"
    assert come_to(pay().canceled(None, at=at(1))).failure_code == "canceled"


def test_two_attempts_are_paid_adds_up_what_came() -> None:
    first, second = pay(), pay(amount=500)
    other = pay(amount=7, currency="usd")
    payment = come_to(first.succeeded(at=at(1)), second.succeeded(at=at(2)), other.succeeded(at=at(3)))
    assert (state(payment), payment.reference, payment.currency) == (("paid", 2000, 0), first.intent_id, "eur")
    back = come_to(first.succeeded(at=at(1)), second.succeeded(at=at(2)), second.gave_back(500, at=at(9)))
    assert state(back) == ("partially_refunded", 2000, 500)


def test_session_and_intent_tell_of_one_payment_counts_it_once() -> None:
    customer = pay()
    told = (customer.succeeded(at=at(1)), customer.checked_out(at=at(2)))
    assert state(come_to(*told)) == ("paid", 1500, 0)
    assert come_to(*told).paid_at == at(1)


def test_nothing_is_due_is_paid() -> None:
    customer = pay()
    event = customer.checked_out("no_payment_required", at=at(1))
    event["data"]["object"] |= {"amount_total": None, "currency": None, "payment_intent": None}
    payment = come_to(event)
    assert (state(payment), payment.reference) == (("paid", 0, 0), customer.session_id)


def test_refunds_in_parts_add_up_to_all_of_it() -> None:
    customer = pay()
    paid, first = customer.succeeded(at=at(1)), customer.gave_back(600, at=at(10))
    assert state(come_to(paid, first)) == ("partially_refunded", 1500, 600)
    assert state(come_to(paid, first, customer.gave_back(900, at=at(20)))) == ("refunded", 1500, 1500)


def test_refund_is_told_by_charge_and_by_itself_counts_once() -> None:
    customer = pay()
    paid = customer.succeeded(at=at(1))
    alone = customer.refund("created", "re_1", 600, status="pending", at=at(10))
    assert state(come_to(paid, alone)) == ("partially_refunded", 1500, 600)
    total = customer.gave_back(600, at=at(10))
    settled = customer.refund("updated", "re_1", 600, made_at=at(10), at=at(50))
    assert state(come_to(paid, alone, total, settled)) == ("partially_refunded", 1500, 600)
    later = customer.refund("created", "re_2", 100, at=at(60))
    assert state(come_to(paid, alone, total, settled, later)) == ("partially_refunded", 1500, 700)


@pytest.mark.parametrize("with_total", [True, False])
@pytest.mark.parametrize("with_creation", [True, False])
def test_refund_fails_later_is_paid_again(with_total: bool, with_creation: bool) -> None:
    customer = pay()
    events = [
        customer.succeeded(at=at(1)),
        customer.refund("failed", "re_1", 600, status="failed", made_at=at(10), at=at(90)),
    ]
    total, creation = customer.gave_back(600, at=at(10)), customer.refund("created", "re_1", 600, at=at(10))
    events += [total] * with_total + [creation] * with_creation
    assert state(come_to(*events)) == ("paid", 1500, 0)
    customer.refunded = 0
    again = customer.gave_back(400, at=at(200))
    assert state(come_to(*events, again)) == ("partially_refunded", 1500, 400)


def test_refund_is_known_before_the_payment_says_that_it_was_paid() -> None:
    customer = pay()
    back = customer.gave_back(600, at=at(50))
    payment = come_to(back)
    assert (state(payment), payment.paid_at) == (("partially_refunded", 1500, 600), NOON)
    assert come_to(back, customer.succeeded(at=at(5))).paid_at == at(5)


def test_single_refund_of_an_unknown_payment_says_nothing() -> None:
    fact = read_event(pay().refund("created", "re_1", 600, at=at(1))).fact
    assert fact is not None
    assert payment_of([fact]) is None
    assert payment_of([]) is None


def test_submission_has_expired_only_money_changes_that() -> None:
    customer = pay()
    for event in (customer.failed(at=at(1)), customer.checked_out("unpaid", at=at(1)), customer.expired(at=at(1))):
        assert come_to(event, over=True).status is PaymentStatus.EXPIRED
    assert come_to(customer.failed(at=at(1)), customer.succeeded(at=at(2)), over=True).status is PaymentStatus.PAID


@pytest.mark.parametrize(
    ("amount", "currency"), [(0, "eur"), (1, "jpy"), (1_234_567, "kwd"), (99_999_999, "usd"), (10**12, "idr")]
)
def test_amount_is_in_minor_units_stays_as_it_is(amount: int, currency: str) -> None:
    payment = come_to(pay(amount=amount, currency=currency).succeeded(at=at(1)))
    assert (payment.amount, payment.currency) == (amount, currency)


REFERENCES = st.sampled_from([None, "pi_1", "pi_2"])
FACTS = st.builds(
    Fact,
    kind=st.sampled_from(FactKind),
    at=st.integers(0, 6).map(at),
    payment=REFERENCES,
    checkout=st.sampled_from([None, "cs_1", "cs_2"]),
    amount=st.integers(0, 2000),
    currency=st.sampled_from(["eur", "usd"]),
    code=st.sampled_from([None, "expired_card"]),
    refund=st.sampled_from([None, "re_1", "re_2"]),
    made_at=st.integers(0, 6).map(at),
    whole=st.integers(0, 2000),
)


@given(st.lists(FACTS, max_size=12), st.data(), st.booleans())
def test_facts_come_in_any_order_and_again_come_to_the_same(facts: list[Fact], data: st.DataObject, over: bool) -> None:
    once = payment_of(facts, over=over)
    again = data.draw(st.lists(st.sampled_from(facts), max_size=6)) if facts else []
    assert payment_of(data.draw(st.permutations([*facts, *again])), over=over) == once
    if once is not None:
        assert 0 <= once.amount_refunded <= (once.amount or 0)
        assert (once.paid_at is not None) == (once.amount is not None)
        assert not (over and once.status in (PaymentStatus.FAILED, PaymentStatus.PROCESSING))


@given(FACTS)
def test_fact_is_stored_and_read_stays_the_same(fact: Fact) -> None:
    assert Fact.of(fact.document()) == fact


def test_what_was_authorised_and_never_captured_is_no_refund() -> None:
    customer = pay(amount=1000, captured=400)
    released = customer.gave_back(600, at=at(3))
    assert state(come_to(released)) == ("paid", 400, 0)
    assert state(come_to(released, customer.gave_back(100, at=at(4)))) == ("partially_refunded", 400, 100)
    assert state(come_to(released, customer.gave_back(300, at=at(5)))) == ("refunded", 400, 400)


def test_authorisation_that_is_let_go_of_as_a_whole_is_no_payment() -> None:
    customer = pay(amount=1000, captured=0)
    assert read_event(customer.gave_back(1000, at=at(3))).fact is None
    expired = customer.refund("created", "re_1", 1000, at=at(3))
    expired["data"]["object"]["reason"] = "expired_uncaptured_charge"
    assert read_event(expired).fact is None


def test_checkout_expires_and_its_intent_is_canceled_is_expired() -> None:
    customer = pay()
    for payment_intent in (None, customer.intent_id):
        expired = customer.expired(at=at(1))
        expired["data"]["object"]["payment_intent"] = payment_intent
        assert come_to(expired, customer.canceled("automatic", at=at(2))).status is PaymentStatus.EXPIRED
    assert come_to(customer.expired(at=at(1)), pay().failed(at=at(2))).status is PaymentStatus.FAILED


def test_amount_and_currency_are_of_one_object() -> None:
    shown, charged = pay(amount=1000, currency="usd"), pay(amount=930, currency="eur")
    charged.intent_id = shown.intent_id
    payment = come_to(shown.checked_out(at=at(1)), charged.succeeded(at=at(1)))
    assert (payment.amount, payment.currency) == (930, "eur")
    by_checkout = come_to(shown.checked_out(at=at(1)))
    assert (by_checkout.amount, by_checkout.currency) == (1000, "usd")
    refunded = come_to(shown.checked_out(at=at(1)), charged.gave_back(930, at=at(2)))
    assert (state(refunded), refunded.currency) == (("refunded", 930, 930), "eur")
    partly = come_to(shown.checked_out(at=at(1)), charged.refund("created", "re_1", 930, at=at(2)))
    assert state(partly) == ("paid", 1000, 0), "euros are not taken from dollars"


def test_disputed_money_is_contested_until_it_is_won() -> None:
    customer = pay()
    paid, opened = customer.succeeded(at=at(1)), customer.disputed(amount=500, at=at(5))
    payment = come_to(paid, opened, customer.disputed("funds_withdrawn", amount=500, at=at(5)))
    assert (payment.status, payment.amount_disputed, payment.amount_returned) == (PaymentStatus.DISPUTED, 500, 0)
    lost = come_to(paid, opened, customer.disputed("closed", amount=500, status="lost", at=at(9)))
    assert (lost.status, lost.amount_disputed) == (PaymentStatus.DISPUTED, 500)
    won = come_to(paid, opened, customer.disputed("closed", amount=500, status="won", at=at(9)))
    assert (won.status, won.amount_disputed) == (PaymentStatus.PAID, 0)
    two = come_to(paid, opened, customer.disputed(amount=100, dispute="dp_2", at=at(6)))
    assert two.amount_disputed == 600


@pytest.mark.parametrize("reason", ["insufficient_funds", "incorrect_account_details", "bank_cannot_process"])
def test_bank_takes_back_a_debit_is_returned_and_no_dispute(reason: str) -> None:
    customer = pay()
    returned = customer.disputed(reason=reason, status="lost", at=at(9))
    payment = come_to(customer.succeeded(at=at(1)), returned)
    assert (payment.status, payment.amount_returned, payment.amount_disputed) == (PaymentStatus.RETURNED, 1500, 0)
