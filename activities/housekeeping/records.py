"""Dropping records whose time is over."""

from __future__ import annotations

from temporalio import activity

from activities import errors as failures
from activities.heartbeat import pulse
from hermod.contracts.errors import Unavailable
from hermod.contracts.notifications.delivery import RecordReport
from hermod.ports.retention import OldRecords


class RecordActivities:
    def __init__(self, records: OldRecords) -> None:
        self._records = records

    @activity.defn(name="drop_records")
    async def drop_records(self) -> RecordReport:
        async with pulse() as beating:
            try:
                dropped = await self._records.drop_old(beating.now(), beat=beating.beat)
            except Unavailable:
                raise failures.ledger_unavailable() from None
        return RecordReport(dropped=dict(dropped))
