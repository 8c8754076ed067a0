"""What the workflows of ordered deliveries and of replays need done beside the deliveries themselves."""

from __future__ import annotations

from typing import Protocol

from hermod.contracts.webhook_steps import HeadOfLine, ReplayStep
from hermod.contracts.webhooks import ReplayStatus


class Lines(Protocol):
    async def head(self, tenant: str, endpoint: str, key: str) -> HeadOfLine:
        """The oldest open delivery of the key, by acceptance, as the database has it now. Raises Unavailable."""
        ...


class Replayer(Protocol):
    async def step(self, tenant: str, replay: str, wanted: ReplayStatus | None) -> ReplayStep:
        """Take in what was wanted, and where the replay runs then, begin its next page. Raises Unavailable.

        May be called twice: each page moves the replay's cursor in the transaction that reopens its deliveries.
        """
        ...
