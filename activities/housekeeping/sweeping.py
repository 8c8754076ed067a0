"""The regular work that keeps the ledger and Temporal in step."""

from __future__ import annotations

from temporalio import activity

from hermod.contracts.notifications.delivery import SweepReport
from hermod.contracts.notifications.receipts import SettleReport
from hermod.ports.clock import Clock
from hermod.ports.notifications.receipts import ReceiptStore
from hermod.ports.sweeper import Sweeper


class HousekeepingActivities:
    def __init__(self, sweeper: Sweeper, receipts: ReceiptStore, clock: Clock) -> None:
        self._sweeper = sweeper
        self._receipts = receipts
        self._clock = clock

    @activity.defn(name="sweep_stranded")
    async def sweep_stranded(self) -> SweepReport:
        return await self._sweeper.sweep()

    @activity.defn(name="reconcile_receipts")
    async def reconcile_receipts(self) -> SettleReport:
        """Look again at reports of providers that came before their message's own outcome."""
        return await self._receipts.settle(self._clock.now())
