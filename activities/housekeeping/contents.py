"""Dropping contents whose time is over."""

from __future__ import annotations

from temporalio import activity

from activities import errors as failures
from activities.heartbeat import pulse
from hermod.contracts.errors import Unavailable
from hermod.contracts.notifications.delivery import RetentionReport
from hermod.ports.retention import OldContents


class ContentActivities:
    def __init__(self, contents: OldContents) -> None:
        self._contents = contents

    @activity.defn(name="drop_contents")
    async def drop_contents(self) -> RetentionReport:
        async with pulse() as beating:
            try:
                return RetentionReport(dropped=await self._contents.drop_old(beating.now(), beat=beating.beat))
            except Unavailable:
                raise failures.ledger_unavailable() from None
