"""When to come again, for those that a worker has no room to let wait: the more there are, the later."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Final

SOONEST: Final = 1.0
LATEST: Final = 120.0
"""Seconds. Nobody is sent away for longer, since a rate may be raised at any time."""
MOST_KEPT: Final = 10_000


class StaggeredBackoff:
    """Hands out times one `spacing` apart, so that those who were sent away come back one by one."""

    def __init__(
        self, *, now: Callable[[], float] = time.monotonic, chance: Callable[[], float] = random.random
    ) -> None:
        self._now = now
        self._chance = chance
        self._last: dict[str, float] = {}

    def next(self, key: str, spacing: float) -> float:
        """Seconds until the next free appointment for `key`, give or take a tenth."""
        now = self._now()
        if len(self._last) > MOST_KEPT:
            self._last = {known: at for known, at in self._last.items() if at > now}
        at = max(self._last.get(key, 0.0) + spacing, now + SOONEST)
        # Beyond the latest they would all come at once, so those are spread over the second half of the time.
        if at - now > LATEST:
            return LATEST * (0.5 + 0.5 * self._chance())
        self._last[key] = at
        return max(SOONEST, (at - now) * (0.9 + 0.2 * self._chance()))
