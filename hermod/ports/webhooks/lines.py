"""What the workflows of lines, of waiting deliveries and of replays need done beside the deliveries themselves."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Protocol

from hermod.contracts.webhooks.deliveries import ReplayStatus
from hermod.contracts.webhooks.steps import HeadOfLine, NextForEndpoint, ReplayStep


class Lines(Protocol):
    async def head(self, tenant: str, endpoint: str, key: str) -> HeadOfLine:
        """The oldest open delivery of the key, by acceptance, as the database has it now. Raises Unavailable."""
        ...


class WaitingDeliveries(Protocol):
    """Deliveries that belong to their endpoint's waiter (`webhook_endpoint_workflow`)."""

    async def next(self, tenant: str, endpoint: str, now: datetime) -> NextForEndpoint:
        """What can go now, the oldest first, or when something can. Raises Unavailable.

        What waits for an endpoint that is disabled is parked, for one that was deleted cancelled. May be called twice.
        """
        ...


class Waiters(Protocol):
    """The workflows that own waiting deliveries. Best effort: what gets lost, the sweeper makes good."""

    async def wake(self, tenant: str, endpoint: str, deliveries: Collection[str]) -> None:
        """Have these deliveries taken care of, which the waiter owns by now: call it after the commit.

        It does nothing where another one is due before them: the waiter was woken for that one, and will look again.
        """
        ...

    async def look_again(self, tenant: str, endpoint: str) -> None:
        """The endpoint has changed: end the wait of its waiter, where there is one."""
        ...


class Replayer(Protocol):
    async def step(self, tenant: str, replay: str, wanted: ReplayStatus | None) -> ReplayStep:
        """Take in what was wanted, and where the replay runs then, begin its next page. Raises Unavailable.

        May be called twice: each page moves the replay's cursor in the transaction that reopens its deliveries.
        """
        ...
