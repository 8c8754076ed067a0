"""From what a request came to, to what the ledger shall say: one `Result` per request, one `Change` per wait."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from hermod.contracts.notifications.messages import Guarantee, Status
from hermod.contracts.notifications.outcomes import AnyOutcome
from hermod.contracts.tenants.accounts import Account
from hermod.domain.notifications.delivery import End, FailOver, Retry, RetryState, Step
from hermod.domain.notifications.routing import IN_ORDER, Choice, NoRoute
from hermod.ports.notifications.ledger import Change, Decision, Item, Result
from hermod.telemetry import fault, get_logger

_log = get_logger(__name__)

KEY_LIFE: Final = timedelta(hours=23)
"""How long a provider's idempotency key is relied on: all that know one keep it for a day."""
NO_ACCOUNT_WAIT: Final = timedelta(seconds=60)
"""How long a message waits before it looks again for an account, where none is enabled."""


@dataclass(frozen=True, slots=True)
class AttemptResult:
    """One request's outcome: of which account, which attempt (and grant), and how long it took."""

    account: str
    number: int
    outcome: AnyOutcome
    duration_ms: int | None
    account_revision: int | None
    ends_by: datetime | None


def standing(item: Item, account: Account | None, *, idempotent: bool, together: bool = False) -> RetryState:
    """`account`: the one that was asked, where there still is one of its name."""
    of_account = None if item.retry_is_own or account is None else account.retry
    return RetryState(
        guarantee=item.guarantee,
        retry=item.retry if of_account is None else of_account,
        spent=item.spent,
        not_after=item.not_after,
        spending=item.spending,
        idempotent=idempotent,
        together=together,
        doubtful=item.doubtful is not None,
    )


def settle(item: Item, answer: AttemptResult, step: Step, *, another: bool, now: datetime) -> Result:
    """The ledger's line for this answer. `another`: whether an account is left that could be asked at once.

    The item is brought to where the ledger will be.
    """
    item.in_flight, item.fails_over = None, False
    if isinstance(step, FailOver):
        if another:
            item.fails_over, item.spending = True, step.spending
            item.status, item.next_attempt_at = Status.RETRYING, now
            return _result(item, answer, Decision(kind="failover", verdict="next account", reason=step.reason))
        step = step.otherwise
    if isinstance(step, Retry):
        _begin_round(item, step.spent)
        item.status = Status.RETRYING
        item.next_attempt_at = now + step.delay
        item.wait_reason = step.reason if step.shared else None
        verdict = f"again in {step.delay.total_seconds():.1f} s"
        return _result(item, answer, Decision(kind="retry", verdict=verdict, reason=step.reason))
    item.status, item.next_attempt_at = step.status, None
    item.spent += 0 if step.status is Status.SENT else 1
    return _result(item, answer, _ending(step))


def waiting(item: Item, missing: NoRoute, *, any_enabled: bool, now: datetime) -> Change:
    """No account can be asked now: wait for one, or give up where none ever could carry this content."""
    if missing.until is None and any_enabled and not item.tried:
        item.status, item.next_attempt_at = Status.FAILED, None
        decision = Decision(kind="route", verdict="failed", reason=missing.reason)
        return _change(item, decision, error_code="no_account_fits", error=missing.reason)
    until = missing.until or now + NO_ACCOUNT_WAIT
    if item.tried:
        _begin_round(item, item.spent + (1 if item.spending else 0))
    if item.not_after is not None and until > item.not_after:
        return expired(item, f"{missing.reason}; the next attempt would come after not_after")
    item.status = Status.RETRYING if item.attempts else Status.DEFERRED
    item.next_attempt_at = until
    news = missing.reason != item.wait_reason
    item.wait_reason = missing.reason
    return _change(item, Decision(kind="wait", verdict="waits", reason=missing.reason) if news else None)


