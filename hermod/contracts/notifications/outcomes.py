"""The seven things one wire request can come to. Adapters translate into these; nothing branches on a provider's text.

    Accepted            the provider took it, and this is its id
    Throttled           too much at the moment; not taken; spends no attempt
    Transient           provably not taken, may work later or elsewhere (connection refused, 4xx greylisting)
    OutcomeUnknown      nobody can say (time-out or reset after the request left, 5xx on a POST that may have worked)
    RecipientRejected   this address will never work
    MessageRejected     this content will never be taken
    AccountHalted       the account cannot send: credentials, billing, sender not allowed

`status_code` is HTTP's or SMTP's, `error_code` the vendor's own, `error` one line for people (no secrets in it).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Final

from hermod.contracts.notifications.messages import Outcome
from hermod.contracts.values.scalars import is_sendable, sendable

_WORDS: Final = ("error_code", "error", "provider_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Result:
    kind: ClassVar[Outcome]
    status_code: int | None = None
    error_code: str | None = None
    error: str | None = None

    def __post_init__(self) -> None:
        """A vendor may write anything; what is kept of it can be stored."""
        for name in _WORDS:
            said = getattr(self, name, None)
            if said is not None and not is_sendable(said):
                object.__setattr__(self, name, sendable(said))


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted(_Result):
    kind = Outcome.ACCEPTED
    provider_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Throttled(_Result):
    """`retry_after`: seconds the provider asked for, or None where it named none."""

    kind = Outcome.THROTTLED
    retry_after: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Transient(_Result):
    kind = Outcome.TRANSIENT
    retry_after: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeUnknown(_Result):
    kind = Outcome.UNKNOWN


class Fault(StrEnum):
    """Why an address was refused: what is learnt about it for the next message."""

    INVALID = "invalid"
    """There is no such address, number or account."""
    OPTED_OUT = "opted_out"
    """Its owner does not want messages from us (STOP)."""
    UNREGISTERED = "unregistered"
    """A push token whose app is gone."""
    WRONG_TOKEN = "wrong_token"
    """A push token that is not valid here: dead, or of another environment than the account's."""
    LISTED = "listed"
    """The provider keeps it on a list of its own: bounced or complained before."""
    UNREACHABLE = "unreachable"
    """Nothing that may be held against the address for ever."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipientRejected(_Result):
    kind = Outcome.RECIPIENT_REJECTED
    fault: Fault = Fault.INVALID


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageRejected(_Result):
    kind = Outcome.MESSAGE_REJECTED


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountHalted(_Result):
    kind = Outcome.ACCOUNT_HALTED


AnyOutcome = Accepted | Throttled | Transient | OutcomeUnknown | RecipientRejected | MessageRejected | AccountHalted
