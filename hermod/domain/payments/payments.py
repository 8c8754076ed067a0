"""What a submission's payment has come to, made of all that its provider has told about it. Pure.

A provider tells things late, more than once and in any order, and several things about one and the same change. So
nothing here is a step from one state to the next: every fact is kept, and `payment_of` makes the state of all of them.
It gives the same answer for the same facts, however often and in whatever order they came.

A submission may be paid in several attempts: each payment intent is one, together with the checkout session that made
it. One intent may fail any number of times before it succeeds. What has succeeded stays so; money that goes back is a
refund, or contested, or taken back by the payer's bank. Amounts are in the currency's smallest unit, as the provider
counts, so no currency needs special care.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final, NamedTuple, Self

from hermod.contracts.forms.forms import PaymentStatus


class FactKind(StrEnum):
    PAID = "paid"
    PROCESSING = "processing"
    """The payer has done their part; the money comes or does not come within days."""
    FAILED = "failed"
    CANCELED = "canceled"
    """It cannot be paid by this intent any more, and nobody tried to."""
    EXPIRED = "expired"
    """The page where it could be paid was closed."""
    REFUNDED = "refunded"
    """So much of `whole` has been given back, all refunds together, at that moment. So it had been paid before."""
    REFUND = "refund"
    """One refund by its id; `code` says why where it came to nothing."""
    DISPUTED = "disputed"
    """One dispute by its id: the payer contests so much of it, for the reason in `code`; 0 once that was won."""
    RETURNED = "returned"
    """The same, where the payer's bank takes it back since there is no money, or no such account."""


