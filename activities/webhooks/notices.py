"""Making known that webhook endpoints were disabled."""

from __future__ import annotations

from temporalio import activity

from hermod.contracts.webhooks.notices import NoticeReport
from hermod.ports.webhooks.notices import Notices


class NoticeActivities:
    def __init__(self, notices: Notices) -> None:
        self._notices = notices

    @activity.defn(name="send_webhook_notices")
    async def send_webhook_notices(self) -> NoticeReport:
        return await self._notices.send()
