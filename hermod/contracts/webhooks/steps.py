"""What travels between the workflows of lines, waiting deliveries and replays, and their activities: ids and counts."""

from __future__ import annotations

from hermod.contracts.values.model import Model
from hermod.contracts.webhooks.deliveries import ReplayStatus


class HeadOfLine(Model):
    """What is next for one ordering key: `delivery`, or what stands in its way. Neither: the line is empty."""

    delivery: str | None = None
    blocked_by: str | None = None
    """A delivery that was given up, or parked, at an endpoint whose choice is to block."""


class LineResult(Model):
    """How many deliveries of the key a run of OrderedEndpoint has brought to their end."""

    made: int


class NextForEndpoint(Model):
    """What to do about the deliveries that wait for an endpoint: deliver these now, or look again after `seconds`.

    Neither: nothing waits any more.
    """

    deliveries: tuple[str, ...] = ()
    seconds: float | None = None
    reason: str = ""
    """Why there is something to wait for, in words for the Web UI."""


class ReplayStepInput(Model):
    """One page of a replay. `wanted` is what an operator asked of the workflow since the last one."""

    tenant: str
    replay: str
    wanted: ReplayStatus | None = None


class ReplayStep(Model):
    """Where a replay stands after a page. The next one is due `seconds` after this one was begun."""

    status: ReplayStatus
    begun: int
    """Deliveries, over all pages."""
    matching: int
    seconds: float = 0.0


class ReplayResult(Model):
    status: ReplayStatus
    begun: int
