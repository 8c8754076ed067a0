"""Questions to analytics and their answers. Times are in UTC and begin on whole intervals."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, WithJsonSchema

from hermod.contracts.values.model import Model
from hermod.contracts.values.scalars import Instant, Text
from hermod.contracts.webhooks.deliveries import EVENT_TYPE, EventFilter, EventType

MAX_POINTS: Final = 1_500
"""Of one series: a day in minutes, two months in hours."""
LONGEST: Final = timedelta(days=400)
"""From `since` to `until`."""
MAX_STEPS: Final = 10
MAX_TOP: Final = 100

_NAME: Final = r"[^\x00-\x1f\x7f=<>`\\]{1,128}"
FILTER_PATTERN: Final = rf"^{_NAME}[=<>]"
BY_PATTERN: Final = rf"^(type|source|contact|session|property:{_NAME})$"
PropertyFilter = Annotated[
    Text,
    StringConstraints(pattern=FILTER_PATTERN, max_length=400),
    Field(json_schema_extra={"pattern": FILTER_PATTERN}),
]
"""`plan=pro`: the property `plan` is `pro`, or a number or truth that is written so. `address.city` is nested.

`total>50`, `total>=50`, `<` and `<=` compare numbers with a number, and texts (dates as `2026-11-30`) with any other.
"""
By = Annotated[str, StringConstraints(pattern=BY_PATTERN)]


class Interval(StrEnum):
    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"

    @property
    def length(self) -> timedelta:
        return timedelta(**{f"{self.value}s": 1})


class Subject(StrEnum):
    """Whose steps belong together."""

    CONTACT = "contact"
    SESSION = "session"


def _apart(given: object) -> object:
    """A query names several in one parameter: `a,b,c`."""
    if isinstance(given, list):
        return [part for one in given for part in (one.split(",") if isinstance(one, str) else [one])]
    return given


class Span(Model):
    """From `since` to before `until`; without them, up to now."""

    since: Instant | None = None
    until: Instant | None = None


class EventsAsked(Span):
    """Which events a question is about."""

    type: EventFilter = "*"
    property: list[PropertyFilter] = Field(default_factory=list, max_length=5)
    """All of them must hold."""


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("no such time zone; write one like Europe/Berlin") from None
    return name


TimeZone = Annotated[Text, StringConstraints(min_length=1, max_length=64), AfterValidator(_known_zone)]
"""A name of the IANA time zone database."""


class TimeseriesAsked(EventsAsked):
    interval: Interval = Interval.HOUR
    timezone: TimeZone = "UTC"
    """By whose clock days and hours begin."""


class TopAsked(EventsAsked):
    by: By = "type"
    limit: Annotated[int, Field(ge=1, le=MAX_TOP)] = 10


_STEP: Final = r"[A-Za-z0-9_-]+([./][A-Za-z0-9_-]+)*"
Steps = Annotated[
    tuple[EventType, ...],
    Field(min_length=2, max_length=MAX_STEPS),
    BeforeValidator(_apart),
    WithJsonSchema(
        {
            "type": "array",
            "anyOf": [
                {"minItems": 2, "items": {"pattern": EVENT_TYPE, "maxLength": 128}},
                {"maxItems": 1, "items": {"pattern": f"^{_STEP}(,{_STEP}){{1,{MAX_STEPS - 1}}}$"}},
            ],
            "items": {"type": "string", "maxLength": 129 * MAX_STEPS},
            "minItems": 1,
            "maxItems": MAX_STEPS,
        }
    ),
]
"""Each for itself, or all in one: `a,b,c`."""


class FunnelAsked(Span):
    """Of messages, or with `steps` of events."""

    channel: Literal["email", "sms", "whatsapp", "push", "webhook"] | None = None
    template: Annotated[Text, StringConstraints(max_length=200)] | None = None
    """`welcome`, `welcome/de` or `welcome/de@3`; of webhooks, the type of the event."""
    campaign: Annotated[Text, StringConstraints(max_length=128)] | None = None
    """As `campaign` in the messages' metadata."""
    steps: Steps | None = None
    """Types of events, in the order in which they must have happened."""
    by: Subject = Subject.CONTACT
    within: Annotated[int, Field(ge=1, le=90 * 24 * 3600)] = 7 * 24 * 3600
    """Seconds from the first step to the last one."""


class Point(Model):
    """`at` is where its interval begins."""

    at: datetime
    count: int


class Timeseries(Model):
    """All points, also those without events. Its times are in UTC, whichever zone its intervals begin by."""

    type: str
    interval: Interval
    timezone: str
    since: datetime
    until: datetime
    total: int
    points: tuple[Point, ...]


class TopItem(Model):
    value: str
    count: int


class Top(Model):
    """The most frequent first."""

    by: str
    since: datetime
    until: datetime
    items: tuple[TopItem, ...]


class RefusedEvents(Model):
    """Events of one type that were accepted and that ClickHouse cannot take. They are kept for 90 days."""

    id: str
    type: str
    count: int
    reason: str
    """ClickHouse's code, and nothing of what is in them."""
    refused_at: datetime
    events: tuple[dict[str, Any], ...]
    """The first of them, as they came; none where they cannot be read."""


class RefusedEventsPage(Model):
    items: tuple[RefusedEvents, ...]
    next_cursor: str | None


class ChannelFunnel(Model):
    """How far the messages came that were accepted in that time, whenever they came there.

    `opened` and `clicked` count messages, not how often. `failed` and `unknown` are those that are so now: a dead
    letter that was retried is not among them. Of the channel `webhook` it is deliveries to endpoints.
    """

    channel: str
    accepted: int = 0
    sent: int = 0
    delivered: int = 0
    opened: int = 0
    clicked: int = 0
    bounced: int = 0
    complained: int = 0
    failed: int = 0
    unknown: int = 0
    suppressed: int = 0
    expired: int = 0
    cancelled: int = 0
    parked: int = 0


class FunnelStep(Model):
    """How many came to this step, all steps before it done."""

    type: str
    count: int
    of_first: float | None
    """As a share of those who took the first step; null where nobody did."""
    of_previous: float | None


class Funnel(Model):
    """`channels` of messages, or `steps` of events."""

    since: datetime
    until: datetime
    channels: tuple[ChannelFunnel, ...] | None = None
    steps: tuple[FunnelStep, ...] | None = None
    by: Subject | None = None
    within: int | None = None