def held_back(item: Item, reason: str, wait: timedelta, now: datetime) -> Change:
    """A rate is used up: the message waits for its turn, in the same round and without spending anything."""
    if item.not_after is not None and now + wait > item.not_after:
        return expired(item, f"{reason}; the next attempt would come after not_after")
    item.status = Status.RETRYING if item.attempts else Status.DEFERRED
    item.next_attempt_at = now + wait
    news = reason != item.wait_reason
    item.wait_reason = reason
    return _change(item, Decision(kind="rate", verdict="waits", reason=reason) if news else None)


def expired(item: Item, reason: str) -> Change:
    item.status, item.next_attempt_at = Status.EXPIRED, None
    return _change(item, Decision(kind="expiry", verdict="expired", reason=reason))


def suppressed(item: Item) -> Change:
    """The address gets no messages; `suppressed` says why."""
    reason = item.suppressed or ""
    item.status, item.next_attempt_at = Status.SUPPRESSED, None
    decision = Decision(kind="suppression", verdict="suppressed", reason=reason)
    return _change(item, decision, error_code="suppressed", error=f"the address is suppressed: {reason}")


def unprepared(item: Item, error: Exception) -> Change:
    """No request can be made of it."""
    item.status, item.next_attempt_at = Status.FAILED, None
    reason = f"no request can be made of its content ({type(error).__name__})"
    _log.error("message_not_prepared", message_id=item.id, **fault(error))
    decision = Decision(kind="end", verdict=Status.FAILED.value, reason=reason)
    return _change(item, decision, error_code="unprepared", error=reason)


def forgotten(item: Item, now: datetime) -> bool:
    """Whether a repeat would no longer be recognised, of a message that must not arrive twice."""
    promised = item.guarantee is Guarantee.AT_MOST_ONCE
    return promised and item.doubtful_since is not None and now - item.doubtful_since > KEY_LIFE


def end_as_unknown(item: Item, reason: str) -> Change:
    """It may have arrived, and a repeat could not be told from a second message: a receipt or an operator decides."""
    item.status, item.next_attempt_at = Status.UNKNOWN, None
    return _change(item, Decision(kind="end", verdict=Status.UNKNOWN.value, reason=reason))


def pinned_account(item: Item) -> str | None:
    """The only account that may be asked, where the message must not arrive twice and may have arrived there."""
    return item.doubtful if item.guarantee is Guarantee.AT_MOST_ONCE else None


def choice_for(item: Item) -> Choice:
    """Why the accounts that may be asked for it come into question."""
    doubtful, named = pinned_account(item), item.requested_account
    if doubtful is not None:
        return Choice(
            "the only one that may be asked again: the message may have arrived there",
            f"only {doubtful} may be asked again, where the message may have arrived, and it is not enabled",
        )
    if named is not None:
        return Choice("the message names it", f"the account {named}, which the message names, is not enabled")
    return IN_ORDER


def _begin_round(item: Item, spent: int) -> None:
    item.round += 1
    item.spent = spent
    item.tried = set()
    item.spending = False


def _ending(step: End) -> Decision | None:
    """Being sent needs no words: the attempt says it."""
    if step.status is Status.SENT:
        return None
    return Decision(kind="end", verdict=step.status.value, reason=step.reason)


def _result(item: Item, answer: AttemptResult, decision: Decision | None) -> Result:
    return Result(
        message=item.id,
        number=answer.number,
        account=answer.account,
        outcome=answer.outcome,
        duration_ms=answer.duration_ms,
        status=item.status,
        round=item.round,
        spent=item.spent,
        next_attempt_at=item.next_attempt_at,
        decision=decision,
        ends_by=answer.ends_by,
    )


def _change(
    item: Item, decision: Decision | None, *, error_code: str | None = None, error: str | None = None
) -> Change:
    return Change(
        message=item.id,
        number=item.attempts,
        status=item.status,
        round=item.round,
        spent=item.spent,
        next_attempt_at=item.next_attempt_at,
        wait_reason=item.wait_reason,
        decision=decision,
        error_code=error_code,
        error=error,
    )
