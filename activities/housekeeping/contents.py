"""Dropping contents whose time is over."""

from __future__ import annotations

from temporalio import activity

from activities.heartbeat import current_heartbeat
from hermod.contracts.notifications.delivery import RetentionReport
from hermod.ports.retention import ContentRetention


class ContentActivities:
    def __init__(self, contents: ContentRetention) -> None:
        self._contents = contents

    @activity.defn(name="drop_contents")
    async def drop_contents(self) -> RetentionReport:
        heartbeat = current_heartbeat()
        return RetentionReport(dropped=await self._contents.purge_expired(heartbeat.now(), beat=heartbeat.beat))
