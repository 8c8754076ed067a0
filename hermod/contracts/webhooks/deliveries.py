"""Webhooks on the wire: endpoints of receivers, events of the application, deliveries of one to the other, replays."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Final, Self

from pydantic import BeforeValidator, ConfigDict, Discriminator, Field, StringConstraints, Tag, model_validator

from hermod.contracts.notifications.content import Line, Url
from hermod.contracts.notifications.retries import Preset, Waits, is_name
from hermod.contracts.values.model import Model, misplaced
from hermod.contracts.values.plain_json import PlainObject
from hermod.contracts.values.scalars import Flag, Instant, Number, Rate, Whole
from hermod.contracts.webhooks.payload_filters import PayloadCondition, PayloadFilter

MAX_PAYLOAD_BYTES: Final = 256 * 1024
"""Of one event, as it is sent. The standard suggests 20 KiB; receivers may refuse more."""
MAX_ANSWER_BYTES: Final = 16 * 1024
"""So much of a receiver's answer is read and kept."""
BATCH_BYTES: Final = 2 * 1024 * 1024
"""Of the bodies in one dispatch, which has them all in memory."""
WEBHOOK_PRESETS: Final = frozenset({Preset.WEBHOOK, Preset.WEBHOOK_FAST, Preset.WEBHOOK_STANDARD})

EVENT_TYPE: Final = r"^[A-Za-z0-9_-]+([./][A-Za-z0-9_-]+)*$"
EVENT_FILTER: Final = r"^(\*|[A-Za-z0-9_-]+([./][A-Za-z0-9_-]+)*([./]\*)?)$"
HEADER_NAME: Final = r"^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,100}$"
"""Of RFC 9110."""
HEADER_VALUE: Final = r"^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$"
EventType = Annotated[str, StringConstraints(pattern=EVENT_TYPE, max_length=128)]
"""`order.paid`, `orders/create`: letters, digits, `_` and `-`, in parts joined by dots or slashes."""
EventFilter = Annotated[str, StringConstraints(pattern=EVENT_FILTER, max_length=128)]
"""`order.paid`, `order.*` or `orders/*` for everything below, or `*` for everything."""
EventId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,128}$")]
"""The caller's own id of an event. No dots: the signature joins its parts with them."""
OrderingKey = Annotated[Line, Field(min_length=1, max_length=255)]


def _for_webhooks(preset: object) -> object:
    if preset not in WEBHOOK_PRESETS:
        raise ValueError(f'must be one of {", ".join(sorted(WEBHOOK_PRESETS))}, or a list of waits like ["10s", "1m"]')
    return preset


Retry = Annotated[
    Annotated[
        Preset,
        BeforeValidator(_for_webhooks),
        Tag("preset"),
        Field(json_schema_extra={"enum": sorted(WEBHOOK_PRESETS)}),
    ]
    | Annotated[Waits, Tag("waits")],
    Discriminator(is_name),
]


class Ordering(StrEnum):
    NONE = "none"
    BY_KEY = "by_key"
    """Deliveries of events with the same `ordering_key` are made strictly one after another."""


class WhenExhausted(StrEnum):
    """What an ordered endpoint does with the deliveries behind one that failed for good."""

    BLOCK = "block"
    """Nothing goes past it, until somebody retries or discards it."""
    SKIP = "skip"
    """It is skipped after `skip_after` attempts, and the next one goes."""
    DEAD_LETTER = "dead_letter"
    """It becomes a dead letter at the end of its schedule, and the next one goes."""


class DeliveryStatus(StrEnum):
    PENDING = "pending"
    """Stored; its workflow has yet to be started."""
    QUEUED = "queued"
    SENDING = "sending"
    RETRYING = "retrying"
    DELIVERED = "delivered"
    FAILED = "failed"
    """A dead letter."""
    PARKED = "parked"
    """Its endpoint is disabled. Counted, and replayable once it is enabled again."""
    SKIPPED = "skipped"
    CANCELLED = "cancelled"


OPEN_DELIVERIES: Final = frozenset(
    {DeliveryStatus.PENDING, DeliveryStatus.QUEUED, DeliveryStatus.SENDING, DeliveryStatus.RETRYING}
)


