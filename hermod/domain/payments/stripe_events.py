"""Stripe's events as facts about payments. What is of the payer (names, addresses, cards) is not even looked at.

Only what is listed here says something of a payment; every other type is left aside. Fields are those that all of
Stripe's API versions have had, so the version of an account's webhook does not matter.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from hermod.domain.payments.payments import Fact, FactKind

CHECKOUT_FAILED: Final = "async_payment_failed"
"""The code of a delayed payment of which its checkout session says no more than that it failed."""
_MOST: Final = 10**15
"""No amount is larger in any currency; the sum of many still fits the column."""
_LATEST: Final = 2**33
_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,255}")
_SUBMISSION: Final = re.compile(r"sub_[A-Za-z0-9]{1,60}")
_CODE: Final = re.compile(r"[a-z0-9_]{1,64}")
_CURRENCY: Final = re.compile(r"[A-Za-z]{3,8}")


class UnreadableEvent(Exception):
    """It is no event that Stripe documents. Says what is wrong, and quotes nothing of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StripeEvent:
    id: str
    """`evt_…`"""
    type: str
    at: datetime
    livemode: bool
    account: str | None = None
    """`acct_…`, where it is of an account that is connected to the tenant's own."""
    submission: str | None = None
    """Whose payment it is, where the event says so."""
    payment: str | None = None
    checkout: str | None = None
    fact: Fact | None = None
    """None where it says nothing of a payment."""


_Reader = Callable[[Mapping[str, Any], datetime], Fact | None]


def read_event(event: Any) -> StripeEvent:
    """An event as its webhook carries it, already parsed. Raises UnreadableEvent."""
    if not isinstance(event, Mapping):
        raise UnreadableEvent("the body is no object")
    if event.get("object") != "event":
        raise UnreadableEvent("only snapshot events can be read (`object: event`); thin events carry no payment")
    told = _object(event, "data")
    what = _object(told, "object")
    kind, at, livemode = event.get("type"), _moment(event, "created"), event.get("livemode")
    if not isinstance(kind, str) or not isinstance(livemode, bool):
        raise UnreadableEvent("the event has no type, or no livemode")
    own = _id(event, "id")
    if own is None:
        raise UnreadableEvent("the event has no id")
    account = _id(event, "account")
    reader = _READERS.get(kind)
    fact = reader(what, at) if reader is not None else None
    if fact is None:
        return StripeEvent(id=own, type=kind, at=at, livemode=livemode, account=account)
    return StripeEvent(
        id=own,
        type=kind,
        at=at,
        livemode=livemode,
        account=account,
        submission=_submission(what),
        payment=fact.payment,
        checkout=fact.checkout,
        fact=fact,
    )


def _succeeded(intent: Mapping[str, Any], at: datetime) -> Fact:
    return _of_intent(intent, FactKind.PAID, at, amount=_amount(intent, "amount_received"), currency=_currency(intent))


def _in_process(intent: Mapping[str, Any], at: datetime) -> Fact:
    return _of_intent(intent, FactKind.PROCESSING, at)


def _failed(intent: Mapping[str, Any], at: datetime) -> Fact:
    error = intent.get("last_payment_error")
    given = error if isinstance(error, Mapping) else {}
    code = _code(given, "decline_code") or _code(given, "code") or "payment_failed"
    return _of_intent(intent, FactKind.FAILED, at, code=code)


def _canceled(intent: Mapping[str, Any], at: datetime) -> Fact:
    return _of_intent(intent, FactKind.CANCELED, at, code=_code(intent, "cancellation_reason") or "canceled")


def _of_intent(intent: Mapping[str, Any], kind: FactKind, at: datetime, **more: Any) -> Fact:
    return Fact(kind, at, payment=_needed(intent, "id"), **more)


def _completed(session: Mapping[str, Any], at: datetime) -> Fact | None:
    """Where a card is kept for later, nothing has been paid; where the method is a delayed one, not yet."""
    if session.get("mode") == "setup":
        return None
    status = session.get("payment_status")
    if status == "unpaid":
        return _of_checkout(session, FactKind.PROCESSING, at)
    if status == "no_payment_required":
        return _of_checkout(session, FactKind.PAID, at, amount=0)
    if status != "paid":
        raise UnreadableEvent("the checkout session has no known payment_status")
    return _paid_by_checkout(session, at)


def _paid_by_checkout(session: Mapping[str, Any], at: datetime) -> Fact:
    amount, currency = _amount(session, "amount_total"), _currency(session)
    return _of_checkout(session, FactKind.PAID, at, amount=amount, currency=currency)


def _failed_later(session: Mapping[str, Any], at: datetime) -> Fact:
    return _of_checkout(session, FactKind.FAILED, at, code=CHECKOUT_FAILED)


def _expired(session: Mapping[str, Any], at: datetime) -> Fact:
    return _of_checkout(session, FactKind.EXPIRED, at)


def _of_checkout(session: Mapping[str, Any], kind: FactKind, at: datetime, **more: Any) -> Fact:
    return Fact(kind, at, payment=_id(session, "payment_intent"), checkout=_needed(session, "id"), **more)


