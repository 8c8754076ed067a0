"""Which deliveries share a workflow, and how their workflows are started."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Final

from hermod.contracts.ids import (
    new_id,
    parse_workflow_id,
    webhook_batch_workflow,
    webhook_order_workflow,
    webhook_workflow,
)
from hermod.contracts.notifications.delivery import BATCH_SIZE
from hermod.contracts.webhooks.deliveries import BATCH_BYTES, DeliverWebhookInput, DeliverWebhooksInput, Ordering
from hermod.domain.webhooks.ordering_keys import fingerprint
from hermod.ports.clock import Clock
from hermod.storage.webhook_endpoints.endpoints import Subscriber
from hermod.storage.webhooks.acceptance import PlannedDelivery
from hermod.storage.webhooks.deliveries import WebhookDeliveries
from starter.concurrency.relay import FREE_STARTS
from starter.temporal.starts import RecordStarter, Start, Starts

CHANNEL: Final = "webhook"
OWN_BATCH: Final = 50
"""So many deliveries to one endpoint have a workflow of their own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookUnit:
    """The deliveries of one workflow."""

    workflow_id: str
    tenant: str
    endpoint: str | None
    """None: several."""
    deliveries: tuple[str, ...]
    request_id: str | None


class WebhookWorkflowStarter(RecordStarter[WebhookUnit]):
    """The workflows of deliveries that keep no order."""

    def __init__(self, starts: Starts, deliveries: WebhookDeliveries, clock: Clock) -> None:
        super().__init__(starts, clock)
        self._deliveries = deliveries

    async def mark_started(self, unit: WebhookUnit) -> None:
        await self._deliveries.mark_started(unit.tenant, unit.workflow_id, unit.deliveries, self._clock.now())

    async def begin_again(self, tenant: str, endpoint: str, delivery: str, request_id: str | None = None) -> bool:
        """Start the own workflow of a delivery that was reopened."""
        unit = WebhookUnit(
            workflow_id=webhook_workflow(tenant, delivery),
            tenant=tenant,
            endpoint=endpoint,
            deliveries=(delivery,),
            request_id=request_id,
        )
        return await self.restart(unit)

    async def _is_pending(self, unit: WebhookUnit) -> bool:
        return await self._deliveries.any_pending(unit.tenant, unit.deliveries)

    def _start(self, unit: WebhookUnit) -> Start:
        return _start(unit)


@dataclass(frozen=True, slots=True)
class EventFanOut:
    """An event on its way in: its size, its ordering key and the endpoints that asked for it."""

    size: int
    ordering_key: str | None
    subscribers: Sequence[Subscriber]


class WebhookGrouping:
    """Gives ids to the deliveries of events that came together: those to one endpoint share a workflow, unless it keeps
    order.

    Where there would be more workflows than the engine starts at once, or `shared` says that more events will come,
    endpoints with few deliveries share them too.
    """

    def __init__(self, tenant: str, *, shared: bool = False) -> None:
        self._tenant = tenant
        self._shared = shared
        self._open: dict[str | None, tuple[str, int, int]] = {}
        """Workflows with room for so many more, and so many bytes: of one endpoint, or of several (None)."""

    def plan(self, fans: Sequence[EventFanOut]) -> list[tuple[PlannedDelivery, ...]]:
        counts = Counter(one.id for fan in fans for one in fan.subscribers if not _in_order(fan, one))
        pooled = self._shared or len(counts) > FREE_STARTS
        return [tuple(self._planned(fan, counts, pooled=pooled)) for fan in fans]

    def _planned(self, fan: EventFanOut, counts: Mapping[str, int], *, pooled: bool) -> Iterator[PlannedDelivery]:
        for subscriber in fan.subscribers:
            own, key, count = new_id("whd"), None, counts[subscriber.id]
            if _in_order(fan, subscriber):
                key = fingerprint(self._tenant, fan.ordering_key or "")
                workflow = webhook_order_workflow(self._tenant, subscriber.id, key)
            elif count >= OWN_BATCH or (count > 1 and not pooled):
                workflow = self._place(subscriber.id, fan.size)
            else:
                workflow = self._place(None, fan.size) if pooled else webhook_workflow(self._tenant, own)
            yield PlannedDelivery(own, subscriber.id, key, workflow)

    def _place(self, endpoint: str | None, size: int) -> str:
        """The workflow that has room for so many bytes more."""
        workflow, places, room = self._open.get(endpoint, ("", 0, 0))
        if not places or room < size:
            workflow, places, room = webhook_batch_workflow(self._tenant, new_id("bat")), BATCH_SIZE, BATCH_BYTES
        self._open[endpoint] = (workflow, places - 1, room - size)
        return workflow


def units(tenant: str, started: Iterable[tuple[PlannedDelivery, str | None]]) -> list[WebhookUnit]:
    """The workflows to start for deliveries, given with their request ids, that keep no order."""
    members: dict[str, list[tuple[PlannedDelivery, str | None]]] = {}
    for delivery, request_id in started:
        members.setdefault(delivery.workflow_id, []).append((delivery, request_id))
    return [
        WebhookUnit(
            workflow_id=workflow_id,
            tenant=tenant,
            endpoint=_only({delivery.endpoint for delivery, _ in of_unit}),
            deliveries=tuple(delivery.id for delivery, _ in of_unit),
            request_id=_only({request_id for _, request_id in of_unit}),
        )
        for workflow_id, of_unit in members.items()
    ]


def _only(values: Set[str | None]) -> str | None:
    return next(iter(values)) if len(values) == 1 else None


def _in_order(fan: EventFanOut, subscriber: Subscriber) -> bool:
    return fan.ordering_key is not None and subscriber.ordering is Ordering.BY_KEY


def _start(unit: WebhookUnit) -> Start:
    reference = parse_workflow_id(unit.workflow_id)
    single = reference is None or reference.kind == "webhook"
    return Start(
        name="DeliverWebhook" if single else "DeliverWebhooks",
        order=_input(unit) if single else _batch_input(unit),
        workflow_id=unit.workflow_id,
        tenant=unit.tenant,
        channel=CHANNEL,
        request_id=unit.request_id,
        summary=CHANNEL if single else f"{len(unit.deliveries)} × {CHANNEL}",
    )


def _input(unit: WebhookUnit) -> DeliverWebhookInput:
    return DeliverWebhookInput(tenant=unit.tenant, delivery=unit.deliveries[0])


def _batch_input(unit: WebhookUnit) -> DeliverWebhooksInput:
    reference = parse_workflow_id(unit.workflow_id)
    return DeliverWebhooksInput(
        tenant=unit.tenant,
        batch=reference.record if reference else unit.workflow_id,
        endpoint=unit.endpoint,
        deliveries=unit.deliveries,
    )
