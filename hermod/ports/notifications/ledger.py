"""The ledger as a delivery sees it. Every call takes the tenant, and may be made twice.

Each statement of a call is atomic by itself and compares what it relies on. Most calls are one statement. `open_items`
and `withdraw` are several, and `record` is followed by a transaction for what came late: a call that ends between them
has done a part of its work, and the next one finds the rest.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, Protocol

from hermod.contracts.notifications.content import AnyContent, Channel
from hermod.contracts.notifications.delivery import Attempt
from hermod.contracts.notifications.messages import Category, Guarantee, Status
from hermod.contracts.notifications.outcomes import AnyOutcome
from hermod.contracts.notifications.retries import Preset
from hermod.contracts.priorities import DEFAULT_PRIORITY
from hermod.contracts.tenants.accounts import Account


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One choice about a message: what was decided (`verdict`), in which matter (`kind`), and why."""

    kind: str
    verdict: str
    reason: str


class Ending(NamedTuple):
    """What a request came to, in codes: fit for a history and for the log."""

    account: str
    """Empty for a webhook."""
    outcome: str
    status_code: int | None = None
    error_code: str | None = None

    def __str__(self) -> str:
        codes = " ".join(str(code) for code in self[1:] if code is not None)
        return f"{self.account}: {codes}" if self.account else codes


@dataclass(frozen=True, slots=True, kw_only=True)
class InFlight:
    """A request that was begun, and whose outcome is not on record."""

    account: str = ""
    """Which of the tenant's accounts makes it; empty for a webhook."""
    account_revision: int | None = None
    shared: bool = False
    """It is for several messages: a repeat of it would be another request."""
    lost: bool = True
    """Nobody will record what became of it: its worker is gone, or its own deadline is over. Else it is left alone."""
    ends_by: datetime | None = None
    """Of its grant, and of no other grant of this number: one may have been asked for in vain before it."""


