"""Events of the application: taken in, and handed to every endpoint that asked for them.

Like messages (`starter.notifications.coalescer`): where events are many, the deliveries of a moment share workflows. An
answer waits for the insert, never for Temporal.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection
from temporalio.client import Client

from hermod.bootstrap import Storage
from hermod.contracts.errors import InvalidInput
from hermod.contracts.ids import new_id
from hermod.contracts.webhooks.deliveries import EventInput, EventReceipt
from hermod.ports.clock import Clock
from hermod.storage.webhooks.acceptance import EventDraft, TakenEvent, event_body, take_events
from hermod.telemetry import ACCEPTED
from starter.concurrency.outbox import GroupingOutbox
from starter.temporal.endpoint_waiters import EndpointWaiters
from starter.temporal.starts import Starts
from starter.webhooks.ordering import WebhookOrders
from starter.webhooks.starts import CHANNEL, EventFanOut, WebhookGrouping, WebhookWorkflowStarter, units

MOST_EVENTS: Final = 500
"""In one insert."""


@dataclass(frozen=True, slots=True)
class _Call:
    event: EventInput
    body: bytes
    request_id: str | None


class Webhooks(GroupingOutbox[_Call, EventDraft, TakenEvent, WebhookGrouping]):
    """What the webhooks of all tenants of one process share."""

    def __init__(self, client: Client, storage: Storage, clock: Clock) -> None:
        super().__init__(clock, MOST_EVENTS)
        self._storage = storage
        starts = Starts(client, storage.limits)
        self.dispatcher = WebhookWorkflowStarter(starts, storage.webhook_deliveries, clock)
        self.orders = WebhookOrders(client, starts, storage.webhook_order, clock)
        self.waiters = EndpointWaiters(client, starts, storage.webhook_waiting, clock)

    async def take(self, tenant: str, event: EventInput, request_id: str | None = None) -> EventReceipt:
        """Store an event and have its deliveries started.

        Raises InvalidInput and Unavailable, with nothing stored, and MaybeStored.
        """
        answer = await self._calls.ask(tenant, self._call(event, request_id))
        return answer.receipt

    async def stage(
        self, connection: AsyncConnection, tenant: str, event: EventInput, request_id: str | None
    ) -> EventReceipt:
        """Store an event within the connection's transaction; the sweeper starts its deliveries after the commit."""
        call = self._call(event, request_id)
        seal = await self._storage.contents.sealing(tenant)
        drafts = await self._grouped(tenant, [call], WebhookGrouping(tenant))
        (answer,) = await take_events(connection, tenant, drafts, seal, self._clock.now())
        if isinstance(answer, InvalidInput):
            raise answer
        return answer.receipt

    async def wake(self, tenant: str, endpoint: str, key: str) -> bool:
        """Have a line of ordered deliveries looked at again."""
        return await self.orders.wake(tenant, endpoint, key)

    def endpoint_changed(self, tenant: str, endpoint: str) -> None:
        """Have what waits for the endpoint looked at again, soon."""
        self._relay.start(partial(self.waiters.look_again, tenant, endpoint))

    def _call(self, event: EventInput, request_id: str | None) -> _Call:
        return _Call(event, event_body(event, self._clock.now()), request_id)

    def _group(self, tenant: str, *, shared: bool) -> WebhookGrouping:
        return WebhookGrouping(tenant, shared=shared)

    async def _grouped(self, tenant: str, calls: Sequence[_Call], group: WebhookGrouping) -> list[EventDraft]:
        asked = await self._storage.webhook_endpoints.subscriptions(tenant)
        fans = [
            EventFanOut(len(call.body), call.event.ordering_key, asked.to(call.event.type, call.event.payload))
            for call in calls
        ]
        return [
            EventDraft(call.event.event_id or new_id("evt"), call.event, call.body, call.request_id, deliveries)
            for call, deliveries in zip(calls, group.plan(fans), strict=True)
        ]

    async def _store(
        self, tenant: str, drafts: Sequence[EventDraft], now: datetime
    ) -> Sequence[TakenEvent | InvalidInput]:
        return await self._storage.webhook_acceptance.take(tenant, drafts, now)

    def _start_stored(self, tenant: str, stored: Iterable[tuple[EventDraft, TakenEvent]]) -> None:
        started = [(delivery, draft.request_id) for draft, taken in stored for delivery in taken.started]
        ACCEPTED.labels(CHANNEL).inc(len(started))
        for unit in units(tenant, (one for one in started if one[0].order_key is None)):
            self._relay.start(partial(self.dispatcher.start, unit))
        lines: dict[tuple[str, str], list[str]] = {}
        for delivery, _ in started:
            if delivery.order_key is not None:
                lines.setdefault((delivery.endpoint, delivery.order_key), []).append(delivery.id)
        for (endpoint, key), ids in lines.items():
            self._relay.start(partial(self.orders.wake, tenant, endpoint, key, accepted=ids))
