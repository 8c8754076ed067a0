"""What the sweeper looks for: how long a record has to be forgotten, and how many of its kind one pass takes up."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, TypeVar

from starter.concurrency.gather_limited import gather_limited

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """Of records whose workflow is started by a workflow, or by somebody who waits for it."""

    stalled_after: timedelta
    """Open, due, and untouched for so long: its workflow may be gone."""
    at_most: int
    """Workflows of one pass."""
    at_once: int

    async def wake(self, wake: Callable[[Found], Awaitable[bool]], found: Sequence[Found]) -> list[Found]:
        """Wake what was found, so many at once; those that were woken. Raises the first error, when all were tried."""
        answers = await gather_limited(self.at_once, wake, found)
        return [one for one, woken in zip(found, answers, strict=True) if woken]


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptedSweep(Sweep):
    """Of records that are accepted first, and whose workflow is started after that."""

    unstarted_after: timedelta
    """Accepted or changed so long ago, and nobody has looked: its starter has forgotten it."""


_SOON: Final = timedelta(seconds=5)
_LONG: Final = timedelta(minutes=10)

LEDGERS: Final = AcceptedSweep(unstarted_after=_SOON, stalled_after=_LONG, at_most=2_000, at_once=10)
"""Messages, webhook deliveries, submissions, of each so many: some forty batches, or as many workflows as the engine
starts in ten seconds."""
ORDERED_WEBHOOKS: Final = AcceptedSweep(unstarted_after=_SOON, stalled_after=_LONG, at_most=500, at_once=10)
WAITING_WEBHOOKS: Final = Sweep(stalled_after=timedelta(minutes=1), at_most=500, at_once=10)
REPLAYS: Final = Sweep(stalled_after=timedelta(minutes=2), at_most=500, at_once=1)
PARTIALS: Final = AcceptedSweep(unstarted_after=timedelta(seconds=15), stalled_after=_LONG, at_most=500, at_once=10)
EVENTS: Final = AcceptedSweep(unstarted_after=_SOON, stalled_after=_LONG, at_most=500, at_once=10)
PAYMENTS: Final = AcceptedSweep(unstarted_after=_SOON, stalled_after=_LONG, at_most=500, at_once=1)
"""What was woken and has not told of its payment when `stalled_after` is over is woken again."""
