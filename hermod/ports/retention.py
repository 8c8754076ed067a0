"""Dropping what was kept long enough."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Protocol


class OldContents(Protocol):
    async def drop_old(self, now: datetime, *, beat: Callable[[], None]) -> int:
        """Delete the contents whose time is over, in small steps, with a `beat` after each; how many there were."""
        ...
