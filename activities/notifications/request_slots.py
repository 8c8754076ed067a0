"""How many requests of one lane may be under way at once in this worker, over all of its dispatches."""

from __future__ import annotations

import asyncio
import heapq
import sys
from dataclasses import dataclass, field
from typing import Final

from hermod.contracts.priorities import DEFAULT_PRIORITY

UNBOUNDED: Final = sys.maxsize


@dataclass(slots=True, order=True)
class _Claim:
    rank: tuple[int, int]
    most: int = field(compare=False)
    granted: asyncio.Future[int] = field(compare=False)


class RequestSlots:
    """A slot is one request. Who waits is served by priority, 10 first, and then in the order of arrival."""

    def __init__(self, total: int = UNBOUNDED) -> None:
        self.total = total
        self._free = total
        self._line: list[_Claim] = []
        self._numbers = 0

    def take_now(self, most: int) -> int:
        """As many as are free, `most` at the most; none where others wait for one."""
        if self._line:
            return 0
        taken = min(most, self._free)
        self._free -= taken
        return taken

    async def take(self, most: int, priority: int = DEFAULT_PRIORITY) -> int:
        """One at the least, which is waited for, and `most` (1 or more) at the most."""
        if taken := self.take_now(most):
            return taken
        self._numbers += 1
        granted: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        claim = _Claim((-priority, self._numbers), most, granted)
        heapq.heappush(self._line, claim)
        try:
            return await granted
        except asyncio.CancelledError:
            if granted.done() and not granted.cancelled():
                self.give_back(granted.result())
            raise

    def give_back(self, slots: int) -> None:
        self._free += slots
        while self._free and self._line:
            claim = heapq.heappop(self._line)
            if not claim.granted.done():
                taken = min(claim.most, self._free)
                self._free -= taken
                claim.granted.set_result(taken)
