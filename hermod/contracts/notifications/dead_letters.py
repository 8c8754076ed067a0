"""Dead letters as they are asked for, many at once: messages, webhook deliveries and submissions that were given up."""

from __future__ import annotations

from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field, StringConstraints

from hermod.contracts.forms.forms import FormId
from hermod.contracts.notifications.content import Channel
from hermod.contracts.values.model import Model
from hermod.contracts.values.scalars import Instant, Text, Whole
from hermod.contracts.webhooks.deliveries import EventFilter, EventId

MOST_MOVED: Final = 1_000
"""Dead letters moved by one call."""

ErrorCode = Annotated[Text, StringConstraints(min_length=1, max_length=200)]
RecordId = Annotated[Text, StringConstraints(min_length=1, max_length=64)]
Answered = Annotated[int, Whole(100, 599)]
"""A receiver's HTTP status."""


class Accepted(Model):
    """When it was accepted, and which ones."""

    since: Instant | None = None
    """Accepted from then on."""
    until: Instant | None = None
    """Accepted before then."""
    ids: Annotated[tuple[RecordId, ...], Field(min_length=1, max_length=MOST_MOVED)] | None = None
    """Only these."""


class MessageFilter(Accepted):
    """Which messages. Without anything, all dead letters: for a retry those that failed, to be discarded the unknown
    ones as well."""

    channel: Channel | None = None
    status: Literal["failed", "unknown"] | None = None
    error_code: ErrorCode | None = None


class DeliveryFilter(Accepted):
    """Which webhook deliveries. Without a status, those that failed."""

    endpoint: EventId | None = None
    type: EventFilter | None = None
    """`order.paid`, or `order.*` or `orders/*` for everything below."""
    status: Literal["failed", "parked", "skipped"] = "failed"
    status_code: Answered | None = None
    """What the receiver answered last."""


class SubmissionFilter(Accepted):
    """Which submissions. All dead letters without anything."""

    form: FormId | None = None
    error_code: ErrorCode | None = None


class _Many(Model):
    limit: Annotated[int, Whole(1, MOST_MOVED)] = MOST_MOVED
    """How many at the most, the oldest first; call again while `remaining` says that there are more."""
    dry_run: Annotated[bool, Field(strict=True)] = False
    """Count them, and move nothing."""


class ManyMessages(_Many):
    """`POST /v1/messages/retry` and `/discard`. An empty filter stands for all of them."""

    kind: ClassVar[str] = "message"
    filter: MessageFilter


class ManyDeliveries(_Many):
    """`POST /v1/webhook-deliveries/retry` and `/discard`. An empty filter stands for all that failed."""

    kind: ClassVar[str] = "delivery"
    filter: DeliveryFilter


class ManySubmissions(_Many):
    """`POST /v1/submissions/retry` and `/discard`. An empty filter stands for all of them."""

    kind: ClassVar[str] = "submission"
    filter: SubmissionFilter


AnyMany = ManyMessages | ManyDeliveries | ManySubmissions


class Moved(Model):
    """What was done. `matching` counts before it, `remaining` after it; those that cannot be retried are in neither."""

    matching: int
    moved: int
    remaining: int
    without_content: int
    """Of a retry: how many match besides, and cannot begin again, since their content was dropped in its time."""
    ids: tuple[str, ...]
    """What was moved; with `dry_run`, what would be."""
    dry_run: bool
