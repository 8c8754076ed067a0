"""Which account carries a message next. Pure: availability was read from the ledger, the order is the tenant's."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from hermod.contracts.tenants.accounts import Account

HALTED = "halted"
THROTTLED = "throttled"
AWAY = "away"
BREAKER = frozenset({HALTED, AWAY})
"""Reasons after which one message tries the account before all others may: the account is in trouble, or its provider
is."""


@dataclass(frozen=True, slots=True)
class Route:
    """Use `account`. `probe`: its breaker is half open, so one message tries it and the others wait."""

    account: Account
    probe: bool
    reason: str


@dataclass(frozen=True, slots=True)
class NoRoute:
    """Nobody can carry it now. `until`: when the first account may be back, or None where no account fits at all."""

    until: datetime | None
    reason: str


@dataclass(frozen=True, slots=True)
class Choice:
    """Why the accounts that come into question do. `first`: of the first one; `none`: why there is none."""

    first: str = "first in order"
    none: str = "no enabled account for this channel"


IN_ORDER: Final = Choice()


def eligible(accounts: Sequence[Account], requested: str | None) -> tuple[Account, ...]:
    """The enabled accounts in the order in which they are tried; only the requested one where one is named."""
    chosen = (account for account in accounts if account.enabled and requested in (None, account.name))
    return tuple(sorted(chosen, key=lambda account: (account.order, account.name)))


def route(
    accounts: Sequence[Account],
    tried: Collection[str],
    unfit: Callable[[Account], str | None],
    now: datetime,
    *,
    choice: Choice = IN_ORDER,
) -> Route | NoRoute:
    """The first eligible account that was not tried in this round, fits the content, and is not blocked.

    `unfit` tells why an account cannot express the content, or None where it can.
    """
    waits: list[datetime] = []
    skipped: list[str] = []
    for account in accounts:
        if account.name in tried:
            skipped.append(f"{account.name} was tried in this round")
        elif account.blocked_until is not None and account.blocked_until > now:
            waits.append(account.blocked_until)
            skipped.append(f"{account.name} is {account.blocked_reason}")
        elif (reason := unfit(account)) is not None:
            skipped.append(f"{account.name} cannot: {reason}")
        else:
            probe = account.blocked_reason in BREAKER
            reasons = skipped or [choice.first]
            if probe:
                reasons.append(f"{account.name} was {account.blocked_reason}, and this message tries it again")
            return Route(account, probe=probe, reason="; ".join(reasons))
    return NoRoute(min(waits, default=None), "; ".join(skipped) or choice.none)
