"""Dropping records whose time is over."""

from __future__ import annotations

from temporalio import activity

from activities import errors
from activities.heartbeat import heartbeating
from hermod.contracts.errors import Unavailable
from hermod.contracts.notifications.delivery import RecordReport
from hermod.ports.retention import RecordRetention


class RecordActivities:
    def __init__(self, records: RecordRetention) -> None:
        self._records = records

    @activity.defn(name="drop_records")
    async def drop_records(self) -> RecordReport:
        async with heartbeating() as heartbeat:
            try:
                dropped = await self._records.purge_expired(heartbeat.now(), beat=heartbeat.beat)
            except Unavailable:
                raise errors.ledger_unavailable() from None
        return RecordReport(dropped=dict(dropped))