def _refunded(charge: Mapping[str, Any], at: datetime) -> Fact | None:
    """A charge of which some has been given back. One without an intent stands for its own payment.

    Stripe counts what was authorised and never captured as given back as well: that had not been paid.
    """
    if charge.get("captured") is False:
        return None
    whole = _amount(charge, "amount")
    captured = _amount(charge, "amount_captured") if charge.get("amount_captured") is not None else whole
    if captured == 0:
        return None
    return Fact(
        FactKind.REFUNDED,
        at,
        payment=_id(charge, "payment_intent") or _needed(charge, "id"),
        amount=max(_amount(charge, "amount_refunded") - max(whole - captured, 0), 0),
        currency=_currency(charge),
        made_at=_moment(charge, "created"),
        whole=captured,
    )


def _refund(refund: Mapping[str, Any], at: datetime) -> Fact | None:
    """One refund. Until it fails or is canceled it counts, as it does in the total of its charge."""
    payment = _id(refund, "payment_intent") or _id(refund, "charge")
    if payment is None or refund.get("reason") == "expired_uncaptured_charge":
        return None
    dead = refund.get("status") in ("failed", "canceled")
    return Fact(
        FactKind.REFUND,
        at,
        payment=payment,
        amount=_amount(refund, "amount"),
        currency=_currency(refund),
        code=(_code(refund, "failure_reason") or str(refund["status"])) if dead else None,
        refund=_needed(refund, "id"),
        made_at=_moment(refund, "created"),
    )


def _disputed(dispute: Mapping[str, Any], at: datetime) -> Fact | None:
    """One dispute. What is won, or was no more than a question, contests nothing any more.

    Money of a bank debit that does not come after all is told as a dispute, too, by these reasons.
    """
    payment = _id(dispute, "payment_intent") or _id(dispute, "charge")
    if payment is None:
        return None
    reason = _code(dispute, "reason") or "general"
    won = dispute.get("status") in ("won", "warning_closed", "prevented")
    return Fact(
        FactKind.RETURNED if reason in _RETURNED_BY_BANK else FactKind.DISPUTED,
        at,
        payment=payment,
        amount=0 if won else _amount(dispute, "amount"),
        currency=_currency(dispute),
        code=reason,
        refund=_needed(dispute, "id"),
    )


_RETURNED_BY_BANK: Final = frozenset(
    {"bank_cannot_process", "check_returned", "incorrect_account_details", "insufficient_funds"}
)
_READERS: Final[Mapping[str, _Reader]] = {
    "payment_intent.succeeded": _succeeded,
    "payment_intent.processing": _in_process,
    "payment_intent.payment_failed": _failed,
    "payment_intent.canceled": _canceled,
    "checkout.session.completed": _completed,
    "checkout.session.async_payment_succeeded": _paid_by_checkout,
    "checkout.session.async_payment_failed": _failed_later,
    "checkout.session.expired": _expired,
    "charge.refunded": _refunded,
    "charge.refund.updated": _refund,
    "refund.created": _refund,
    "refund.updated": _refund,
    "refund.failed": _refund,
    "charge.dispute.created": _disputed,
    "charge.dispute.updated": _disputed,
    "charge.dispute.closed": _disputed,
    "charge.dispute.funds_withdrawn": _disputed,
    "charge.dispute.funds_reinstated": _disputed,
}
EVENT_TYPES: Final = tuple(_READERS)
"""What a webhook at Stripe should be set up for."""


def _submission(what: Mapping[str, Any]) -> str | None:
    """Whose payment the application has said it is: in the metadata, or as the session's reference.

    Anything else that stands there belongs to others, and may be personal.
    """
    metadata = what.get("metadata")
    named = metadata.get("submission_id") if isinstance(metadata, Mapping) else None
    for given in (named, what.get("client_reference_id")):
        if isinstance(given, str) and _SUBMISSION.fullmatch(given):
            return given
    return None


def _object(of: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = of.get(name)
    if not isinstance(value, Mapping):
        raise UnreadableEvent(f"the event has no {name}")
    return value


def _id(of: Mapping[str, Any], name: str) -> str | None:
    """An id, also where Stripe has expanded it to the whole object."""
    value = of.get(name)
    if isinstance(value, Mapping):
        value = value.get("id")
    if value is None:
        return None
    if not isinstance(value, str) or not _ID.fullmatch(value):
        raise UnreadableEvent(f"{name} is no id")
    return value


def _needed(of: Mapping[str, Any], name: str) -> str:
    found = _id(of, name)
    if found is None:
        raise UnreadableEvent(f"{name} is missing")
    return found


def _amount(of: Mapping[str, Any], name: str) -> int:
    value = of.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < _MOST:
        raise UnreadableEvent(f"{name} is no amount")
    return value


def _currency(of: Mapping[str, Any]) -> str:
    value = of.get("currency")
    if not isinstance(value, str) or not _CURRENCY.fullmatch(value):
        raise UnreadableEvent("currency is none")
    return value.lower()


def _code(of: Mapping[str, Any], name: str) -> str | None:
    """A code of Stripe's, which are words of a closed set; what looks otherwise is not taken over."""
    value = of.get(name)
    return value if isinstance(value, str) and _CODE.fullmatch(value) else None


def _moment(of: Mapping[str, Any], name: str) -> datetime:
    value = of.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < _LATEST:
        raise UnreadableEvent(f"{name} is no time")
    return datetime.fromtimestamp(value, UTC)
