"""How fast a tenant may send, as the API and the command line take and show it."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field, StringConstraints

from hermod.contracts.values.model import Model
from hermod.contracts.values.scalars import Rate

MAX_DOMAINS: Final = 1_000
LEAST_WEIGHT: Final = 0.001
MOST_WEIGHT: Final = 1_000.0
"""The bounds are those of Temporal's fairness weights."""

Domain = Annotated[
    str,
    StringConstraints(
        to_lower=True,
        max_length=253,
        pattern=r"^[^\s@.\x00-\x1f\x7f\x85]+(\.[^\s@.\x00-\x1f\x7f\x85]+)+$",
        strip_whitespace=True,
    ),
]


class Limits(Model):
    """`PUT /v1/limits`: takes the place of the limits there were."""

    rate_per_second: Rate | None = None
    """Messages a second over all channels and accounts; null: no limit."""
    domains: Annotated[dict[Domain, Rate], Field(max_length=MAX_DOMAINS)] = Field(default_factory=dict)
    """Emails a second by the recipient's domain, like `{"gmail.com": 20}`."""
