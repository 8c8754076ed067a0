"""Activities that fail again and again, as a port."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol


class FailingActivities(Protocol):
    async def note(self, workflow: str, activity: str, error: str, attempts: int, now: datetime) -> None:
        """The activity of this workflow has failed so many times, at last with an error of this class.

        Raises Unavailable.
        """
        ...
