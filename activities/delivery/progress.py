"""What one dispatch is asked to do, and where it leaves its messages."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from hermod.contracts.content import Channel
from hermod.contracts.messages import Status
from hermod.ports.ledger import Item

LEAVES_AFTER: Final = timedelta(seconds=60)
"""A retry further away than this leaves its batch for a workflow of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatch:
    """What is to be delivered, and in whose name: `owner` is the workflow's id, `run` its run."""

    tenant: str
    channel: Channel
    owner: str
    run: str
    messages: tuple[str, ...]


@dataclass(slots=True)
class Progress:
    """`ended` by final status; `open` are the messages that still have a way to go."""

    ended: Counter[Status] = field(default_factory=Counter)
    open: list[Item] = field(default_factory=list)
    reason: str | None = None
    """In codes, of the last request that failed: fit for a workflow history."""
    request_id: str | None = None
    """Of the call that asked for it, where the dispatch is for one message."""

    def wait(self, now: datetime, *, alone: bool) -> timedelta | None:
        """Until the next attempt that this workflow should make itself; None where nothing is left for it."""
        times = [item.next_attempt_at or now for item in self.open if alone or not _leaves(item, now)]
        return max(min(times) - now, timedelta(0)) if times else None

    def leaving(self, now: datetime) -> dict[str, datetime]:
        return {item.id: item.next_attempt_at or now for item in self.open if _leaves(item, now)}


def _leaves(item: Item, now: datetime) -> bool:
    """A wait for an account is everybody's wait; only a message's own retry makes it leave."""
    alone = item.status is Status.RETRYING and item.wait_reason is None
    return alone and item.next_attempt_at is not None and item.next_attempt_at > now + LEAVES_AFTER
