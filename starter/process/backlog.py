"""The backlog as `/health`, `/metrics` and `doctor` tell it: looked at when asked for, every few seconds at most."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from time import monotonic
from typing import Final

from hermod.contracts.errors import Unavailable
from hermod.contracts.queues import Lane
from hermod.contracts.values.model import Model
from hermod.ports.clock import Clock
from hermod.storage.operations.backlog import Backlog, Waiting
from hermod.telemetry import BACKLOG_OLDEST, BACKLOG_RECORDS

MEMORY: Final = 5.0
"""Seconds that a look is given to everybody who asks."""
SHARE: Final = 20
"""With a large backlog a look is work for the database: it is kept so many times as long as it took."""
TIMEOUT: Final = 2.5
"""Seconds for a look. Less than a health check may take, so that the rest of it is told."""


class LaneBacklog(Model):
    """Records that were accepted and nobody has begun, and the seconds that the oldest of them waits."""

    records: int
    oldest_seconds: float


class BacklogView(Model):
    """By lane; `oldest_seconds` over all of them."""

    oldest_seconds: float
    by_lane: dict[str, LaneBacklog]

    def late(self, limit: float) -> list[str]:
        """The lanes whose oldest record waits longer than `limit` seconds."""
        return [lane for lane, found in self.by_lane.items() if found.oldest_seconds > limit]


class BacklogWatch:
    """Looks for whoever asks in this process, and keeps the gauges of `/metrics`.

    `late_after`: seconds that a record may wait to be begun before it counts as standing still.
    """

    def __init__(self, backlog: Backlog, clock: Clock, late_after: float) -> None:
        self._backlog = backlog
        self._clock = clock
        self.late_after = late_after
        self._turn = asyncio.Lock()
        self._seen: BacklogView | None = None
        self._good_until = 0.0

    async def look(self) -> BacklogView:
        """Raises Unavailable, and takes the gauges away: what they said is not known any more."""
        async with self._turn:
            if self._seen is None or monotonic() > self._good_until:
                begun, self._seen = monotonic(), None
                try:
                    async with asyncio.timeout(TIMEOUT):
                        found = await self._backlog.look(self._clock.now())
                except (Unavailable, TimeoutError):
                    BACKLOG_RECORDS.clear()
                    BACKLOG_OLDEST.clear()
                    raise Unavailable("the database does not say what waits") from None
                _show(found)
                self._seen = view(found)
                self._good_until = monotonic() + max(MEMORY, SHARE * (monotonic() - begun))
            return self._seen

    async def refresh(self) -> None:
        """For the gauges alone."""
        try:
            await self.look()
        except Unavailable:
            return


def view(found: Mapping[Lane, Waiting]) -> BacklogView:
    by_lane = {
        lane.value: LaneBacklog(records=waiting.records, oldest_seconds=round(waiting.oldest_seconds, 1))
        for lane, waiting in found.items()
    }
    return BacklogView(oldest_seconds=max(one.oldest_seconds for one in by_lane.values()), by_lane=by_lane)


def _show(found: Mapping[Lane, Waiting]) -> None:
    for lane, waiting in found.items():
        BACKLOG_RECORDS.labels(lane.value).set(waiting.records)
        BACKLOG_OLDEST.labels(lane.value).set(waiting.oldest_seconds)
