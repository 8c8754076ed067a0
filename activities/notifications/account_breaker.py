"""Trouble of an account, as opposed to trouble of a message: it rests, then is tried with one message.

An account is halted by one answer that says so, and counts as away when requests fail one after another
(`hermod.domain.notifications.account_health`). Meanwhile its messages go by another account, or wait and spend nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from activities.notifications.requests import SendJob
from hermod.contracts.notifications.outcomes import (
    AccountHalted,
    AnyOutcome,
    Fault,
    RecipientRejected,
    Throttled,
)
from hermod.contracts.tenants.accounts import Account
from hermod.domain.backoff import asked_wait, probe_wait
from hermod.domain.notifications.account_health import away_wait, says_away, says_there
from hermod.domain.notifications.routing import AWAY, BREAKER, HALTED, THROTTLED
from hermod.ports.notifications.hygiene import Refused
from hermod.ports.notifications.ledger import Accounts
from hermod.telemetry import get_logger

PROBE_LEASE: Final = timedelta(seconds=15)
"""How long one message has a half-open account to itself."""

_log = get_logger(__name__)


async def claim_probe(accounts: Accounts, tenant: str, account: Account, now: datetime) -> tuple[bool, datetime]:
    """Whether this dispatch may probe the account, and until when everybody else leaves it alone."""
    until = now + PROBE_LEASE
    return await accounts.claim_probe(tenant, account.name, now, until), until


def refused(jobs: Sequence[SendJob]) -> list[Refused]:
    """The addresses of a wave that their provider refused for good."""
    return [
        Refused(message=job.item.id, to=job.item.content.to, fault=job.outcome.fault, code=job.outcome.error_code)
        for job in jobs
        if isinstance(job.outcome, RecipientRejected) and job.outcome.fault is not Fault.UNREACHABLE
    ]


async def update_breaker(accounts: Accounts, jobs: Sequence[SendJob], now: datetime) -> bool:
    """Write down what a wave of one account's requests says about the account. True where it should rest."""
    if not jobs:
        return False
    account = jobs[0].account
    outcomes = [job.settled() for job in jobs]
    if any(isinstance(outcome, AccountHalted) for outcome in outcomes):
        times = account.blocked_count + 1
        until = now + probe_wait(times)
        await accounts.block(account.tenant, account.name, account.revision, until, HALTED, now, times)
        _log.warning("account_halted", tenant=account.tenant, until=until.isoformat(), **account.describe())
        return True
    throttled = [outcome for outcome in outcomes if isinstance(outcome, Throttled)]
    if throttled:
        wait = max(asked_wait(outcome.retry_after) for outcome in throttled)
        await accounts.block(account.tenant, account.name, account.revision, now + wait, THROTTLED, now)
        return True
    if all(_calls_token_wrong(outcome) for outcome in outcomes):
        # It may be the account that is wrong. Who sees all of its answers decides
        # (`hermod.domain.notifications.dead_tokens`), and has been told: look at the account again before the next
        # wave.
        return True
    if await _is_away(accounts, jobs, now):
        return True
    if account.blocked_reason in BREAKER and any(_proves(outcome) for outcome in outcomes):
        await accounts.unblock(account.tenant, account.name, now)
        _log.info("account_works_again", tenant=account.tenant, **account.describe())
    return False


async def _is_away(accounts: Accounts, jobs: Sequence[SendJob], now: datetime) -> bool:
    """Whether these requests were the last that it took to open the account's breaker."""
    account = jobs[0].account
    if jobs[0].sender.capability.recipient_hosts:
        return False
    if any(says_there(job.settled()) for job in jobs):
        accounts.worked(account)
        return False
    failed = [job for job in jobs if says_away(job.settled())]
    if not failed:
        return False
    requests = sum(not job.shared for job in failed) + any(job.shared for job in failed)
    is_probe = account.blocked_reason in BREAKER
    if not (accounts.failed(account, requests, [job.item.id for job in failed]) or is_probe):
        return False
    times = account.blocked_count + 1
    until = now + away_wait(times)
    await accounts.block(account.tenant, account.name, account.revision, until, AWAY, now, times)
    _log.warning("account_away", tenant=account.tenant, until=until.isoformat(), **account.describe())
    return True


def _proves(outcome: AnyOutcome) -> bool:
    """Whether the answer shows that the account is in order."""
    return says_there(outcome) and not isinstance(outcome, Throttled) and not _calls_token_wrong(outcome)


def _calls_token_wrong(outcome: AnyOutcome) -> bool:
    return isinstance(outcome, RecipientRejected) and outcome.fault is Fault.WRONG_TOKEN
