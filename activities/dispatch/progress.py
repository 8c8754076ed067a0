"""What one dispatch is asked to do, and where it leaves its messages or webhook deliveries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Protocol, TypeVar

from hermod.contracts.notifications.content import Channel
from hermod.contracts.notifications.delivery import MOST_ATTEMPTS, Attempt, AttemptSummary, EndpointGroup, OutcomeCount
from hermod.contracts.notifications.messages import Status
from hermod.ports.notifications.ledger import Ending, InFlight

LEAVES_AFTER: Final = timedelta(seconds=60)
"""A retry further away than this leaves its batch for a workflow of its own."""
FAILURE_BYTES: Final = 3500
"""Of what was tried, in text and in details: the server keeps the failure of a waiting activity up to 4 KiB, and of a
larger one its text alone."""
MOST_TOLD: Final = 8
"""Kinds of ends that are named in a history."""
DUE_WITHIN: Final = timedelta(milliseconds=50)
FENCED_WAIT: Final = timedelta(seconds=2)
"""After so long a dispatch looks again at what turned out to be in other hands."""
BUSY_WAIT: Final = timedelta(seconds=1)
"""After so long it looks again whether a request has ended that another dispatch makes."""


class Waiting(Protocol):
    """An item of a ledger, as far as its waiting goes."""

    @property
    def id(self) -> str: ...

    @property
    def status(self) -> str: ...

    @property
    def next_attempt_at(self) -> datetime | None: ...

    @property
    def wait_reason(self) -> str | None: ...


class Dispatched(Waiting, Protocol):
    """An item of a ledger, as far as its dispatch's report goes."""

    @property
    def attempts(self) -> int: ...

    @property
    def request_id(self) -> str | None: ...


class DispatchLedger(Protocol):
    """What a ledger knows of records and of the requests of earlier dispatches."""

    async def counts(self, tenant: str, records: Sequence[str], /) -> Mapping[Any, int]: ...

    async def endings(self, tenant: str, records: Sequence[str], /) -> Mapping[Ending, int]: ...

    async def last_attempts(self, tenant: str, record: str, count: int, /) -> Sequence[Attempt]: ...

    async def given_up(self, tenant: str, records: Sequence[str], count: int, /) -> Sequence[str]: ...


class Requested(Protocol):
    """An item of a ledger, as far as its newest request goes."""

    next_attempt_at: datetime | None

    @property
    def in_flight(self) -> InFlight | None: ...


Item = TypeVar("Item", bound=Waiting)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkItem:
    """What is to be delivered, and in whose name: `owner` is the workflow's id, `run` its run."""

    tenant: str
    owner: str
    run: str
    messages: tuple[str, ...]
    """Or webhook deliveries."""
    kind: str = "message"

    @property
    def is_alone(self) -> bool:
        return len(self.messages) == 1


@dataclass(frozen=True, slots=True, kw_only=True)
class DispatchInput(WorkItem):
    channel: Channel


