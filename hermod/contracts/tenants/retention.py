"""How long and how many of a tenant's records are kept."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Final

from pydantic import BeforeValidator, Field

from hermod.contracts.forms.forms import duration
from hermod.contracts.values.durations import IsoDuration, WrittenDuration
from hermod.contracts.values.model import Model
from hermod.contracts.values.scalars import Whole

LEAST_AGE: Final = timedelta(hours=1)
"""Nothing goes sooner after its end: somebody may be looking at it, and its provider's report is on its way."""

_MOST_AGE: Final = timedelta(days=36_500)

Age = Annotated[
    Annotated[timedelta, Field(ge=LEAST_AGE, le=_MOST_AGE)],
    BeforeValidator(
        duration,
        json_schema_input_type=Annotated[float, Field(ge=LEAST_AGE.total_seconds(), le=_MOST_AGE.total_seconds())]
        | WrittenDuration,
    ),
    IsoDuration,
]
"""Seconds as a number, ISO 8601 (`PT24H`), `24h` or `7d`."""


class Keep(Model):
    """A record goes when it is older than `age`, or when `count` newer ones of its kind have ended; null: the default
    for the age, no bound for the count."""

    age: Age | None = None
    """From its end."""
    count: Annotated[int, Whole(0, 100_000_000)] | None = None


class KeptByEnd(Model):
    completed: Keep = Keep()
    """All that ended but dead letters."""
    failed: Keep = Keep()
    """Dead letters, also discarded ones. A message whose outcome is unknown goes by its age only."""


class Retention(Model):
    """`PUT /v1/retention`."""

    messages: KeptByEnd = KeptByEnd()
    webhook_deliveries: KeptByEnd = KeptByEnd()
