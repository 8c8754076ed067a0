"""The regular work that keeps the ledger and Temporal in step."""

from __future__ import annotations

from temporalio import activity

from activities import failures
from activities.pulse import pulse
from hermod.contracts.delivery import SweepReport
from hermod.contracts.errors import Unavailable
from hermod.ports.sweeper import Sweeper


class HousekeepingActivities:
    def __init__(self, sweeper: Sweeper) -> None:
        self._sweeper = sweeper

    @activity.defn(name="sweep_stranded")
    async def sweep_stranded(self) -> SweepReport:
        async with pulse():
            try:
                return await self._sweeper.sweep()
            except Unavailable:
                raise failures.ledger_unavailable() from None
