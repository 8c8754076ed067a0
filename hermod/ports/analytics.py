"""What analytics needs: a place for rows that answers when they are durable, and what waits to go there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


class EventSink(Protocol):
    """ClickHouse, as those who write to it see it."""

    async def insert(self, table: str, lines: bytes, *, token: str) -> None:
        """Add rows, JSON lines with the table's columns; a repeat with the same token adds nothing.

        Raises Unavailable, after which it is not known whether they were added, and Refused where a repeat would be
        refused again.
        """
        ...


class Refused(Exception):
    """ClickHouse cannot take these rows, however often they come. Says why in codes, without what is in them."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """What one insert has taken: rows by table and event type, each as JSON lines."""

    rows: Mapping[tuple[str, str], bytes]
    events: int
    more: bool


class EventOutbox(Protocol):
    """Acknowledged events that are not in ClickHouse yet."""

    async def claim(self, tenant: str, insert: str, now: datetime) -> Claimed:
        """What this insert has taken already, or else takes now; nothing where enough others are under way."""
        ...

    async def done(self, tenant: str, insert: str) -> None:
        """ClickHouse has them all."""
        ...
