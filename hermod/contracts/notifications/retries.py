"""How often something is tried, and how long to wait in between: a named preset, or a list of waits."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, TypeAdapter, ValidationError

from hermod.contracts.notifications.content import Channel
from hermod.contracts.values.durations import LONGEST_TEXT, WrittenDuration, short_duration
from hermod.contracts.values.model import Model
from hermod.contracts.values.scalars import Number

MOST_WAITS: Final = 20
LONGEST_WAIT: Final = 24 * 3600
"""Seconds."""

_DURATION: Final = TypeAdapter(timedelta)


class Preset(StrEnum):
    """The named retry schedules; their numbers are in `hermod.domain.backoff`."""

    NOTIFICATION = "notification"
    SMS = "sms"
    FALLBACK = "fallback"
    WEBHOOK_FAST = "webhook-fast"
    WEBHOOK = "webhook"
    WEBHOOK_STANDARD = "webhook-standard"


def _seconds(given: object) -> object:
    """`10s`, `1h30m`, `PT10S` and a timedelta in seconds. A number as text has no unit, so it is refused."""
    if isinstance(given, str) and len(given) <= LONGEST_TEXT:
        short = short_duration(given)
        given = _iso_duration(given) if short is None else short
    return given.total_seconds() if isinstance(given, timedelta) else given


def _iso_duration(text: str) -> timedelta:
    try:
        if text.strip().upper().startswith("P"):
            return _DURATION.validate_python(text.strip().upper())
    except ValidationError:
        pass
    raise ValueError('must be a number of seconds, or a duration like "10s", "1m" or "1h30m"')


def _known(preset: object) -> object:
    if preset not in list(Preset):
        raise ValueError(f'must be one of {", ".join(Preset)}, or a list of waits like ["2s", "10s", "1m"]')
    return preset


Wait = Annotated[
    Annotated[Number, Field(ge=0, le=LONGEST_WAIT)],
    BeforeValidator(_seconds, json_schema_input_type=Annotated[float, Field(ge=0, le=LONGEST_WAIT)] | WrittenDuration),
]
"""Seconds, up to a day. Also taken: `10s`, `1m`, `1h30m`, `500ms`, ISO 8601."""
Waits = Annotated[tuple[Wait, ...], Field(min_length=1, max_length=MOST_WAITS)]
"""After the first attempt, after the second, and so on: one attempt more than there are waits."""


def is_name(given: object) -> str:
    """The tag of the branch of `Retry` that the value is meant for."""
    return "preset" if isinstance(given, str) else "waits"


Retry = Annotated[
    Annotated[Preset, BeforeValidator(_known), Tag("preset")] | Annotated[Waits, Tag("waits")],
    Discriminator(is_name),
]
"""`"sms"`, or `["2s", "10s", "1m"]`."""

RetrySource = Literal["message", "account", "channel", "tenant", "built_in"]
"""Whose `retry` counts for a message: the first of these that has one."""


class RetryDefaults(Model):
    """`PUT /v1/retry-defaults`: takes the place of the defaults there were. They count for messages accepted from then
    on that name no `retry`, unless the provider account has one of its own."""

    default: Retry | None = None
    """For every channel that has none of its own; null: as built in."""
    channels: dict[Channel, Retry] = Field(default_factory=dict, max_length=len(Channel))
    """Like `{"email": ["2s", "10s", "1m"], "sms": "fallback"}`."""
