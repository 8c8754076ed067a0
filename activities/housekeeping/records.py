"""Dropping records whose time is over."""

from __future__ import annotations

from temporalio import activity

from activities.heartbeat import current_heartbeat
from hermod.contracts.notifications.delivery import RecordReport
from hermod.ports.retention import RecordRetention


class RecordActivities:
    def __init__(self, records: RecordRetention) -> None:
        self._records = records

    @activity.defn(name="drop_records")
    async def drop_records(self) -> RecordReport:
        heartbeat = current_heartbeat()
        dropped = await self._records.purge_expired(heartbeat.now(), beat=heartbeat.beat)
        return RecordReport(dropped=dict(dropped))