@dataclass(slots=True, kw_only=True)
class Item:
    """An open message in the hands of a delivery. Mutable: the delivery keeps it in step with the ledger."""

    id: str
    channel: Channel
    status: Status
    content: AnyContent
    category: Category
    guarantee: Guarantee
    retry: Preset | tuple[float, ...]
    """A preset, or waits in seconds."""
    requested_account: str | None
    request_id: str | None
    not_after: datetime | None
    next_attempt_at: datetime | None
    attempts: int
    """Wire requests made so far; the next one has the number after it."""
    round: int
    spent: int
    """Rounds that the retry has counted."""
    wait_reason: str | None
    priority: int = DEFAULT_PRIORITY
    """1 to 10, 10 is the most urgent."""
    retry_is_own: bool = True
    """The message itself asks for this `retry`; else one that its account has counts instead."""
    suppressed: str | None = None
    """Why nothing may be sent to this address at the moment, or None."""
    left_out: str | None = None
    """Why somebody in copy gets nothing, where somebody does: `content` names them no more."""
    tried: set[str] = field(default_factory=set)
    """Accounts already asked in this round."""
    spending: bool = False
    """Whether a request of this round already makes the round count."""
    fails_over: bool = False
    """Another account is asked at once, in the same round."""
    in_flight: InFlight | None = None
    doubtful: str | None = None
    """The account of the last request whose outcome is unknown."""
    doubtful_revision: int | None = None
    """The revision of that account's settings at the time; None where the record does not tell."""
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
    ends_by: datetime | None = None
    """The request has ended by then, whatever becomes of its worker."""
    account_revision: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a request came to, and where the message stands from now on."""

    message: str
    number: int
    account: str
    outcome: AnyOutcome
    duration_ms: int | None
    status: Status
    round: int
    spent: int
    next_attempt_at: datetime | None
    decision: Decision | None
    ends_by: datetime | None = None
    """Of its grant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A step without a request: a wait for an account, an expiry, a message no account can carry."""

    message: str
    number: int
    """Requests made before it: where another one was begun since, the step is not taken."""
    status: Status
    round: int
    spent: int
    next_attempt_at: datetime | None
    wait_reason: str | None
    decision: Decision | None
    error_code: str | None = None
    error: str | None = None


class Ledger(Protocol):
    """Only messages that `owner` (a workflow id) owns are read or changed, and a request under way never is.

    Which condition keeps which promise is in docs/protocols.md. Raises Unavailable.
    """

    async def open_items(self, tenant: str, owner: str, run: str, messages: Sequence[str], now: datetime) -> list[Item]:
        """The messages that are still open. Dead letters that another run gave up are opened again first, and those
        whose content is gone are given up."""
        ...

    async def grant(self, tenant: str, owner: str, intents: Sequence[Intent], now: datetime) -> set[str]:
        """Commit the intents; the ids that may be sent. A cancelled message or a number already used is not granted."""
        ...

    async def record(self, tenant: str, run: str, results: Sequence[Result], now: datetime) -> set[str]:
        """Commit outcomes; the ids of the messages that moved as told.

        An outcome that comes after its request was called lost replaces `unknown` in the attempt, with a decision. It
        moves the message where that still waits for word of it: `accepted` makes it sent, and whatever else is definite
        ends the doubt of the newest attempt.
        """
        ...

    async def change(self, tenant: str, owner: str, run: str, changes: Sequence[Change], now: datetime) -> set[str]:
        """The ids that were changed: no request of them was begun meanwhile, and nobody withdrew them."""
        ...

    async def counts(self, tenant: str, messages: Sequence[str]) -> Mapping[Status, int]: ...

    async def endings(self, tenant: str, messages: Sequence[str]) -> Mapping[Ending, int]:
        """What the requests of these messages came to, and how often, the first ones first."""
        ...

    async def last_attempts(self, tenant: str, message: str, count: int) -> Sequence[Attempt]:
        """The last requests of a message that have come to their end, in their order."""
        ...

    async def given_up(self, tenant: str, messages: Sequence[str], count: int) -> Sequence[str]:
        """Those of the messages that are dead letters, so many at the most."""
        ...

    async def transfer_ownership(self, tenant: str, owner: str, messages: Mapping[str, int]) -> None:
        """Make each message's own workflow its owner where its attempts number as many as said."""
        ...

    async def handed_off(self, tenant: str, owner: str, messages: Sequence[str]) -> Mapping[str, datetime | None]:
        """Those of the messages that are open and belong to their own workflow, with their next attempt."""
        ...

    async def hand_over(self, tenant: str, owner: str, messages: Sequence[str]) -> None:
        """Make each message's own workflow its owner, as batches of earlier versions left it to be done."""
        ...

    async def withdraw(self, tenant: str, owner: str, messages: Sequence[str], reason: str, now: datetime) -> int:
        """Cancel what can still be cancelled, also of messages that were handed off. How many have a request under way
        of a worker that lives: it has to end first. What a lost worker left ends as unknown.
        """
        ...


class Accounts(Protocol):
    async def for_channel(self, tenant: str, channel: Channel, *, fresh: bool = False) -> Sequence[Account]:
        """All accounts of a channel, with credentials; at most a second old, or read at this moment."""
        ...

    async def block(
        self, tenant: str, account: str, revision: int, until: datetime, reason: str, now: datetime, times: int = 0
    ) -> None:
        """Leave the account alone until then: `halted` and `away` open the breaker, `throttled` only waits. Never
        shortens. `times`: how often in a row, this one included."""
        ...

    def failed(self, account: Account, requests: int, messages: Collection[str]) -> bool:
        """Note requests that failed as all would. True where so many in a row have that the account should rest."""
        ...

    def worked(self, account: Account) -> None:
        """Its provider has answered: failures are counted from the beginning."""
        ...

    async def claim_probe(self, tenant: str, account: str, now: datetime, lease_until: datetime) -> bool:
        """Whether this caller may try an account whose breaker is open and whose time has come. One caller wins."""
        ...

    async def unblock(self, tenant: str, account: str, now: datetime) -> None:
        """The account works again: close its breaker."""
        ...
