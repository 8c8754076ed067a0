"""Time as a port, so that retries and expiry can be tested in milliseconds."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    def now(self) -> datetime:
        """The present, in UTC, with its time zone."""
        ...
