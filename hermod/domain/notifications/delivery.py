"""The heart of a delivery, pure: given where a message stands and what one request came to, what happens next.

A *round* tries the tenant's accounts in their order, each at most once, until one accepts. A retry counts rounds.
A round in which every account only asked us to wait, or was halted, is not counted: an outage of the account
costs a message time, never its attempts.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from hermod.contracts.notifications.messages import Guarantee, Outcome, Status
from hermod.contracts.notifications.outcomes import AnyOutcome, Throttled, Transient
from hermod.contracts.notifications.retries import Preset
from hermod.domain.backoff import asked_wait, next_delay, schedule

IN_DOUBT: Final = "what became of an earlier request is unknown, so it may have arrived"


@dataclass(frozen=True, slots=True)
class RetryState:
    """Where a message stands when a request of its current round has ended."""

    guarantee: Guarantee
    retry: Preset | tuple[float, ...]
    """What counts with the account just asked: a preset, or waits in seconds."""
    spent: int
    """Rounds already counted, this one not."""
    not_after: datetime | None
    spending: bool
    """Whether an earlier request of this round already makes the round count."""
    idempotent: bool
    """Whether the provider just asked recognises a repeat by our key."""
    together: bool = False
    """Whether the request was for several messages, and what it came to may be about another of them."""
    doubtful: bool = False
    """Whether the outcome of an earlier request is unknown, so that the message may have arrived."""


@dataclass(frozen=True, slots=True)
class End:
    """The message is done, as `status`."""

    status: Status
    reason: str


@dataclass(frozen=True, slots=True)
class FailOver:
    """Try the next account at once. `spending`: whether the round counts from now on."""

    reason: str
    spending: bool
    otherwise: Retry | End
    """What to do where no other account is left."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Wait, then begin a new round. `spent`: the rounds counted by then.

    `shared`: the account is in trouble and not the message, so everybody who needs that account waits alike.
    """

    delay: timedelta
    spent: int
    reason: str
    shared: bool = False


Step = End | FailOver | Retry


def after(outcome: AnyOutcome, standing: RetryState, now: datetime, chance: float) -> Step:
    """What follows `outcome`. `chance` (0 to 1) is the jitter's dice."""
    match outcome.kind:
        case Outcome.ACCEPTED:
            return End(Status.SENT, "accepted by the provider")
        case Outcome.RECIPIENT_REJECTED:
            return End(Status.FAILED, "the provider says this recipient cannot be reached")
        case Outcome.MESSAGE_REJECTED if standing.together:
            return Retry(timedelta(0), standing.spent, "refused together with others; it goes alone now")
        case Outcome.MESSAGE_REJECTED:
            return End(Status.FAILED, "the provider refuses this content")
        case Outcome.UNKNOWN:
            return _after_unknown(standing, now, chance)
        case Outcome.THROTTLED | Outcome.ACCOUNT_HALTED:
            return _after_account_trouble(outcome, standing, now, chance)
        case Outcome.TRANSIENT:
            retry_after = outcome.retry_after if isinstance(outcome, Transient) else None
            reason = "a passing fault; the provider did not take this request"
            again = _again(standing, now, chance, retry_after, reason)
            return FailOver(reason, spending=True, otherwise=again)


def after_lost_worker(standing: RetryState, now: datetime) -> Step:
    """A request was on its way when its worker died: unknown, and no fault of the provider, so no wait."""
    if standing.guarantee is Guarantee.AT_MOST_ONCE and not standing.idempotent:
        return End(Status.UNKNOWN, "the worker was lost in mid-request; at_most_once does not send again")
    if standing.spent + 1 >= schedule(standing.retry).attempts:
        return _used_up(standing, "the worker was lost in mid-request", unknown=True)
    return _not_too_late(
        Retry(timedelta(0), standing.spent + 1, "the worker was lost in mid-request; sending again"), standing, now
    )


def _after_unknown(standing: RetryState, now: datetime, chance: float) -> Step:
    if standing.idempotent:
        reason = "outcome unknown; the provider recognises a repeat, so it is made"
        return _again(standing, now, chance, None, reason, unknown=True)
    if standing.guarantee is Guarantee.AT_MOST_ONCE:
        return End(Status.UNKNOWN, "outcome unknown; at_most_once waits for a receipt or an operator")
    again = _again(standing, now, chance, None, "outcome unknown; at_least_once sends again", unknown=True)
    return FailOver("outcome unknown; at_least_once tries the next account", spending=True, otherwise=again)


def _after_account_trouble(outcome: AnyOutcome, standing: RetryState, now: datetime, chance: float) -> Step:
    throttled = isinstance(outcome, Throttled)
    reason = "the provider asks us to wait" if throttled else "the account cannot send"
    if standing.spending:
        otherwise = _again(standing, now, chance, None, reason)
    else:
        wait = asked_wait(outcome.retry_after if isinstance(outcome, Throttled) else None)
        otherwise = _not_too_late(Retry(wait, standing.spent, reason, shared=True), standing, now)
    return FailOver(reason, spending=standing.spending, otherwise=otherwise)


def _again(
    standing: RetryState, now: datetime, chance: float, retry_after: float | None, reason: str, *, unknown: bool = False
) -> Retry | End:
    spent = standing.spent + 1
    delay = next_delay(standing.retry, spent, chance, retry_after)
    if delay is None:
        return _used_up(standing, reason, unknown=unknown)
    return _not_too_late(Retry(delay, spent, reason), standing, now)


def _used_up(standing: RetryState, reason: str, *, unknown: bool) -> End:
    """Out of attempts: dead letter, or `unknown` where the promise was never to send what may have arrived."""
    kept_promise = unknown and standing.guarantee is Guarantee.AT_MOST_ONCE
    rounds = standing.spent + 1
    reason += f"; no retry is left after {rounds} round{'s' if rounds > 1 else ''}"
    if standing.doubtful and not unknown:
        reason += f"; {IN_DOUBT}"
    return End(Status.UNKNOWN if kept_promise else Status.FAILED, reason)


def _not_too_late(again: Retry, standing: RetryState, now: datetime) -> Retry | End:
    if standing.not_after is not None and now + again.delay > standing.not_after:
        return End(Status.EXPIRED, f"{again.reason}; the next attempt would come after not_after")
    return again