_skipping: Final[dict[str, Any]] = {
    "anyOf": [
        {
            "required": ["when_exhausted", "skip_after"],
            "properties": {"when_exhausted": {"const": "skip"}, "skip_after": {"not": {"type": "null"}}},
        },
        {"properties": {"when_exhausted": {"not": {"const": "skip"}}, "skip_after": {"type": "null"}}},
    ]
}
"""What the reference says of `skip_after`."""


class EndpointSettings(Model):
    """What an endpoint is, apart from its secret."""

    model_config = ConfigDict(json_schema_extra=_skipping)

    url: Url
    event_types: Annotated[tuple[EventFilter, ...], Field(min_length=1, max_length=100)] = ("*",)
    filter: PayloadFilter = ()
    """Only events whose payload is like this; of the types above."""
    description: Annotated[Line, Field(max_length=500)] | None = None
    retry: Retry = Preset.WEBHOOK
    """A named schedule, or the waits after each attempt (seconds, or like `10s`): three of them make four attempts."""
    timeout_seconds: Annotated[Number, Field(ge=1, le=30)] | None = None
    """For the whole exchange; 10 for `webhook-fast`, else 15."""
    rate_per_second: Rate | None = None
    max_concurrency: Annotated[int, Whole(1, 100)] = 10
    """Requests under way at once; it is lowered while the endpoint asks for less (429, 502, 504)."""
    ordering: Ordering = Ordering.NONE
    when_exhausted: WhenExhausted = WhenExhausted.DEAD_LETTER
    skip_after: Annotated[int, Whole(1, 20)] | None = None
    headers: dict[str, Annotated[Line, Field(json_schema_extra={"pattern": HEADER_VALUE})]] = Field(
        default_factory=dict, max_length=20, json_schema_extra={"propertyNames": {"pattern": HEADER_NAME}}
    )
    """Sent with every request. Stored encrypted, since they may be credentials; shown by name only."""
    asymmetric: Flag = False
    """Sign with ed25519 as well (`v1a`), so that receivers need no secret."""
    enabled: Flag = True

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if (self.when_exhausted is WhenExhausted.SKIP) != (self.skip_after is not None):
            raise misplaced("skip_after", "goes with `when_exhausted: skip`, and is needed there")
        return self


class Health(Model):
    """The last hour of an endpoint: attempts that succeeded and failed, and since when nothing has succeeded."""

    succeeded: int = 0
    failed: int = 0
    failing_since: datetime | None = None


class EndpointView(Model):
    """An endpoint as the API shows it: never its secret, custom headers by name only."""

    id: str
    url: str
    event_types: tuple[str, ...]
    filter: tuple[PayloadCondition, ...]
    description: str | None
    retry: Preset | tuple[float, ...]
    timeout_seconds: float
    rate_per_second: float | None
    max_concurrency: int
    ordering: Ordering
    when_exhausted: WhenExhausted
    skip_after: int | None
    headers: tuple[str, ...]
    public_key: str | None
    """`whpk_…`, where the endpoint asked for asymmetric signatures."""
    enabled: bool
    disabled_reason: str | None
    disabled_at: datetime | None
    paused_until: datetime | None
    """The receiver asked for a pause, or its breaker is open."""
    concurrency: int
    """Requests that may be under way at once at the moment."""
    health: Health
    parked: int
    """Deliveries that wait for the endpoint to be enabled."""
    created_at: datetime
    updated_at: datetime


class NewEndpoint(EndpointView):
    """The answer to a creation. `secret` is shown this once and can be rotated."""

    secret: str


class EndpointPage(Model):
    items: tuple[EndpointView, ...]
    next_cursor: str | None


class Rotation(Model):
    """`POST /v1/webhook-endpoints/{id}/rotate-secret`. Both secrets sign until the overlap is over."""

    overlap_hours: Annotated[Number, Field(ge=0, le=24 * 30)] = 24.0


class NewSecret(Model):
    secret: str
    old_valid_until: datetime


class EventInput(Model):
    """`POST /v1/webhook-events`."""

    type: EventType
    payload: PlainObject
    event_id: EventId | None = None
    """Makes the call safe to repeat: the same id and payload give the same answer, another payload is refused."""
    ordering_key: OrderingKey | None = None


class DeliveryRef(Model):
    id: str
    endpoint_id: str


class EventReceipt(Model):
    """The answer to an accepted event: one delivery for each endpoint that asked for its type."""

    event_id: str
    deliveries: tuple[DeliveryRef, ...]


