"""Wakes the workflows of ordered deliveries: one line for each endpoint and ordering key."""

from __future__ import annotations

from collections.abc import Collection

from temporalio.client import Client

from hermod.contracts.ids import webhook_order_workflow
from hermod.contracts.notifications.delivery import SweepReport
from hermod.contracts.webhooks.deliveries import OrderedEndpointInput
from hermod.ports.clock import Clock
from hermod.storage.webhooks.order import Line, WebhookOrder
from starter.housekeeping.sweep_table import ORDERED_WEBHOOKS
from starter.temporal.signals import signal_if_running
from starter.temporal.starts import Start, Starts
from starter.webhooks.starts import CHANNEL


class WebhookOrders:
    def __init__(self, client: Client, starts: Starts, order: WebhookOrder, clock: Clock) -> None:
        self._client = client
        self._starts = starts
        self._order = order
        self._clock = clock

    async def wake(self, tenant: str, endpoint: str, key: str, *, accepted: Collection[str] = ()) -> bool:
        """Have the line looked at again; False where Temporal is away, and the sweeper will do it.

        Call it after the commit. With `accepted`, deliveries that were just stored, it does nothing where an older one
        is open: whoever ends that one looks again, and will see them. So a burst behind a slow delivery costs no
        signals, of which a workflow takes ten thousand. Raises Unavailable.
        """
        line = Line(tenant, endpoint, key)
        head = await self._order.oldest(line)
        if accepted and head not in accepted:
            await self._order.mark_queued(line, self._clock.now(), only=accepted)
            return True
        if not await self._signal(line):
            return False
        await self._order.mark_queued(line, self._clock.now())
        return True

    async def let_go(self, tenant: str, endpoint: str, key: str, delivery: str) -> None:
        """The delivery was withdrawn: end the line's wait for it. It has ended in the database already, so this may
        fail; the line then goes on when its next attempt is due.
        """
        await signal_if_running(self._client, webhook_order_workflow(tenant, endpoint, key), "let_go", delivery)

    async def sweep(self) -> SweepReport:
        """Wake the lines that nobody may be working on, which is harmless where somebody is.

        Found are those whose first delivery is pending for too long, or due and untouched.
        """
        now, row = self._clock.now(), ORDERED_WEBHOOKS
        found = await self._order.forgotten(
            now, unstarted=row.unstarted_after, still=row.stalled_after, limit=row.at_most
        )
        woken = await row.wake(lambda one: self._signal(one[0]), found)
        if woken:
            await self._order.seen(woken, now)
        return SweepReport(restarted=len(woken))

    async def _signal(self, line: Line) -> bool:
        start = Start(
            name="OrderedEndpoint",
            order=OrderedEndpointInput(tenant=line.tenant, endpoint=line.endpoint, key=line.key),
            workflow_id=webhook_order_workflow(*line),
            tenant=line.tenant,
            channel=CHANNEL,
            request_id=None,
            summary="webhooks in order",
            signal="look_again",
        )
        return await self._starts.begin(start)
