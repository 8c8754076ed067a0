"""How many requests may be under way to one endpoint at once, over all dispatches of this worker.

A dispatch takes what is free; where nothing is, it stands in line for the next place, and where the line is long, it
leaves and comes again later. So a receiver that hangs keeps as many of the lane's places as it may have requests, and
a few, and never all of them. Who has places may go on taking them for a moment (`TURN`); then the line comes first.
Many small shares would cost more statements than a few large ones. A request needs a slot of the lane as well.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from activities.dispatch.staggered_backoff import StaggeredBackoff
from activities.notifications.request_slots import RequestSlots

LINE: Final = 4
"""Dispatches that wait here for one endpoint, whatever it does; the others come again later."""
QUICK_LINE: Final = 32
SOON: Final = 0.5
"""Up to `QUICK_LINE` wait for one that answers so quickly that the last of them has its turn within these seconds."""
TURN: Final = 0.5
"""Seconds for which a dispatch takes places although others stand in line."""
DISPATCHES: Final = 50
"""Dispatches of one endpoint at once, where nobody says otherwise."""
IN_LINE: Final = 2.0
"""Seconds that a dispatch stands in line."""
_USUAL: Final = 0.1
"""Seconds that a request takes, as long as nobody knows better."""
_WEIGHT: Final = 0.2
"""Of the newest request in the average."""


class BulkheadFull(Exception):
    """No place came free. `wait`: seconds after which it is worth coming again."""

    def __init__(self, wait: float) -> None:
        super().__init__("as many requests are under way as the endpoint takes")
        self.wait = wait


class Bulkhead:
    """The places of one endpoint. Its limit is what the caller says it is at that moment."""

    def __init__(self, key: str, appointments: StaggeredBackoff, most: int, lane: RequestSlots) -> None:
        self._key = key
        self._appointments = appointments
        self._most = most
        self._lane = lane
        self._seconds = _USUAL
        self._line: deque[asyncio.Future[None]] = deque()
        self._limit = 1
        self.under_way = 0
        self.resting = 0
        self.users = 0

    @property
    def is_full(self) -> bool:
        """Whether as many dispatches wait here as may."""
        waiting = len(self._line) + self.resting
        return waiting >= LINE and (waiting >= QUICK_LINE or waiting * self._seconds / self._limit > SOON)

    @property
    def is_overrun(self) -> bool:
        """Whether more dispatches are at this door than may be, however many requests the endpoint takes."""
        return self.users > self._most

    def bounded(self, limit: int) -> int:
        """As many requests as the endpoint takes, but not more than half of those of the lane."""
        return min(limit, max(1, self._lane.total // 2))

    def take(self, most: int, limit: int, *, turn_is_over: bool = True) -> int:
        """As many places as are free now; none where others stand in line, and the caller has had its turn."""
        self._limit = limit
        if self._line and turn_is_over:
            return 0
        taken = max(0, min(most, limit - self.under_way))
        self.under_way += taken
        return taken

    async def wait(self, limit: int) -> None:
        """Stand in line for one place, and take it. Raises BulkheadFull."""
        if self.is_full:
            raise self.crowded(limit)
        turn = asyncio.get_running_loop().create_future()
        self._line.append(turn)
        try:
            async with asyncio.timeout(IN_LINE):
                await turn
        except BaseException as error:
            if turn in self._line:
                self._line.remove(turn)
            elif turn.done() and not turn.cancelled():
                self._leave(1)
            if isinstance(error, TimeoutError):
                raise self.crowded(limit) from None
            raise

    async def enter(self, bulkheads: int, *, waits: bool) -> int:
        """Slots of the lane for places that were taken; the places for which there are none are given back.

        `waits`: for one at the least. Else there may be none.
        """
        try:
            slots = await self._lane.take(bulkheads) if waits else self._lane.take_now(bulkheads)
        except BaseException:
            self._leave(bulkheads)
            raise
        self._leave(bulkheads - slots)
        return slots

    def give_back(self, bulkheads: int, *, seconds: float | None = None) -> None:
        """Places that were entered, with their slots. `seconds`: how long the request took."""
        if seconds is not None:
            self._seconds += _WEIGHT * (seconds - self._seconds)
        self._lane.give_back(bulkheads)
        self._leave(bulkheads)

    def _leave(self, bulkheads: int) -> None:
        self.under_way -= bulkheads
        for _ in range(bulkheads):
            self._let_in()

    def crowded(self, limit: int) -> BulkheadFull:
        return BulkheadFull(self.appointment(max(self._seconds, 0.01) / limit))

    def appointment(self, spacing: float) -> float:
        """Seconds after which to come again: those who were sent away come `spacing` apart."""
        return self._appointments.next(self._key, spacing)

    @asynccontextmanager
    async def rests(self) -> AsyncIterator[None]:
        """A dispatch waits for something else than a place: it counts as one of the line."""
        self.resting += 1
        try:
            yield
        finally:
            self.resting -= 1

    def _let_in(self) -> None:
        while self._line:
            turn = self._line.popleft()
            if not turn.done():
                self.under_way += 1
                turn.set_result(None)
                return


class Bulkheads:
    """The doors of all endpoints. `most`: dispatches of one of them at once, a part of the lane's places."""

    def __init__(self, most: int = DISPATCHES, lane: RequestSlots | None = None) -> None:
        self._most = most
        self._lane = lane or RequestSlots()
        self._doors: dict[str, Bulkhead] = {}
        self._appointments = StaggeredBackoff()

    @asynccontextmanager
    async def at(self, key: str) -> AsyncIterator[Bulkhead]:
        """The door of an endpoint, for the time of one dispatch."""
        door = self._doors.setdefault(key, Bulkhead(key, self._appointments, self._most, self._lane))
        door.users += 1
        try:
            yield door
        finally:
            door.users -= 1
            if not door.users:
                del self._doors[key]