class Phases(Model):
    """Where the time of one request went, in milliseconds; null for a phase that was not reached or not needed."""

    dns: float | None = None
    connect: float | None = None
    tls: float | None = None
    first_byte: float | None = None
    """From the end of sending to the first byte of the answer."""
    body: float | None = None


class DeliveryAttemptView(Model):
    """One wire request to an endpoint. `outcome` is null while its answer is awaited."""

    number: int
    outcome: str | None
    """`success`, or what went wrong: `http_error`, `timeout`, `connect`, `dns`, `tls`, `reset`, `refused_address`, …"""
    status_code: int | None
    error: str | None
    address: str | None
    """The address that was called."""
    request_headers: dict[str, str]
    response_headers: dict[str, str]
    response_body: str | None
    """The first 16 KiB, as text."""
    truncated: bool
    phases: Phases
    started_at: datetime
    duration_ms: int | None


class DeliverySummary(Model):
    id: str
    endpoint_id: str
    event_id: str
    event_type: str
    status: DeliveryStatus
    attempt_count: int
    """Wire requests made so far."""
    status_code: int | None
    error: str | None
    next_attempt_at: datetime | None
    created_at: datetime
    finished_at: datetime | None
    discarded_at: datetime | None
    """When somebody took it off the list of dead letters."""


class DeliveryView(DeliverySummary):
    """A delivery's whole story."""

    url: str
    ordering_key: str | None
    workflow_id: str
    payload: dict[str, Any] | None
    """Null once it was dropped."""
    attempts: tuple[DeliveryAttemptView, ...]


class DeliveryPage(Model):
    items: tuple[DeliverySummary, ...]
    next_cursor: str | None


_EndedStatus = Annotated[
    DeliveryStatus,
    Field(json_schema_extra={"enum": [one.value for one in DeliveryStatus if one not in OPEN_DELIVERIES]}),
]


class ReplayInput(Model):
    """`POST /v1/webhook-endpoints/{id}/replay`: send again what matches."""

    since: Instant
    until: Instant | None = None
    types: Annotated[tuple[EventFilter, ...], Field(max_length=100)] = ()
    status: Annotated[tuple[_EndedStatus, ...], Field(max_length=9, json_schema_extra={"minItems": 1})] = (
        DeliveryStatus.FAILED,
        DeliveryStatus.PARKED,
    )
    per_second: Annotated[Rate, Field(le=1000)] = 10.0
    dry_run: Flag = False


class ReplayStatus(StrEnum):
    RUNNING = "running"
    PAUSED = "paused"
    DONE = "done"
    CANCELLED = "cancelled"


class ReplayView(Model):
    """A replay: how many deliveries match, how many were begun again. A dry run has only the count."""

    id: str | None
    endpoint_id: str
    status: ReplayStatus | None
    matching: int
    begun: int
    per_second: float
    created_at: datetime | None
    finished_at: datetime | None


class ReplayPage(Model):
    items: tuple[ReplayView, ...]
    next_cursor: str | None


class DeliverWebhookInput(Model):
    """One delivery as a workflow: ids only."""

    tenant: str
    delivery: str
    taken_from: str | None = None
    due_at: datetime | None = None


class DeliverWebhooksInput(Model):
    """Up to 500 deliveries that arrived together."""

    tenant: str
    batch: str
    endpoint: str | None = None
    """Where all of them go; None: to several."""
    deliveries: tuple[str, ...]
    taken_from: str | None = None
    """The batch of the released version that leaves it to this workflow to take them over from it. Any other one makes
    them this workflow's before it reports."""
    due_at: datetime | None = None


class WebhookOrder(Model):
    """What one dispatch of the `deliver_webhooks` activity is to bring to an end. Answered by a `DeliveryReport`."""

    tenant: str
    deliveries: tuple[str, ...]
    taken_from: str | None = None
    """As in `DeliverWebhooksInput`."""


class OrderedEndpointInput(Model):
    """The deliveries of one ordering key. `key` is a fingerprint: ordering keys may be personal."""

    tenant: str
    endpoint: str
    key: str


class DrainEndpointInput(Model):
    """What waits for one endpoint. Which deliveries these are stands in the database."""

    tenant: str
    endpoint: str


class ReplayDeliveriesInput(Model):
    tenant: str
    replay: str
