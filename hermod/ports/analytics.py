"""What analytics needs: a place for rows that answers when they are durable, and what waits to go there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
class ClaimedBatch:
    """Rows that were acknowledged together, as JSON lines by type of event; `message_states` have the type ""."""

    id: str
    table: str
    lines: Mapping[str, bytes]
    events: int


@dataclass(frozen=True, slots=True)
class Claimed:
    """What one insert has taken, in an order that stays the same."""

    batches: Sequence[ClaimedBatch]
    apart: frozenset[str] = frozenset()
    """Tokens of inserts that were refused and are made in parts since."""


@dataclass(frozen=True, slots=True)
class RefusedLines:
    """Rows of a batch that ClickHouse cannot take, and why."""

    batch: str
    table: str
    type: str
    lines: bytes
    reason: str


class EventOutbox(Protocol):
    """Acknowledged events that are not in ClickHouse yet. All of it raises Unavailable."""

    async def claim(self, tenant: str, insert: str, now: datetime) -> Claimed:
        """What this insert has taken already, or else takes now; nothing where enough others are under way."""
        ...

    async def part(self, tenant: str, batch: str, token: str) -> None:
        """Remember, with one of its batches, that an insert is made in parts, so that a repeat goes the same way."""
        ...

    async def done(self, tenant: str, batches: Sequence[str], refused: Sequence[RefusedLines]) -> bool:
        """ClickHouse has them, but for those refused, which are set aside. Whether more wait."""
        ...
