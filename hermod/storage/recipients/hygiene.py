"""Both sides of what sending learns: addresses that get no more messages, and devices that are gone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from hermod.contracts.notifications.content import Channel
from hermod.ports.notifications.hygiene import AddressFeedback, Refused


class Learning:
    """Tells each of several, one after another. Implements `hermod.ports.notifications.hygiene.AddressFeedback`."""

    def __init__(self, *parts: AddressFeedback) -> None:
        self._parts = parts

    async def learn(
        self, tenant: str, channel: Channel, account: str, refused: Sequence[Refused], accepted: int, now: datetime
    ) -> None:
        for part in self._parts:
            await part.learn(tenant, channel, account, refused, accepted, now)
