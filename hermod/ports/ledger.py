"""The ledger as a delivery sees it. Every call is one statement, takes the tenant, and may be made twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from hermod.contracts.accounts import Account
from hermod.contracts.content import AnyContent, Channel
from hermod.contracts.messages import Category, Guarantee, Preset, Status
from hermod.contracts.outcomes import AnyOutcome
from hermod.contracts.priorities import DEFAULT_PRIORITY


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One choice about a message: what was decided (`verdict`), in which matter (`kind`), and why."""

    kind: str
    verdict: str
    reason: str


@dataclass(slots=True, kw_only=True)
class Item:
    """An open message in the hands of a delivery. Mutable: the delivery keeps it in step with the ledger."""

    id: str
    channel: Channel
    status: Status
    content: AnyContent
    category: Category
    guarantee: Guarantee
    preset: Preset
    requested_account: str | None
    request_id: str | None
    not_after: datetime | None
    next_attempt_at: datetime | None
    attempts: int
    """Wire requests made so far; the next one has the number after it."""
    round: int
    spent: int
    """Rounds that the preset has counted."""
    wait_reason: str | None
    priority: int = DEFAULT_PRIORITY
    """1 to 10, 10 is the most urgent."""
    suppressed: str | None = None
    """Why nothing may be sent to this address at the moment, or None."""
    tried: set[str] = field(default_factory=set)
    """Accounts already asked in this round."""
    spending: bool = False
    """Whether a request of this round already makes the round count."""
    in_flight: str | None = None
    """The account of a request whose outcome nobody recorded: its worker was lost."""
    in_flight_shared: bool = False
    """Whether that request was for several messages: a repeat of it would be another request."""
    doubtful: str | None = None
    """The account of the last request whose outcome is unknown."""
    doubtful_since: datetime | None = None
    """When the first request was made whose outcome is unknown, as far as the record tells."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """A request about to be made: committed before the first byte leaves."""

    message: str
    number: int
    round: int
    account: str
    provider: str
    shared: bool = False
    """One request for several messages."""
    decision: Decision | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a request came to, and where the message stands from now on."""

    message: str
    number: int
    account: str
    outcome: AnyOutcome
    duration_ms: int | None
    status: Status
    """`sending` where the next account follows at once."""
    round: int
    spent: int
    next_attempt_at: datetime | None
    decision: Decision | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A step without a request: a wait for an account, an expiry, a message no account can carry."""

    message: str
    status: Status
    round: int
    spent: int
    next_attempt_at: datetime | None
    wait_reason: str | None
    decision: Decision | None
    error_code: str | None = None
    error: str | None = None


class Ledger(Protocol):
    """Only messages that `owner` (a workflow id) owns are read or changed."""

    async def open_items(self, tenant: str, owner: str, run: str, messages: Sequence[str], now: datetime) -> list[Item]:
        """The messages that are still open. Dead letters that another run buried are opened again first."""
        ...

    async def grant(self, tenant: str, owner: str, intents: Sequence[Intent], now: datetime) -> set[str]:
        """Commit the intents; the ids that may be sent. A cancelled message or a number already used is not granted."""
        ...

    async def record(self, tenant: str, run: str, results: Sequence[Result], now: datetime) -> None:
        """Commit outcomes. A late one replaces `unknown` in the attempt and leaves a message that moved on alone."""
        ...

    async def change(self, tenant: str, owner: str, run: str, changes: Sequence[Change], now: datetime) -> None: ...

    async def counts(self, tenant: str, messages: Sequence[str]) -> Mapping[Status, int]: ...

    async def hand_over(self, tenant: str, owner: str, messages: Sequence[str]) -> None:
        """Make each message's own workflow its owner."""
        ...

    async def withdraw(self, tenant: str, owner: str, messages: Sequence[str], reason: str, now: datetime) -> None:
        """Cancel what can still be cancelled."""
        ...


class Accounts(Protocol):
    async def for_channel(self, tenant: str, channel: Channel) -> Sequence[Account]:
        """All accounts of a channel, with credentials; at most a second old."""
        ...

    async def block(
        self, tenant: str, account: str, revision: int, until: datetime, reason: str, now: datetime
    ) -> None:
        """Leave the account alone until then: `halted` opens the breaker, `throttled` only waits. Never shortens."""
        ...

    async def claim_probe(self, tenant: str, account: str, now: datetime, lease_until: datetime) -> bool:
        """Whether this caller may try a halted account whose time has come. One caller wins."""
        ...

    async def unblock(self, tenant: str, account: str, now: datetime) -> None:
        """The account works again: close its breaker."""
        ...
