"""Batches take turns in a worker, so that their contents do not all lie in memory at once.

The next turn is that of the most urgent batch, then of the tenant with the fewest turns, then of the one whose last
turn is the longest ago. A batch that only waits for its rate gives its turn up once another has a better claim to it
(`Slot.should_yield`).
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from activities.dispatch.staggered_backoff import StaggeredBackoff

TURNS: Final = 4
TURN_SECONDS: Final = 1.0
"""What a batch that waits for its rate has to itself, before it gives way to a tenant with fewer turns."""
LONG_TURN_SECONDS: Final = 10.0
"""After this long it gives way to anybody: another batch may be for a faster account."""
LINE: Final = 8
"""Batches of one slow tenant that wait for a turn here; more would take the lane's places from everybody else."""
SLOW_FOR: Final = 10.0
"""Seconds for which a tenant counts as slow after one of its batches has waited for a rate."""
SPACING: Final = 1.0
"""Seconds between the returns of batches that were turned away."""

Now = Callable[[], float]


class QueueFull(Exception):
    """There are enough batches of this tenant in line; this one comes again after `delay` seconds."""

    def __init__(self, delay: float) -> None:
        super().__init__("its tenant's batches wait for their rate")
        self.delay = delay


@dataclass(slots=True, eq=False)
class _Claim:
    tenant: str
    priority: int
    number: int
    opened: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Slot:
    """One batch's turn."""

    def __init__(self, turns: FairSemaphore, tenant: str, priority: int) -> None:
        self._slots = turns
        self.tenant = tenant
        self.priority = priority
        self.since = turns.now()

    def is_slow(self) -> None:
        """Say that this batch waits for a rate."""
        self._slots.slow[self.tenant] = self._slots.now()

    def should_yield(self) -> bool:
        """Whether a batch that waits for its rate should let another have its turn."""
        return self._slots.should_yield(self)


class FairSemaphore:
    def __init__(self, places: int = TURNS, *, now: Now = time.monotonic) -> None:
        self._free = places
        self._running: Counter[str] = Counter()
        self._line: list[_Claim] = []
        self._numbers = 0
        self._served: dict[str, int] = {}
        """By tenant, the number of its last turn."""
        self._appointments = StaggeredBackoff()
        self.slow: dict[str, float] = {}
        self.now = now

    @asynccontextmanager
    async def take(self, tenant: str, priority: int) -> AsyncIterator[Slot]:
        """Wait for a turn, and have it inside the context. Raises QueueFull."""
        if self._free and not self._line:
            self._open(tenant)
        else:
            await self._wait(tenant, priority)
        try:
            yield Slot(self, tenant, priority)
        finally:
            self._close(tenant)

    def should_yield(self, turn: Slot) -> bool:
        held = self.now() - turn.since
        if held < TURN_SECONDS or not self._line:
            return False
        mine = self._running[turn.tenant]
        return held >= LONG_TURN_SECONDS or any(
            claim.priority > turn.priority
            or (claim.priority == turn.priority and claim.tenant != turn.tenant and self._running[claim.tenant] < mine)
            for claim in self._line
        )

    async def _wait(self, tenant: str, priority: int) -> None:
        if self._is_slow(tenant) and sum(claim.tenant == tenant for claim in self._line) >= LINE:
            raise QueueFull(self._appointments.next(tenant, SPACING))
        self._numbers += 1
        claim = _Claim(tenant, priority, self._numbers)
        self._line.append(claim)
        try:
            await claim.opened
        except asyncio.CancelledError:
            if claim in self._line:
                self._line.remove(claim)
            else:
                self._close(tenant)
            raise

    def _is_slow(self, tenant: str) -> bool:
        return self.now() - self.slow.get(tenant, -SLOW_FOR) < SLOW_FOR

    def _open(self, tenant: str) -> None:
        self._free -= 1
        self._running[tenant] += 1
        self._numbers += 1
        self._served[tenant] = self._numbers

    def _close(self, tenant: str) -> None:
        self._free += 1
        self._running[tenant] -= 1
        if not self._running[tenant]:
            del self._running[tenant]
        if not self._running and not self._line:
            self.slow.clear()
            self._served.clear()
        while self._free and self._line:
            claim = min(self._line, key=self._rank)
            self._line.remove(claim)
            self._open(claim.tenant)
            claim.opened.set_result(None)

    def _rank(self, claim: _Claim) -> tuple[int, int, int, int]:
        tenant = claim.tenant
        return -claim.priority, self._running[tenant], self._served.get(tenant, 0), claim.number
