"""What the worlds of deliveries leave out."""

from __future__ import annotations

from datetime import datetime

from hermod.ports.notifications.limiter import RateRules, Reservation, ReserveRequest


class Nothing:
    """Address feedback and health that learn nothing, limits that do not exist, waiters that nobody but the sweeper
    wakes.
    """

    async def learn(self, *args: object) -> None:
        return None

    async def note(self, *args: object) -> None:
        return None

    async def wake(self, *args: object) -> None:
        return None

    async def look_again(self, *args: object) -> None:
        return None

    async def claim_probe(self, *args: object) -> bool:
        raise NotImplementedError

    async def rules(self, tenant: str) -> RateRules:
        return RateRules()

    async def reserve(self, ask: ReserveRequest, now: datetime) -> Reservation:
        raise NotImplementedError

    async def give_back(self, bucket: str, rate: float, tokens: int) -> None:
        raise NotImplementedError
