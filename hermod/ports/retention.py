"""Dropping what was kept long enough."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Protocol


class ContentRetention(Protocol):
    async def purge_expired(self, now: datetime, *, beat: Callable[[], None]) -> int:
        """Delete the contents whose time is over, in small steps, with a `beat` after each; how many there were."""
        ...


class RecordRetention(Protocol):
    async def purge_expired(self, now: datetime, *, beat: Callable[[], None]) -> Mapping[str, int]:
        """Delete the records whose time is over, and rows that are used up, in small steps, with a `beat` after each.

        Returns how many there were, by table.
        """
        ...
