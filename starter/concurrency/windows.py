"""When calls are so many that a workflow for each is more than the engine starts, those of a moment share theirs.

Nobody's answer waits for that: what a window is joined by is stored at once, under the workflow that the window has
chosen for it, and the workflows are started when the window closes.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable
from typing import Final, Generic, TypeVar

Group = TypeVar("Group")
Stored = TypeVar("Stored")

ALONE_UNTIL: Final = 25.0
"""Calls a second, of all tenants, for each of which the engine starts a workflow without getting behind."""
MEMORY: Final = 0.5
"""Seconds over which calls are counted."""
OPEN_FOR: Final = 0.05
"""Seconds that a window is open."""
LONGEST: Final = 0.5
"""Seconds that it stays open while the engine has not taken the starts before."""
STRAGGLERS: Final = 1.0
"""Seconds after closing in which what is still being stored may come along; later, it is left to the sweeper."""


class ArrivalRate:
    """Calls a second, those of the last half a second counting most."""

    def __init__(self) -> None:
        self._value = 0.0
        self._at = -math.inf

    def note(self, calls: int, now: float) -> None:
        """`now` is the loop's time."""
        self._value, self._at = self.per_second(now) * MEMORY + calls, now

    def per_second(self, now: float) -> float:
        return self._value * math.exp((self._at - now) / MEMORY) / MEMORY if self._value else 0.0


class Window(Generic[Group, Stored]):
    """`group` says what shares a workflow."""

    def __init__(self, group: Group) -> None:
        self.group = group
        self.stored: list[Stored] = []
        self.storing = 0
        """Calls whose statement is under way."""
        self.opened = asyncio.get_running_loop().time()
        self.is_closed = False
        self.has_started = False


class Windows(Generic[Group, Stored]):
    """The open windows, one for a tenant. `start` is given what was stored when one of them closes."""

    def __init__(
        self,
        open_group: Callable[[str], Group],
        start: Callable[[str, Iterable[Stored]], None],
        is_behind: Callable[[], bool],
    ) -> None:
        """`is_behind`: whether the engine has yet to take the starts before."""
        self._open_group = open_group
        self._start = start
        self._is_behind = is_behind
        self._rate = ArrivalRate()
        self._open: dict[str, Window[Group, Stored]] = {}

    def join(self, tenant: str, calls: int) -> Window[Group, Stored] | None:
        """The window that these calls belong to, until `leave`; None where each is started at once."""
        now = asyncio.get_running_loop().time()
        is_busy = self._rate.per_second(now) > ALONE_UNTIL or self._is_behind()
        self._rate.note(calls, now)
        window = self._open.get(tenant)
        if window is None and is_busy:
            window = self._open[tenant] = Window(self._open_group(tenant))
            asyncio.get_running_loop().call_later(OPEN_FOR, self._close, tenant, window)
        if window is not None:
            window.storing += 1
        return window

    def leave(self, tenant: str, window: Window[Group, Stored], stored: Iterable[Stored]) -> None:
        """What has been stored of these calls; nothing where that has failed."""
        window.storing -= 1
        if window.has_started:
            return  # too late for its workflow, which may not know it: the sweeper gives it one
        window.stored += stored
        if window.is_closed and not window.storing:
            self._finish(tenant, window)

    def flush(self) -> bool:
        """Close all windows; whether anything was started. What is still being stored is started when it has been."""
        windows = list(self._open.items())
        for tenant, window in windows:
            self._close(tenant, window, at_once=True)
        return any(window.has_started and window.stored for _, window in windows)

    def _close(self, tenant: str, window: Window[Group, Stored], *, at_once: bool = False) -> None:
        if window.is_closed:
            return
        loop = asyncio.get_running_loop()
        if not at_once and self._is_behind() and loop.time() - window.opened < LONGEST:
            loop.call_later(OPEN_FOR, self._close, tenant, window)
            return
        window.is_closed = True
        del self._open[tenant]
        if window.storing:
            loop.call_later(STRAGGLERS, self._finish, tenant, window)
        else:
            self._finish(tenant, window)

    def _finish(self, tenant: str, window: Window[Group, Stored]) -> None:
        if window.has_started:
            return
        window.has_started = True
        if window.stored:
            self._start(tenant, window.stored)
