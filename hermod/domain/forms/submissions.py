"""What becomes of a submission next, decided from its record alone: whoever asks, and however often, it is the same.

    save -> (payment: wait until it is paid or expired) -> tell -> done

A payment may say more at any time, also after the end: a refund, or money that came too late. The record then has
something that was not told yet, and telling it is the next step.

Of what was caught as spam only money is told: whoever paid is no machine, or somebody has to give it back.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from hermod.contracts.forms.forms import FormMoment, PaymentStatus, SubmissionStatus

LOOK_AGAIN: Final = timedelta(days=1)
"""A payment that takes days is not expired; its submission looks at the record so often, should a signal be lost."""
LONGEST_WAIT: Final = timedelta(minutes=5)
"""Between two requests to a backend that is away, unless it asks for more."""
JITTER: Final = 0.3

_GONE: Final = frozenset({PaymentStatus.REFUNDED, PaymentStatus.RETURNED})
_PAID: Final = _GONE | {PaymentStatus.PAID, PaymentStatus.PARTIALLY_REFUNDED, PaymentStatus.DISPUTED}


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmissionState:
    """What of a submission's record decides its next step."""

    saved: bool
    awaits_payment: bool
    """Whether its form asks for a payment before it is complete."""
    payment: PaymentStatus | None
    expires_at: datetime | None
    failures: int
    """Tries to pay that failed."""
    refunds: int
    """How often the sum that was given back has changed."""
    disputes: int = 0
    """How often the sum that is contested has changed."""
    returns: int = 0
    """How often the sum that the payer's bank took back has changed."""
    is_spam: bool = False
    told: frozenset[str]
    """Marks of the moments that were announced, as `Tell.mark` makes them."""


@dataclass(frozen=True, slots=True)
class Save:
    """Hand it to the user's own backend, where there is one."""


@dataclass(frozen=True, slots=True)
class Tell:
    """Announce a moment. `turn` tells moments apart that may come more than once."""

    moment: FormMoment
    turn: str = ""

    @property
    def mark(self) -> str:
        return f"{self.moment.value}:{self.turn}" if self.turn else self.moment.value


@dataclass(frozen=True, slots=True)
class Expire:
    """Its time is over, unless a payment comes in the same moment."""


@dataclass(frozen=True, slots=True)
class Wait:
    until: datetime


@dataclass(frozen=True, slots=True)
class Done:
    status: SubmissionStatus


Move = Save | Tell | Expire | Wait | Done


def next_move(standing: SubmissionState, now: datetime) -> Move:
    if standing.is_spam:
        untold = (tell for tell in _of_money(standing) if tell.mark not in standing.told)
        return next(untold, Done(SubmissionStatus.SPAM))
    if not standing.saved:
        return Save()
    complete, over = _is_complete(standing), _is_over(standing)
    for tell in _due(standing, complete, over):
        if tell.mark not in standing.told:
            return tell
    if complete:
        return Done(SubmissionStatus.COMPLETED)
    if over:
        return Done(SubmissionStatus.EXPIRED)
    if standing.expires_at is None or standing.expires_at > now:
        return Wait(standing.expires_at or now + LOOK_AGAIN)
    return Wait(now + LOOK_AGAIN) if standing.payment is PaymentStatus.PROCESSING else Expire()


def _is_complete(standing: SubmissionState) -> bool:
    """Whether it is paid, where its form asks for that. Money that came too late and went back completes nothing."""
    if not standing.awaits_payment or Tell(FormMoment.COMPLETED).mark in standing.told:
        return True
    came_too_late = Tell(FormMoment.EXPIRED).mark in standing.told
    return standing.payment in _PAID and not (came_too_late and standing.payment in _GONE)


def _is_over(standing: SubmissionState) -> bool:
    """Whether its time to be paid has ended."""
    expired = standing.payment is PaymentStatus.EXPIRED or Tell(FormMoment.EXPIRED).mark in standing.told
    return standing.awaits_payment and expired


def _due(standing: SubmissionState, complete: bool, over: bool) -> list[Tell]:
    """Everything that there is to tell by now, in the order in which it is told."""
    due = []
    if standing.payment is PaymentStatus.FAILED:
        due.append(Tell(FormMoment.PAYMENT_FAILED, str(standing.failures)))
    if complete and standing.payment in _PAID:
        due.append(Tell(FormMoment.PAID))
    if complete:
        due.append(Tell(FormMoment.COMPLETED))
    elif over:
        due.append(Tell(FormMoment.EXPIRED))
    return [*due, *_of_money_that_went_back(standing)]


def _of_money(standing: SubmissionState) -> list[Tell]:
    paid = [Tell(FormMoment.PAID)] if standing.payment in _PAID else []
    return [*paid, *_of_money_that_went_back(standing)]


def _of_money_that_went_back(standing: SubmissionState) -> list[Tell]:
    changes = (
        (FormMoment.REFUNDED, standing.refunds),
        (FormMoment.DISPUTED, standing.disputes),
        (FormMoment.PAYMENT_RETURNED, standing.returns),
    )
    return [Tell(moment, str(count)) for moment, count in changes if count > 0]


def backend_wait(attempt: int, chance: float, retry_after: float | None) -> timedelta:
    """The wait after the `attempt`-th request (from 1) to a backend that is away. `chance` is from 0 to 1.

    `retry_after` (seconds) lengthens the wait, never shortens it.
    """
    wait = min(timedelta(seconds=2 ** min(attempt, 20)) * (1 + JITTER * chance), LONGEST_WAIT)
    return max(wait, timedelta(seconds=retry_after or 0.0))
