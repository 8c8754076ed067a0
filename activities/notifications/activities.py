"""What the notification workflows can have done: deliver messages, and close them when an operator withdraws them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from temporalio import activity

from activities.dispatch.progress import DispatchInput, DispatchProgress
from activities.dispatch.running import current_work, run_cancel, run_dispatch
from activities.heartbeat import ActivityHeartbeat
from activities.notifications import heartbeat_details as carried
from activities.notifications.account_sender import BatchWait, RateWait, SingleMessageWait
from activities.notifications.batch_slots import FairSemaphore
from activities.notifications.dispatcher import MessageDispatcher
from activities.notifications.heartbeat_details import HeartbeatDetails
from activities.notifications.rate_limits import RateWaiters
from activities.notifications.request_slots import RequestSlots
from hermod.contracts.notifications.content import Channel
from hermod.contracts.notifications.delivery import CancelInput, DeliveryInput, DeliveryReport
from hermod.contracts.notifications.messages import Status
from hermod.contracts.priorities import priority_of
from hermod.ports.clock import Clock
from hermod.ports.notifications.hygiene import AddressFeedback
from hermod.ports.notifications.ledger import Accounts, Ledger
from hermod.ports.notifications.limiter import Limiter
from hermod.ports.notifications.sender import SenderFactory
from hermod.ports.notifications.unsubscribing import UnsubscribeLinks


class NotificationActivities:
    def __init__(
        self,
        ledger: Ledger,
        accounts: Accounts,
        senders: SenderFactory,
        hygiene: AddressFeedback,
        limiter: Limiter,
        clock: Clock,
        links: UnsubscribeLinks | None = None,
        *,
        drain: timedelta,
        concurrency: Mapping[Channel, int] | None = None,
    ) -> None:
        """`drain`: how long requests that are under way may take to end once the worker is told to stop.
        `concurrency`: how many may be under way at once, by channel; without a number, any.
        """
        self._ledger = ledger
        self._accounts = accounts
        self._senders = senders
        self._hygiene = hygiene
        self._limiter = limiter
        self._clock = clock
        self._links = links
        self._drain = drain
        self._fair_slots = FairSemaphore()
        self._waiters = RateWaiters()
        self._slots = {channel: RequestSlots(most) for channel, most in (concurrency or {}).items()}

    @activity.defn(name="deliver")
    async def deliver(self, order: DeliveryInput) -> DeliveryReport:
        """Bring the order's messages to an end.

        While one of them waits (retry, throttled account, outage) this raises with the delay after which the server is
        to run it again: the waiting costs no worker and no history, and the Web UI shows it with its buttons.
        """
        owned = current_work(order.tenant, order.messages)
        work = DispatchInput(
            tenant=owned.tenant, channel=order.channel, owner=owned.owner, run=owned.run, messages=owned.messages
        )

        async def run(outcomes: HeartbeatDetails, heartbeat: ActivityHeartbeat) -> DispatchProgress:
            return await self._in_turn(work, outcomes, heartbeat)

        async def take_over() -> None:
            if order.taken_from is not None:
                await self._ledger.hand_over(order.tenant, order.taken_from, order.messages)

        return await run_dispatch(work, carried, run, drain=self._drain, take_over=take_over)

    async def _in_turn(
        self, work: DispatchInput, outcomes: HeartbeatDetails, heartbeat: ActivityHeartbeat
    ) -> DispatchProgress:
        """Batches take turns, the most urgent first; single messages never wait for one. Raises QueueFull."""
        if work.is_alone:
            return await self._delivery(work, heartbeat, SingleMessageWait(self._waiters)).run(outcomes)
        async with self._fair_slots.take(work.tenant, priority_of(activity.info().priority.priority_key)) as turn:
            return await self._delivery(work, heartbeat, BatchWait(turn)).run(outcomes)

    def _delivery(self, work: DispatchInput, heartbeat: ActivityHeartbeat, rate_wait: RateWait) -> MessageDispatcher:
        return MessageDispatcher(
            work,
            ledger=self._ledger,
            accounts=self._accounts,
            senders=self._senders,
            hygiene=self._hygiene,
            limiter=self._limiter,
            rate_wait=rate_wait,
            clock=heartbeat,
            stopping=heartbeat.stopping,
            superseded=heartbeat.superseded,
            links=self._links,
            slots=self._slots.get(work.channel),
        )

    @activity.defn(name="withdraw")
    async def withdraw(self, order: CancelInput) -> DeliveryReport:
        """Cancel in the ledger what can still be cancelled, and say how it stands. The workflow is about to end."""

        async def withdraw(owner: str) -> int:
            return await self._ledger.withdraw(order.tenant, owner, order.messages, order.reason, self._clock.now())

        async def count() -> Mapping[Status, int]:
            return await self._ledger.counts(order.tenant, order.messages)

        return await run_cancel(order, withdraw, count)