@dataclass(slots=True)
class DispatchProgress:
    """`ended` by final status; `open` are the messages that still have a way to go."""

    ended: Counter[str] = field(default_factory=Counter)
    open: list[Waiting] = field(default_factory=list)
    handed_off: dict[str, datetime | None] = field(default_factory=dict)
    """What belongs to a workflow of its own by now, with its next attempt; not among the open ones."""
    apart: tuple[EndpointGroup, ...] = ()
    """What leaves whatever its next attempt is; not among the open ones."""
    with_waiter: dict[str, list[str]] = field(default_factory=dict)
    """Webhook deliveries that wait with others for their endpoint by now, by endpoint; not among the open ones."""
    made: Counter[Ending] = field(default_factory=Counter)
    """What the requests came to: of this dispatch, or of all that were ever made where it is not the first one."""
    attempts: list[Attempt] = field(default_factory=list)
    """The same requests one by one, of a dispatch of one record."""
    failed: Sequence[str] = ()
    """Of several records, some of those that were given up."""
    reason: str | None = None
    """Why it waits, where that is not its last request. In codes, like `made`: fit for a workflow history."""
    missing: int = 0
    """Records that the database does not have."""
    request_id: str | None = None
    """Of the call that asked for it, where the dispatch is for one message."""

    def note(self, ending: Ending, number: int, ms: int | None, ended_at: datetime, *, alone: bool) -> None:
        """A request has come to its end. `alone`: the dispatch is for one record."""
        self.made[ending] += 1
        if alone:
            at = (ended_at - timedelta(milliseconds=ms or 0)).replace(microsecond=0)
            self.attempts.append(Attempt(number=number, ms=ms, at=at, **ending._asdict()))

    async def count(
        self, work: WorkItem, items: Sequence[Dispatched], is_open: Container[str], ledger: DispatchLedger
    ) -> None:
        """How the records stand; `items` are those that were open before. Raises Unavailable."""
        self.open = [item for item in items if item.status in is_open]
        if work.is_alone and items:
            self.request_id = items[0].request_id
        if len(items) == len(work.messages):
            self.ended.update(item.status for item in items if item.status not in is_open)
            self.failed = [item.id for item in items if item.status == Status.FAILED][:MOST_ATTEMPTS]
        else:
            counted = await ledger.counts(work.tenant, work.messages)
            self.ended.update({status: count for status, count in counted.items() if status not in is_open})
            self.missing = len(work.messages) - sum(counted.values())

    async def load_history(self, work: WorkItem, items: Sequence[Dispatched], ledger: DispatchLedger) -> None:
        """Complete what is to be told with what earlier dispatches did. Raises Unavailable."""
        has_all = len(items) == len(work.messages)
        if not has_all or sum(item.attempts for item in items) != self.made.total():
            self.made = Counter(await ledger.endings(work.tenant, work.messages))
            if work.is_alone:
                self.attempts = list(await ledger.last_attempts(work.tenant, work.messages[0], MOST_ATTEMPTS))
        if not has_all and not work.is_alone and self.ended[Status.FAILED]:
            self.failed = await ledger.given_up(work.tenant, work.messages, MOST_ATTEMPTS)

    def attempt_summary(self, work: WorkItem) -> AttemptSummary:
        if work.is_alone:
            room = FAILURE_BYTES - len((self.told() or "").encode())
            return AttemptSummary(attempts=_with_room(self.attempts, room))
        outcomes: Counter[tuple[str, str]] = Counter()
        for ending, count in self.made.items():
            outcomes[ending.account, ending.outcome] += count
        most = outcomes.most_common(MOST_ATTEMPTS)
        return AttemptSummary(
            outcomes=tuple(OutcomeCount(account=by, outcome=came, count=count) for (by, came), count in most),
            failed=tuple(self.failed),
        )

    def told(self) -> str | None:
        """What the requests came to, as people read it: `4 × main: transient 451, backup: accepted 202`."""
        told = [f"{count} × {ending}" if count > 1 else str(ending) for ending, count in self.made.items()]
        more = f", and {len(told) - MOST_TOLD} more kinds" if len(told) > MOST_TOLD else ""
        return ", ".join(told[:MOST_TOLD]) + more or None

    def wait(self, now: datetime, *, alone: bool) -> timedelta | None:
        """Until the next attempt that this workflow should make itself; None where nothing is left for it."""
        times = [item.next_attempt_at or now for item in self.open if alone or not _leaves(item, now)]
        return max(min(times) - now, timedelta(0)) if times else None


def _with_room(attempts: Sequence[Attempt], room: int) -> tuple[Attempt, ...]:
    """The last ones that have room in so many bytes."""
    kept, size = 0, 0
    for attempt in reversed(attempts[-MOST_ATTEMPTS:]):
        size += len(attempt.model_dump_json().encode()) + 1
        if size > room:
            break
        kept += 1
    return tuple(attempts[len(attempts) - kept :])


def leave_to_others(items: Iterable[Requested], progress: DispatchProgress, now: datetime) -> bool:
    """Whether requests are under way that living workers make: they are looked at again a little later."""
    busy = [item for item in items if item.in_flight is not None]
    for item in busy:
        item.next_attempt_at = now + BUSY_WAIT
        progress.reason = "a request of an earlier dispatch is still under way"
    return bool(busy)


def due(items: Sequence[Item], now: datetime, *, asked_now: bool = True) -> list[Item]:
    """The items whose time has come. Where there is none, somebody asked for an attempt now (reset in the Web UI),
    unless the dispatch knows a better reason why it runs (`asked_now`)."""
    horizon = now + DUE_WITHIN
    found = [item for item in items if item.next_attempt_at is None or item.next_attempt_at <= horizon]
    return found if found or not asked_now else list(items)


def _leaves(item: Waiting, now: datetime) -> bool:
    """A wait for an account is everybody's wait; only a message's own retry makes it leave."""
    alone = item.status == Status.RETRYING and item.wait_reason is None
    return alone and item.next_attempt_at is not None and item.next_attempt_at > now + LEAVES_AFTER
