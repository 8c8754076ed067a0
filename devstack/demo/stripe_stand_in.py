"""Calls as Stripe makes them, for the demo and the tests: whole events of one payment, printed and signed as it does.

Nothing of the product's own reading is used here, so that the two check each other. The payer is in every object, as
they are in Stripe's, so that a test can see that nothing of them is kept.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

API_VERSION: Final = "2026-10-28.endive"
PAYER: Final = {
    "name": "Ada Lovelace",
    "email": "ada.payer@example.com",
    "phone": "+14155550123",
    "address": {"city": "London", "country": "GB", "line1": "12 St James Square", "postal_code": "SW1Y 4JH"},
}


@dataclass(frozen=True, slots=True)
class StripeCall:
    body: bytes
    headers: dict[str, str]


def new_id(prefix: str) -> str:
    return f"{prefix}_{secrets.token_hex(12)}"


def signed(body: bytes, secret: str, at: datetime | None = None) -> StripeCall:
    """The call with this body, signed at that time."""
    timestamp = str(int((at or datetime.now(UTC)).timestamp()))
    signature = hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()
    headers = {
        "stripe-signature": f"t={timestamp},v1={signature},v0={secrets.token_hex(32)}",
        "content-type": "application/json; charset=utf-8",
        "user-agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
    }
    return StripeCall(body, headers)


def printed(event: object) -> bytes:
    """Stripe prints its events for people to read, with spaces that a signature covers."""
    return json.dumps(event, indent=2, ensure_ascii=False).encode()


def event(kind: str, what: dict[str, Any], *, at: datetime | None = None, livemode: bool = False) -> dict[str, Any]:
    """An event about an object."""
    return {
        "id": new_id("evt"),
        "object": "event",
        "api_version": API_VERSION,
        "created": _seconds(at),
        "data": {"object": what},
        "livemode": livemode,
        "pending_webhooks": 1,
        "request": {"id": new_id("req"), "idempotency_key": None},
        "type": kind,
    }


@dataclass(slots=True)
class StripePayment:
    """One payment of a customer, who goes through a checkout session and its payment intent."""

    submission: str | None
    amount: int = 1_500
    currency: str = "eur"
    livemode: bool = False
    intent_id: str = field(default_factory=lambda: new_id("pi"))
    session_id: str = field(default_factory=lambda: new_id("cs_test"))
    charge_id: str = field(default_factory=lambda: new_id("ch"))
    charged_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    refunded: int = 0
    captured: int | None = None
    """Of what was authorised, where that is not all of it."""

    def succeeded(self, *, at: datetime | None = None) -> dict[str, Any]:
        return self._of_intent("payment_intent.succeeded", at, status="succeeded", amount_received=self.amount)

    def processing(self, *, at: datetime | None = None) -> dict[str, Any]:
        return self._of_intent("payment_intent.processing", at, status="processing")

    def failed(self, code: str = "insufficient_funds", *, at: datetime | None = None) -> dict[str, Any]:
        error = {
            "type": "card_error",
            "code": "card_declined",
            "decline_code": code,
            "message": f"The card of {PAYER['name']} was declined.",
            "charge": self.charge_id,
            "payment_method": {"id": new_id("pm"), "billing_details": PAYER},
        }
        status = "requires_payment_method"
        return self._of_intent("payment_intent.payment_failed", at, status=status, last_payment_error=error)

    def canceled(self, reason: str | None = "abandoned", *, at: datetime | None = None) -> dict[str, Any]:
        return self._of_intent("payment_intent.canceled", at, status="canceled", cancellation_reason=reason)

    def checked_out(self, payment_status: str = "paid", *, at: datetime | None = None) -> dict[str, Any]:
        """The customer has gone through; with `unpaid`, by a method whose money comes within days."""
        return self._of_session("completed", at, status="complete", payment_status=payment_status)

    def paid_later(self, *, at: datetime | None = None) -> dict[str, Any]:
        return self._of_session("async_payment_succeeded", at, status="complete", payment_status="paid")

    def failed_later(self, *, at: datetime | None = None) -> dict[str, Any]:
        return self._of_session("async_payment_failed", at, status="complete", payment_status="unpaid")

    def expired(self, *, at: datetime | None = None) -> dict[str, Any]:
        """Nobody paid while the session was open; such a session has no intent."""
        changes = {"status": "expired", "payment_status": "unpaid", "payment_intent": None}
        return self._of_session("expired", at, **changes)

    def gave_back(self, amount: int, *, at: datetime | None = None) -> dict[str, Any]:
        """The charge, of which some more has been given back."""
        self.refunded += amount
        charge = {
            "id": self.charge_id,
            "object": "charge",
            "amount": self.amount,
            "amount_captured": self.amount if self.captured is None else self.captured,
            "amount_refunded": self.refunded,
            "billing_details": PAYER,
            "created": _seconds(self.charged_at),
            "currency": self.currency,
            "metadata": self._metadata(),
            "payment_intent": self.intent_id,
            "receipt_email": PAYER["email"],
            "captured": self.captured != 0,
            "refunded": self.refunded == self.amount,
            "status": "succeeded",
        }
        return self._event("charge.refunded", charge, at)

    def refund(
        self,
        verb: str,
        refund: str,
        amount: int,
        *,
        status: str = "succeeded",
        made_at: datetime | None = None,
        at: datetime | None = None,
    ) -> dict[str, Any]:
        """A single refund: `refund.created`, `refund.updated` or `refund.failed`. It has no metadata of its own."""
        made = {
            "id": refund,
            "object": "refund",
            "amount": amount,
            "charge": self.charge_id,
            "created": _seconds(made_at or at),
            "currency": self.currency,
            "failure_reason": "lost_or_stolen_card" if status == "failed" else None,
            "metadata": {},
            "payment_intent": self.intent_id,
            "reason": "requested_by_customer",
            "status": status,
        }
        return self._event(f"refund.{verb}", made, at)

    def disputed(
        self,
        verb: str = "created",
        *,
        amount: int | None = None,
        reason: str = "fraudulent",
        status: str = "needs_response",
        dispute: str = "dp_1",
        at: datetime | None = None,
    ) -> dict[str, Any]:
        """The payer's bank contests the charge, or returns it: `charge.dispute.created`, `.closed` and so on."""
        contested = {
            "id": dispute,
            "object": "dispute",
            "amount": self.amount if amount is None else amount,
            "charge": self.charge_id,
            "created": _seconds(at),
            "currency": self.currency,
            "evidence": {"customer_name": PAYER["name"], "customer_email_address": PAYER["email"]},
            "metadata": {},
            "payment_intent": self.intent_id,
            "reason": reason,
            "status": status,
        }
        return self._event(f"charge.dispute.{verb}", contested, at)

    def _of_intent(self, kind: str, at: datetime | None, **changes: Any) -> dict[str, Any]:
        intent = {
            "id": self.intent_id,
            "object": "payment_intent",
            "amount": self.amount,
            "amount_received": 0,
            "cancellation_reason": None,
            "created": _seconds(self.charged_at),
            "currency": self.currency,
            "customer": new_id("cus"),
            "last_payment_error": None,
            "latest_charge": self.charge_id,
            "livemode": self.livemode,
            "metadata": self._metadata(),
            "payment_method": new_id("pm"),
            "receipt_email": PAYER["email"],
            "shipping": {"name": PAYER["name"], "address": PAYER["address"]},
        }
        return self._event(kind, intent | changes, at)

    def _of_session(self, verb: str, at: datetime | None, **changes: Any) -> dict[str, Any]:
        session = {
            "id": self.session_id,
            "object": "checkout.session",
            "amount_subtotal": self.amount,
            "amount_total": self.amount,
            "client_reference_id": None,
            "created": _seconds(self.charged_at),
            "currency": self.currency,
            "customer_details": PAYER,
            "customer_email": PAYER["email"],
            "livemode": self.livemode,
            "metadata": self._metadata(),
            "mode": "payment",
            "payment_intent": self.intent_id,
        }
        return self._event(f"checkout.session.{verb}", session | changes, at)

    def _metadata(self) -> dict[str, str]:
        return {} if self.submission is None else {"submission_id": self.submission}

    def _event(self, kind: str, what: dict[str, Any], at: datetime | None) -> dict[str, Any]:
        return event(kind, what, at=at, livemode=self.livemode)


def _seconds(at: datetime | None) -> int:
    return int((at or datetime.now(UTC)).timestamp())
