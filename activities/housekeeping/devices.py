"""Looking after devices: which of them are gone, and what Expo knows of the messages to them."""

from __future__ import annotations

from temporalio import activity

from activities.heartbeat import ActivityHeartbeat, current_heartbeat
from hermod.contracts.errors import InvalidInput, Unavailable
from hermod.contracts.notifications.content import Channel
from hermod.contracts.notifications.devices import DeviceReport, PollReport
from hermod.contracts.notifications.receipts import ReceiptEventType
from hermod.ports.notifications.devices import DeviceBook
from hermod.ports.notifications.ledger import Accounts
from hermod.ports.notifications.receipts import AwaitingReceipt, ReceiptPoller, ReceiptStore, UnansweredMessages
from hermod.ports.notifications.sender import SenderFactory
from hermod.telemetry import get_logger

_log = get_logger(__name__)


class DeviceActivities:
    def __init__(
        self,
        devices: DeviceBook,
        unanswered: UnansweredMessages,
        receipts: ReceiptStore,
        accounts: Accounts,
        senders: SenderFactory,
    ) -> None:
        self._devices = devices
        self._unanswered = unanswered
        self._receipts = receipts
        self._accounts = accounts
        self._senders = senders

    @activity.defn(name="remove_dead_devices")
    async def remove_dead_devices(self) -> DeviceReport:
        heartbeat = current_heartbeat()
        return await self._devices.sweep(heartbeat.now(), beat=heartbeat.beat)

    @activity.defn(name="poll_receipts")
    async def poll_receipts(self) -> PollReport:
        """Ask for the receipts of what was sent a while ago; those that are not there yet are asked for again."""
        asked = told = failed = 0
        heartbeat = current_heartbeat()
        async for page in self._unanswered.pages(heartbeat.now()):
            for part in page:
                asked += len(part.theirs)
                answers = await self._poll(part, heartbeat)
                told += answers or 0
                failed += answers is None
                heartbeat.beat()
        return PollReport(asked=asked, told=told, failed=failed)

    async def _poll(self, part: AwaitingReceipt, heartbeat: ActivityHeartbeat) -> int | None:
        """How many receipts there were; None where the account gave no answer. Raises Unavailable for the database."""
        poller = await self._poller(part)
        if poller is None:
            return 0
        try:
            events = await poller.poll(part.theirs)
        except Unavailable as reason:
            _log.warning("receipts_not_polled", tenant=part.tenant, account=part.account, error=str(reason))
            return None
        now = heartbeat.now()
        gone = [one.provider_message_id for one in events if one.kind is ReceiptEventType.UNREGISTERED]
        await self._devices.unregister(part.tenant, [theirs for theirs in gone if theirs is not None], now)
        await self._receipts.take(part.tenant, part.account, Channel.PUSH, events, now)
        return len(events)

    async def _poller(self, part: AwaitingReceipt) -> ReceiptPoller | None:
        """The account's sender; None where the account is gone, or is another provider's by now."""
        for account in await self._accounts.for_channel(part.tenant, Channel.PUSH):
            if account.name == part.account:
                try:
                    sender = self._senders.sender(account)
                except InvalidInput:
                    return None
                return sender if isinstance(sender, ReceiptPoller) else None
        return None
