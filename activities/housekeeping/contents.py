"""Dropping contents whose time is over."""

from __future__ import annotations

from temporalio import activity

from activities import errors
from activities.heartbeat import heartbeating
from hermod.contracts.errors import Unavailable
from hermod.contracts.notifications.delivery import RetentionReport
from hermod.ports.retention import ContentRetention


class ContentActivities:
    def __init__(self, contents: ContentRetention) -> None:
        self._contents = contents

    @activity.defn(name="drop_contents")
    async def drop_contents(self) -> RetentionReport:
        async with heartbeating() as heartbeat:
            try:
                return RetentionReport(dropped=await self._contents.purge_expired(heartbeat.now(), beat=heartbeat.beat))
            except Unavailable:
                raise errors.ledger_unavailable() from None