class Fact(NamedTuple):
    """One thing that a provider has told."""

    kind: FactKind
    at: datetime
    """When it happened, by the provider's clock, whose seconds are whole."""
    payment: str | None = None
    """`pi_…`"""
    checkout: str | None = None
    """`cs_…`, where a checkout session told it."""
    amount: int | None = None
    currency: str | None = None
    code: str | None = None
    """Why it failed, as the provider calls it."""
    refund: str | None = None
    """`re_…`, or of a dispute `dp_…`, `du_…`"""
    made_at: datetime | None = None
    """When the refund was asked for; of all refunds together, when what they give back was charged."""
    whole: int | None = None

    def document(self) -> dict[str, Any]:
        """As it is stored: plain JSON, without what is not known."""
        given = {name: value for name, value in self._asdict().items() if value is not None}
        return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in given.items()}

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        moments = {name: datetime.fromisoformat(document[name]) for name in ("at", "made_at") if name in document}
        return cls(**{**document, **moments, "kind": FactKind(document["kind"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """What it has come to."""

    status: PaymentStatus
    reference: str | None = None
    """Of the attempt that paid, or else of the one that says where things stand."""
    amount: int | None = None
    """Received, refunded or not; of several payments the sum."""
    amount_refunded: int = 0
    amount_disputed: int = 0
    amount_returned: int = 0
    currency: str | None = None
    paid_at: datetime | None = None
    failure_code: str | None = None
    failures: int = 0
    """Tries that failed, whatever came of it in the end."""


_WITHOUT_MONEY: Final = {
    FactKind.PROCESSING: PaymentStatus.PROCESSING,
    FactKind.CANCELED: PaymentStatus.FAILED,
    FactKind.FAILED: PaymentStatus.FAILED,
    FactKind.EXPIRED: PaymentStatus.EXPIRED,
}
_RANK: Final = {kind: rank for rank, kind in enumerate(_WITHOUT_MONEY)}
"""What comes after what within one second."""
_FAILURES: Final = frozenset({FactKind.FAILED, FactKind.CANCELED})
_NEVER: Final = datetime.min.replace(tzinfo=UTC)


def payment_of(facts: Iterable[Fact], *, over: bool = False) -> Payment | None:
    """What the facts come to; None where they say nothing of a payment (a refund of who knows what, or no fact).

    `over`: the submission has expired. Nothing but money changes that.
    """
    facts = set(facts)
    if any(fact.kind is FactKind.EXPIRED for fact in facts):
        # A checkout session that expires takes its intent along, which begins nothing anew.
        facts = {fact for fact in facts if fact.kind is not FactKind.CANCELED}
    attempts = _attempts(facts)
    failures = sum(attempt.failures for attempt in attempts)
    paid = sorted((attempt for attempt in attempts if attempt.is_paid), key=lambda one: (one.paid_at, one.key))
    if paid:
        return _paid(paid, failures)
    tried = [(attempt.newest, attempt.key) for attempt in attempts if attempt.newest is not None]
    if not tried:
        return None
    last, key = max(tried, key=_by_weight)
    status = PaymentStatus.EXPIRED if over else _WITHOUT_MONEY[last.kind]
    code = None if status is PaymentStatus.PROCESSING else _last_code(attempts)
    return Payment(status=status, reference=key, failure_code=code, failures=failures)


class _Attempt:
    """The facts about one payment intent, or about a checkout session of which no intent is known."""

    def __init__(self, key: str, facts: Sequence[Fact]) -> None:
        self.key = key
        self.facts = facts
        self.paid = _of(facts, FactKind.PAID)
        self.totals = _of(facts, FactKind.REFUNDED)
        self._told = self._what_was_received()
        tries = [fact for fact in facts if fact.kind in _RANK]
        self.newest = max(tries, key=_order, default=None)
        self.failures = _failures(tries)

    @property
    def is_paid(self) -> bool:
        return bool(self.paid or self.totals)

    @property
    def paid_at(self) -> datetime:
        """As it was told, or else as a refund lets conclude."""
        told = [fact.at for fact in self.paid] or [fact.made_at or fact.at for fact in self.totals]
        return min(told, default=_NEVER)

    @property
    def amount(self) -> int:
        return self._told[0]

    @property
    def currency(self) -> str | None:
        return self._told[1] or None

    def _what_was_received(self) -> tuple[int, str]:
        """Amount and currency as one object tells them: the intent, else its charge, else the checkout session, which
        may have shown the payer another currency than they paid in.
        """
        by_intent = [(fact.amount or 0, fact.currency or "") for fact in self.paid if fact.checkout is None]
        by_charge = [(fact.whole or 0, fact.currency or "") for fact in self.totals]
        by_checkout = [(fact.amount or 0, fact.currency or "") for fact in self.paid]
        return max(by_intent or by_charge or by_checkout, default=(0, ""))

    def taken_back(self, kind: FactKind) -> int:
        """What of it is contested, or was returned: of each dispute what was told last."""
        newest = (max(same, key=_by_dispute).amount or 0 for same in _by_refund(self._in_its_currency(kind)))
        return min(sum(newest), self.amount)

    def _in_its_currency(self, kind: FactKind) -> list[Fact]:
        return [fact for fact in _of(self.facts, kind) if fact.currency in (None, self.currency)]

    @property
    def refunded(self) -> int:
        """The newest total that was told, with what is known of single refunds since then."""
        told_at, total = max(((fact.at, fact.amount or 0) for fact in self.totals), default=(_NEVER, 0))
        for same in _by_refund(self._in_its_currency(FactKind.REFUND)):
            made_at = min(fact.made_at or fact.at for fact in same)
            failed_at = min((fact.at for fact in same if fact.code), default=None)
            amount = max(fact.amount or 0 for fact in same)
            if made_at > told_at and failed_at is None:
                total += amount
            elif made_at <= told_at and failed_at is not None and failed_at >= told_at:
                total -= amount
        return min(max(total, 0), self.amount)


def _attempts(facts: Collection[Fact]) -> list[_Attempt]:
    intents = {fact.checkout: fact.payment for fact in sorted(facts, key=repr) if fact.checkout and fact.payment}
    grouped: defaultdict[str, list[Fact]] = defaultdict(list)
    for fact in facts:
        checkout = fact.checkout or ""
        grouped[fact.payment or intents.get(checkout, checkout)].append(fact)
    return [_Attempt(key, same) for key, same in sorted(grouped.items())]


def _paid(attempts: Sequence[_Attempt], failures: int) -> Payment:
    """Of attempts that were paid, the first first. What came in another currency cannot be added to it."""
    first = attempts[0]
    same = [attempt for attempt in attempts if attempt.currency == first.currency]
    amount, refunded = sum(attempt.amount for attempt in same), sum(attempt.refunded for attempt in same)
    disputed = sum(attempt.taken_back(FactKind.DISPUTED) for attempt in same)
    returned = sum(attempt.taken_back(FactKind.RETURNED) for attempt in same)
    if refunded and refunded >= amount:
        status = PaymentStatus.REFUNDED
    elif returned and returned + refunded >= amount:
        status = PaymentStatus.RETURNED
    elif disputed:
        status = PaymentStatus.DISPUTED
    else:
        status = PaymentStatus.PARTIALLY_REFUNDED if refunded else PaymentStatus.PAID
    return Payment(
        status=status,
        reference=first.key,
        amount=amount,
        amount_refunded=refunded,
        amount_disputed=disputed,
        amount_returned=returned,
        currency=first.currency,
        paid_at=first.paid_at,
        failures=failures,
    )


def _failures(tries: Sequence[Fact]) -> int:
    """How often it failed. A checkout session and its intent may each tell of one and the same failure."""
    failed = [fact for fact in tries if fact.kind in _FAILURES]
    of_intent = {fact.at for fact in failed if fact.checkout is None}
    of_checkout = {fact.at for fact in failed if fact.checkout is not None}
    return max(len(of_intent), len(of_checkout))


def _last_code(attempts: Sequence[_Attempt]) -> str | None:
    """Why it failed last. An intent knows more of it than its checkout session, and is believed first."""
    failed = [fact for one in attempts for fact in one.facts if fact.kind in _FAILURES and fact.code]
    newest = max(failed, key=lambda fact: (fact.checkout is None, fact.at, fact.code), default=None)
    return newest.code if newest is not None else None


def _by_refund(facts: Iterable[Fact]) -> list[list[Fact]]:
    single: defaultdict[str, list[Fact]] = defaultdict(list)
    for fact in facts:
        if fact.refund:
            single[fact.refund].append(fact)
    return list(single.values())


def _by_weight(tried: tuple[Fact, str]) -> tuple[bool, datetime, int, str]:
    """An attempt that may still come to something counts for more than another one's end, however late that is."""
    last, key = tried
    return last.kind is FactKind.PROCESSING, *_order(last), key


def _order(fact: Fact) -> tuple[datetime, int]:
    return fact.at, _RANK[fact.kind]


def _by_dispute(fact: Fact) -> tuple[datetime, bool, int]:
    """What is won within the second in which it is contested, is won."""
    return fact.at, not fact.amount, fact.amount or 0


def _of(facts: Iterable[Fact], kind: FactKind) -> list[Fact]:
    return [fact for fact in facts if fact.kind is kind]
