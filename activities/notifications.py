"""What the notification workflows can have done: deliver messages, and close them when an operator withdraws them."""

from __future__ import annotations

from datetime import timedelta

from temporalio import activity

from activities import failures
from activities.delivery.carried import Carried, Unrecorded, pack, unpack
from activities.delivery.dispatch import Delivery
from activities.delivery.pacing import Naps
from activities.delivery.progress import Dispatch, Progress
from activities.delivery.stream import AlonePatience, Patience, PatienceInTurn
from activities.delivery.turns import TurnedAway, Turns
from activities.pulse import Pulse, pulse
from hermod.contracts.delivery import CloseOrder, DeliveryOrder, DeliveryReport
from hermod.contracts.errors import Unavailable
from hermod.ports.clock import Clock
from hermod.ports.hygiene import Hygiene
from hermod.ports.ledger import Accounts, Ledger
from hermod.ports.limiter import Limiter
from hermod.ports.sender import SenderFactory
from hermod.ports.unsubscribing import UnsubscribeLinks
from hermod.telemetry import get_logger

_log = get_logger(__name__)


class NotificationActivities:
    def __init__(
        self,
        ledger: Ledger,
        accounts: Accounts,
        senders: SenderFactory,
        hygiene: Hygiene,
        limiter: Limiter,
        clock: Clock,
        links: UnsubscribeLinks | None = None,
    ) -> None:
        self._ledger = ledger
        self._accounts = accounts
        self._senders = senders
        self._hygiene = hygiene
        self._limiter = limiter
        self._clock = clock
        self._links = links
        self._turns = Turns()
        self._naps = Naps()

    @activity.defn(name="deliver")
    async def deliver(self, order: DeliveryOrder) -> DeliveryReport:
        """Bring the order's messages to an end.

        While one of them waits (retry, throttled account, outage) this raises with the delay after which the server is
        to run it again: the waiting costs no worker and no history, and the Web UI shows it with its buttons.
        """
        info = activity.info()
        work = Dispatch(
            tenant=order.tenant,
            channel=order.channel,
            owner=info.workflow_id or "",
            run=info.workflow_run_id or "",
            messages=order.messages,
        )
        async with pulse() as beating:
            carried = unpack(info.heartbeat_details)
            beating.details = info.heartbeat_details[0] if carried else None
            try:
                if order.taken_from is not None:
                    await self._ledger.hand_over(order.tenant, order.taken_from, order.messages)
                progress = await beating.finish(self._in_turn(work, carried, beating))
            except TurnedAway as away:
                raise failures.waiting(len(order.messages), timedelta(seconds=away.delay), str(away)) from None
            except Unrecorded as lost:
                beating.details = pack(lost.results)
                beating.beat()
                raise failures.ledger_unavailable(lost.results) from None
            except Unavailable:
                raise failures.ledger_unavailable(beating.details or ()) from None
            return _report(work, progress, beating)

    async def _in_turn(self, work: Dispatch, carried: Carried, beating: Pulse) -> Progress:
        """Batches take turns, the most urgent first; single messages never wait for one. Raises TurnedAway."""
        if len(work.messages) == 1:
            return await self._delivery(work, beating, AlonePatience(self._naps)).run(carried)
        async with self._turns.take(work.tenant, _priority()) as turn:
            return await self._delivery(work, beating, PatienceInTurn(turn)).run(carried)

    def _delivery(self, work: Dispatch, beating: Pulse, patience: Patience) -> Delivery:
        return Delivery(
            work,
            ledger=self._ledger,
            accounts=self._accounts,
            senders=self._senders,
            hygiene=self._hygiene,
            limiter=self._limiter,
            patience=patience,
            clock=beating,
            stopping=beating.stopping,
            links=self._links,
        )

    @activity.defn(name="withdraw")
    async def withdraw(self, order: CloseOrder) -> DeliveryReport:
        """Cancel in the ledger what can still be cancelled, and say how it stands. The workflow is about to end."""
        info = activity.info()
        try:
            owner = info.workflow_id or ""
            await self._ledger.withdraw(order.tenant, owner, order.messages, order.reason, self._clock.now())
            counts = await self._ledger.counts(order.tenant, order.messages)
            return DeliveryReport(run=info.workflow_run_id or "", counts=dict(counts))
        except Unavailable:
            raise failures.ledger_unavailable() from None


def _priority() -> int:
    """1 to 10 as our API has it; Temporal counts the other way round."""
    return 11 - (activity.info().priority.priority_key or 6)


def _report(work: Dispatch, progress: Progress, beating: Pulse) -> DeliveryReport:
    now = beating.now()
    ended = {status.value: count for status, count in progress.ended.items()}
    names = {"tenant": work.tenant, "workflow_id": work.owner, "request_id": progress.request_id}
    _log.info("dispatched", open=len(progress.open), **names, **ended)
    alone = len(work.messages) == 1
    wait = progress.wait(now, alone=alone)
    if wait == timedelta(0) and beating.stopping():
        raise failures.handed_back(len(progress.open))
    if wait is not None:
        raise failures.waiting(len(progress.open), wait, progress.reason)
    return DeliveryReport(
        run=work.run,
        counts=dict(progress.ended),
        leaving={} if alone else progress.leaving(now),
        reason=progress.reason,
    )
