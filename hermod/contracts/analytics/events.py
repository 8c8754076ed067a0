"""Analytics events on the wire: what an application tells about what happened, one by one or many at once."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Final

from pydantic import Field, StringConstraints

from hermod.contracts.values.model import Model
from hermod.contracts.values.scalars import Instant
from hermod.contracts.webhooks.deliveries import EventType

MAX_EVENTS: Final = 10_000
"""In one call."""
MAX_PROPERTIES_BYTES: Final = 16 * 1024
"""Of one event's properties, as JSON."""
MAX_PROPERTIES_DEPTH: Final = 8
MAX_PROPERTIES: Final = 256
"""Keys of one event, on all levels together."""
OLDEST: Final = timedelta(days=365)
"""An event may have happened so long ago; older ones are refused."""
MOST_AHEAD: Final = timedelta(hours=24)
"""Clocks of senders may be ahead by so much."""

Reference = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.:-]{1,128}$")]
"""An id of the application's own: of a contact, a session, an event. No address; it is kept as it is."""


class TrackedEvent(Model):
    """Something that happened. `contact` and `session` tie what belongs together into a journey."""

    type: EventType
    occurred_at: Instant | None = None
    """When; now, where nothing is said."""
    event_id: Reference | None = None
    """Makes it safe to tell the same event again, within seven days."""
    contact: Reference | None = None
    session: Reference | None = None
    properties: dict[str, Any] = Field(default_factory=dict)
    """Plain JSON within the bounds above, which `hermod.domain.analytics.event_properties` looks after."""


class RejectedEvent(Model):
    """By its place in the call, and why."""

    index: int
    errors: tuple[dict[str, str], ...]
    """`{field, message}` each."""


class EventsReceipt(Model):
    """What became of a call's events. What is accepted is durable."""

    accepted: int
    duplicates: int = 0
    """Of the accepted ones: those whose `event_id` was known, so that nothing is added."""
    rejected: tuple[RejectedEvent, ...] = ()


class IngestEventsInput(Model):
    """`batch` (`evb_…`) is the name of its inserts; what is taken into them is decided by the database."""

    tenant: str
    batch: str


class IngestInput(Model):
    """One round: take what waits into the insert of this name, and insert it."""

    tenant: str
    insert: str


class IngestReport(Model):
    events: int
    inserts: int
    """Statements to ClickHouse: one for each large type of event, and one for the small ones."""
    more: bool
    """Whether more wait for another round."""


class IngestResult(Model):
    events: int
    rounds: int
