"""Wakes the workflows in which deliveries wait for an endpoint in trouble: one for each such endpoint."""

from __future__ import annotations

from collections.abc import Collection

from temporalio.client import Client

from hermod.contracts.errors import Unavailable
from hermod.contracts.ids import webhook_endpoint_workflow
from hermod.contracts.notifications.delivery import SweepReport
from hermod.contracts.webhooks.deliveries import DrainEndpointInput
from hermod.ports.clock import Clock
from hermod.storage.webhooks.waiting import WaitingFor, WebhookWaiting
from hermod.telemetry import get_logger
from starter.housekeeping.sweep_table import WAITING_WEBHOOKS
from starter.temporal.signals import signal_if_running
from starter.temporal.starts import Start, Starts
from starter.webhooks.starts import CHANNEL

_log = get_logger(__name__)


class EndpointWaiters:
    """Implements `hermod.ports.webhooks.lines.Waiters`."""

    def __init__(self, client: Client, starts: Starts, waiting: WebhookWaiting, clock: Clock) -> None:
        self._client = client
        self._starts = starts
        self._waiting = waiting
        self._clock = clock

    async def wake(self, tenant: str, endpoint: str, deliveries: Collection[str]) -> None:
        try:
            first = await self._waiting.come_first(tenant, endpoint, deliveries)
        except Unavailable:
            _log.warning("waiter_not_woken", tenant=tenant, endpoint=endpoint)
            return
        if first:
            await self._signal(WaitingFor(tenant, endpoint))

    async def look_again(self, tenant: str, endpoint: str) -> None:
        await signal_if_running(self._client, webhook_endpoint_workflow(tenant, endpoint), "look_again")

    async def sweep(self) -> SweepReport:
        """Wake the waiters that may be gone, since something could have gone for long; harmless where they work."""
        still, limit = WAITING_WEBHOOKS.stalled_after, WAITING_WEBHOOKS.at_most
        found = await self._waiting.forgotten(self._clock.now(), still=still, limit=limit)
        return SweepReport(restarted=len(await WAITING_WEBHOOKS.wake(self._signal, found)))

    async def _signal(self, one: WaitingFor) -> bool:
        start = Start(
            name="DrainEndpoint",
            order=DrainEndpointInput(tenant=one.tenant, endpoint=one.endpoint),
            workflow_id=webhook_endpoint_workflow(*one),
            tenant=one.tenant,
            channel=CHANNEL,
            request_id=None,
            summary=f"webhooks that wait for {one.endpoint}",
            signal="look_again",
        )
        return await self._starts.begin(start)
