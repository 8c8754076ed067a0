"""Dropping records whose time is over."""

from __future__ import annotations

from temporalio import activity

from activities import failures
from activities.pulse import pulse
from hermod.contracts.delivery import RecordReport
from hermod.contracts.errors import Unavailable
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
