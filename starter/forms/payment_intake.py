"""Events of payment providers: kept, and the workflows of the submissions that they are about woken.

Like submissions, an answer waits for the database and never for Temporal; the sweeper wakes what could not be woken.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from typing import Final

from hermod.domain.payments.stripe_events import StripeEvent
from hermod.ports.clock import Clock
from hermod.storage.forms.payments import Payments, TakenPayment, Unannounced
from hermod.telemetry import PAYMENT_EVENTS
from starter.concurrency.background import Background

UNTOLD_AFTER: Final = timedelta(seconds=5)
"""A payment that changed so long ago, and for which the submission's workflow was not woken, was forgotten."""
WOKEN_AGAIN_AFTER: Final = timedelta(minutes=10)
"""A workflow that was woken and has not told of the payment for so long may have been closed before it looked."""
NAMED_WITHIN: Final = timedelta(days=1)
"""An event may come so long before the submission that it names."""
AT_MOST: Final = 500


class PaymentAcceptor:
    """Takes events in for all tenants of one process. `wake` has a submission's workflow look at its record again."""

    def __init__(self, payments: Payments, wake: Callable[[str, str], Awaitable[bool]], clock: Clock) -> None:
        self._payments = payments
        self._wake = wake
        self._clock = clock
        self._background = Background()

    async def take(self, tenant: str, event: StripeEvent) -> TakenPayment:
        """Keep what the event says, durably by the time this returns. Waits for no workflow.

        An event that is known, or that says nothing of a payment, changes nothing. Raises Unavailable, with nothing
        kept, and MaybeStored.
        """
        if event.fact is None:
            PAYMENT_EVENTS.labels("ignored").inc()
            return TakenPayment(new=False)
        now = self._clock.now()
        taken = await self._payments.take(tenant, event, now)
        PAYMENT_EVENTS.labels(event.fact.kind.value if taken.new else "repeated").inc()
        if taken.untold is not None:
            self._background.start(partial(self._wake_for, taken.untold))
        return taken

    async def drain(self) -> None:
        """Wait until every submission has been woken, or is left to the sweeper."""
        await self._background.drain()

    async def sweep(self) -> int:
        """Wake the workflows of submissions that have not told of their payments; how many."""
        now = self._clock.now()
        await self._payments.link_named(now, within=NAMED_WITHIN, limit=AT_MOST)
        untold = await self._payments.untold(now, older_than=UNTOLD_AFTER, limit=AT_MOST)
        return sum([await self._wake_for(one) for one in untold])

    async def _wake_for(self, untold: Unannounced) -> bool:
        """What changes while it is woken stays marked, and wakes it again."""
        if not await self._wake(untold.tenant, untold.submission):
            return False
        await self._payments.mark_woken(untold, self._clock.now() + WOKEN_AGAIN_AFTER)
        return True
