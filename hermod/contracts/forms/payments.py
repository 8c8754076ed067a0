"""A tenant's account at a payment provider, and what the provider has told, on the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final

from pydantic import AfterValidator, Field, SecretStr, StringConstraints

from hermod.contracts.values.model import Model
from hermod.contracts.values.scalars import Flag

MOST_CONNECTED: Final = 100
MOST_SECRETS: Final = 5
"""While one is rolled there are two; several webhooks at Stripe may call the same address."""


def _is_signing_secret(given: SecretStr) -> SecretStr:
    text = given.get_secret_value()
    rest = text.removeprefix("whsec_")
    if rest == text or not 1 <= len(rest) <= 200 or not rest.isascii() or not rest.isprintable() or " " in rest:
        raise ValueError("must be the signing secret of a webhook: whsec_…")
    return given


ConnectedAccount = Annotated[str, StringConstraints(pattern=r"^acct_[A-Za-z0-9]{1,64}$")]
SigningSecret = Annotated[
    SecretStr, AfterValidator(_is_signing_secret), Field(json_schema_extra={"pattern": r"^whsec_[\x21-\x7e]{1,200}$"})
]


class StripeAccountInput(Model):
    """`PUT /v1/payment-accounts/stripe`. Secrets are write-only; leave them out to keep the stored ones."""

    secrets: tuple[SigningSecret, ...] | None = Field(default=None, min_length=1, max_length=MOST_SECRETS)
    """The signing secrets that hold, `whsec_…`: two while one is rolled. They replace the stored ones."""
    livemode: Flag = True
    """Whether it takes real money. Calls of the other mode are refused."""
    connected_accounts: tuple[ConnectedAccount, ...] | None = Field(default=None, max_length=MOST_CONNECTED)
    """Accounts of others, `acct_…`, whose payments count as well (Stripe Connect); all others are refused. They replace
    the stored ones; leave them out to keep those.
    """


class StripeAccountView(Model):
    """The account as it is shown: how many secrets there are, and never which."""

    secrets: int
    livemode: bool
    connected_accounts: tuple[str, ...] = ()
    url: str | None
    """What to give to Stripe as the webhook's address; null where this installation has no public address."""
    event_types: tuple[str, ...]
    """What to have the webhook called for."""
    created_at: datetime
    updated_at: datetime


class PaymentEventView(Model):
    """One thing that a payment provider has told. Nothing of the payer is kept."""

    id: str
    """The provider's, `evt_…`."""
    type: str
    submission: str | None
    """None while it is not known whose payment it is."""
    payment: str | None
    """`pi_…`"""
    checkout: str | None
    """`cs_…`"""
    fact: dict[str, Any]
    """What it says: amounts, codes and states."""
    occurred_at: datetime
    received_at: datetime


class PaymentEventPage(Model):
    items: tuple[PaymentEventView, ...]
    next_cursor: str | None
