"""What travels through Temporal for a delivery: ids and a little routing, never contents or addresses."""

from __future__ import annotations

from datetime import datetime
from typing import Final

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


class DeliveryReport(Model):
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


class DeliveryResult(Model):
    """The result of a workflow, as the Web UI shows it."""

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
