"""Events of payment providers: kept, and the workflows of the submissions that they are about woken.

Like submissions, an answer waits for the database and never for Temporal; the sweeper wakes what could not be woken.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from hermod.contracts.notifications.delivery import SweepReport
from hermod.domain.payments.stripe_events import StripeEvent
from hermod.ports.clock import Clock
from hermod.storage.forms.payments import Payments, TakenPayment, Unannounced
from hermod.telemetry import PAYMENT_EVENTS
from starter.concurrency.outbox import Outbox
from starter.housekeeping.sweep_table import PAYMENTS

NAMED_WITHIN: Final = timedelta(days=1)
"""An event may come so long before the submission that it names."""


class PaymentAcceptor(Outbox[StripeEvent, TakenPayment]):
    """Takes events in for all tenants of one process. `wake` has a submission's workflow look at its record again."""

    def __init__(self, payments: Payments, wake: Callable[[str, str], Awaitable[bool]], clock: Clock) -> None:
        super().__init__(clock)
        self._payments = payments
        self._wake = wake

    async def take(self, tenant: str, event: StripeEvent) -> TakenPayment:
        """Keep what the event says, durably by the time this returns. Waits for no workflow.

        An event that is known, or that says nothing of a payment, changes nothing. Raises Unavailable, with nothing
        kept, and MaybeStored.
        """
        if event.fact is None:
            PAYMENT_EVENTS.labels("ignored").inc()
            return TakenPayment(new=False)
        taken = await self._keep_one(tenant, event)
        PAYMENT_EVENTS.labels(event.fact.kind.value if taken.new else "repeated").inc()
        return taken

    async def sweep(self) -> SweepReport:
        """Wake the workflows of submissions that have not told of their payments."""
        now = self._clock.now()
        await self._payments.link_named(now, within=NAMED_WITHIN, limit=PAYMENTS.at_most)
        untold = await self._payments.untold(now, older_than=PAYMENTS.unstarted_after, limit=PAYMENTS.at_most)
        return SweepReport(restarted=len(await PAYMENTS.wake(self._wake_for, untold)))

    async def _store(self, tenant: str, drafts: Sequence[StripeEvent], now: datetime) -> Sequence[TakenPayment]:
        """Each has a transaction of its own: the events of a tenant go one after another."""
        return [await self._payments.take(tenant, event, now) for event in drafts]

    def _start_stored(self, tenant: str, stored: Iterable[tuple[StripeEvent, TakenPayment]]) -> None:
        for _, taken in stored:
            if taken.untold is not None:
                self._relay.start(partial(self._wake_for, taken.untold))

    async def _wake_for(self, untold: Unannounced) -> bool:
        """What changes while it is woken stays marked, and wakes it again."""
        if not await self._wake(untold.tenant, untold.submission):
            return False
        await self._payments.mark_woken(untold, self._clock.now() + PAYMENTS.stalled_after)
        return True
