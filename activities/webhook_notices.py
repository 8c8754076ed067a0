"""Making known that webhook endpoints were disabled."""

from __future__ import annotations

from temporalio import activity

from activities import failures
from activities.pulse import pulse
from hermod.contracts.errors import Unavailable
from hermod.contracts.webhook_notices import NoticeReport
from hermod.ports.webhook_notices import Notices


class NoticeActivities:
    def __init__(self, notices: Notices) -> None:
        self._notices = notices

    @activity.defn(name="send_webhook_notices")
    async def send_webhook_notices(self) -> NoticeReport:
        async with pulse():
            try:
                return await self._notices.send()
            except Unavailable:
                raise failures.ledger_unavailable() from None
