"""What travels through Temporal for a delivery: ids and a little routing, never contents or addresses."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from pydantic import Field

from hermod.contracts.notifications.content import Channel
from hermod.contracts.values.model import Model, says_nothing

BATCH_SIZE: Final = 500
"""Messages in one SendBatch workflow."""


class SendNotificationInput(Model):
    tenant: str
    message: str
    channel: Channel
    due_at: datetime | None = None
    taken_from: str | None = None
    """The batch of the released version that leaves it to this workflow to take the message over from it. Any other one
    makes it this workflow's before it reports."""


class SendBatchInput(Model):
    """Up to `BATCH_SIZE` messages of one tenant, channel, priority and due time."""

    tenant: str
    batch: str
    channel: Channel
    messages: tuple[str, ...]
    due_at: datetime | None = None


class DeliveryInput(Model):
    """What one dispatch of the `deliver` activity is to bring to an end."""

    tenant: str
    channel: Channel
    messages: tuple[str, ...]
    taken_from: str | None = None


class EndpointGroup(Model):
    """Webhook deliveries to one endpoint that go on without the others of their batch, from `due_at` on."""

    endpoint: str
    due_at: datetime
    deliveries: tuple[str, ...]


MOST_ATTEMPTS: Final = 20
"""Requests, and records given up, that a history names one by one: the last ones."""


class Attempt(Model):
    """One request of a single message or webhook delivery, in codes: fit for a history."""

    number: int
    account: str = Field(default="", exclude_if=says_nothing)
    """Left out of a webhook."""
    outcome: str
    status_code: int | None = Field(default=None, exclude_if=says_nothing)
    error_code: str | None = Field(default=None, exclude_if=says_nothing)
    ms: int | None = Field(default=None, exclude_if=says_nothing)
    """How long it took; left out where nobody knows."""
    at: datetime
    """When it was made, to the second."""

    def __str__(self) -> str:
        return " ".join(str(one) for one in (self.outcome, self.status_code, self.error_code) if one is not None)


class OutcomeCount(Model):
    """What `count` requests of several messages or deliveries came to."""

    account: str = Field(default="", exclude_if=says_nothing)
    outcome: str
    count: int


class AttemptSummary(Model):
    """What was tried so far: of one record each request, of several how often what came of them."""

    attempts: tuple[Attempt, ...] = Field(default=(), exclude_if=says_nothing)
    """The last `MOST_ATTEMPTS`, as far as they have room in a failure of a waiting activity."""
    outcomes: tuple[OutcomeCount, ...] = Field(default=(), exclude_if=says_nothing)
    """The most frequent first."""
    failed: tuple[str, ...] = Field(default=(), exclude_if=says_nothing)
    """Ids of those that were given up, `MOST_ATTEMPTS` of them at the most."""


def attempt_fields(told: AttemptSummary | None) -> dict[str, Any]:
    """These fields of whatever has them, for another one that has them too."""
    return {} if told is None else {field: getattr(told, field) for field in AttemptSummary.model_fields}


class WaitDetails(AttemptSummary):
    """The details of the failure with which a dispatch says that it waits."""

    run: str
    """The workflow run that did the work, as in `DeliveryReport`."""
    open: int
    next_attempt_at: datetime
    reason: str | None = None
    """Why it waits, where that is not its last request. In codes."""
    handed_off: int = Field(default=0, exclude_if=says_nothing)

    def cause(self) -> str:
        """The attempt that is waited for, and why: `attempt 4 after http_error 500`. Codes, 200 characters at most."""
        last = self.attempts[-1] if self.attempts else None
        told = f"attempt {last.number + 1} after {last}" if last else "attempt 1"
        return (f"{told}; {self.reason}" if self.reason else told)[:200]


class Story(AttemptSummary):
    """The answer of the query `story`: where a delivery workflow stands. Ids, codes and counts."""

    state: str
    """`starting`, `scheduled`, `delivering`, `waiting`, `handing_off`, `cancelling`, or `ended`; of a submission, also
    what its record says."""
    waits_for: str | None = Field(default=None, exclude_if=says_nothing)
    until: datetime | None = Field(default=None, exclude_if=says_nothing)
    next: str | None = Field(default=None, exclude_if=says_nothing)
    """What comes next."""
    counts: dict[str, int] = Field(default_factory=dict, exclude_if=says_nothing)
    handed_off: int = Field(default=0, exclude_if=says_nothing)


class DeliveryReport(AttemptSummary):
    """How a dispatch ended: messages, or webhook deliveries, by final status, and those that wait too long to keep a
    batch open.

    `reason` says in codes what the requests came to, and how often; or why there was none.

    `run` is the workflow run that did the work. A workflow that finds another run's id in a failure has been
    reset by an operator, and tries again.
    """

    run: str
    counts: dict[str, int]
    leaving: dict[str, datetime] = Field(default_factory=dict)
    """Messages whose next attempt is too far away for a batch, with its time. They belong to their own workflow."""
    apart: tuple[EndpointGroup, ...] = ()
    """What a batch to several endpoints could not deliver at once."""
    missing: int = Field(default=0, exclude_if=says_nothing)
    """Records that the database does not have: it has lost them, or they were dropped."""
    reason: str | None = None
    handed_off: int = Field(default=0, exclude_if=says_nothing)
    """Webhook deliveries that wait with others for their endpoint from now on. They need no workflow of their own."""


class CancelInput(Model):
    """Messages or webhook deliveries that an operator withdraws through Temporal, to be closed in the ledger."""

    tenant: str
    messages: tuple[str, ...]
    reason: str


class DeliveryResult(AttemptSummary):
    """The result of a workflow, as the Web UI shows it; of one that fails, the details of its failure."""

    counts: dict[str, int]
    handed_off: int = Field(default=0, exclude_if=says_nothing)
    """Messages or deliveries that go on in other workflows."""
    reason: str | None = Field(default=None, exclude_if=says_nothing)
    """What the requests came to, and how often: `2 × main: transient 451, main: accepted 202`."""


class RetentionReport(Model):
    """What one run of the retention did."""

    dropped: int = 0
    """Contents deleted."""


class RecordReport(Model):
    """What one run of the retention of records did."""

    dropped: dict[str, int] = Field(default_factory=dict)
    """Rows deleted, by table; of messages and deliveries without what hung on them."""


class PromiseReport(Model):
    """What one audit of the promises found: how many there are, and by `promise/kind` how many records break them."""

    promises: int
    broken: dict[str, int] = Field(default_factory=dict)


class SweepReport(Model):
    """What one sweep did: records started, and open records whose workflow had been lost."""

    started: int = 0
    restarted: int = 0
    buried: int = 0
    failed: tuple[str, ...] = Field(default=(), exclude_if=says_nothing)
    """Kinds of records whose part of the sweep went wrong; the next sweep tries them again."""
