"""Following webhook deliveries, and the moves that people make: for the API and the command line alike."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import ValidationError

from hermod.contracts.errors import IdempotencyMismatch, InvalidInput
from hermod.contracts.ids import parse_workflow_id
from hermod.contracts.webhooks.deliveries import (
    DeliveryPage,
    DeliveryStatus,
    DeliverySummary,
    DeliveryView,
    EventInput,
    EventReceipt,
)
from hermod.storage.webhooks.deliveries import Moved
from starter.client import Hermod
from starter.idempotency import checked_key, event_id_of
from starter.temporal.signals import followed_up, request_cancel
from starter.validation_errors import field_errors


async def emit_event(
    hermod: Hermod, given: Any, *, idempotency_key: str | None = None, request_id: str | None = None
) -> EventReceipt:
    """Take in an event that came as JSON. Raises InvalidInput, naming each wrong field.

    `idempotency_key` makes the call safe to repeat; an event that has an id of its own needs none. Raises
    IdempotencyMismatch where the key stands for another event.
    """
    key = checked_key(idempotency_key)
    try:
        event = EventInput.model_validate(given)
    except ValidationError as error:
        raise InvalidInput(field_errors(error, given)) from None
    if key is None or event.event_id is not None:
        return await hermod.core.webhooks.take(hermod.tenant, event, request_id)
    keyed = event.model_copy(update={"event_id": event_id_of(key)})
    try:
        return await hermod.core.webhooks.take(hermod.tenant, keyed, request_id)
    except InvalidInput as wrong:
        if any(one.field == "event_id" for one in wrong.errors):
            raise IdempotencyMismatch from None
        raise


async def delivery_status(hermod: Hermod, delivery: str) -> DeliveryView:
    """The whole story. Raises NotFound."""
    return await hermod.core.storage.webhook_deliveries.view(hermod.tenant, delivery)


async def deliveries(
    hermod: Hermod,
    *,
    endpoint: str | None = None,
    status: DeliveryStatus | None = None,
    event_type: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    status_code: int | None = None,
    discarded: bool | None = None,
    cursor: str | None = None,
    limit: int = 50,
) -> DeliveryPage:
    """The newest first. `event_type` may end in `.*` or `/*`; with a status, those that were discarded are left out,
    unless `discarded` says otherwise."""
    return await hermod.core.storage.webhook_deliveries.page(
        hermod.tenant,
        endpoint=endpoint,
        status=status,
        event_type=event_type,
        since=since,
        until=until,
        status_code=status_code,
        discarded=discarded,
        cursor=cursor,
        limit=limit,
    )


async def retry_delivery(hermod: Hermod, delivery: str, *, wait: bool = True) -> DeliverySummary:
    """Begin a delivery again that did not arrive, with its whole schedule. Raises NotFound and Conflict.

    Without `wait`, it is started behind the answer.
    """
    core = hermod.core
    moved = await core.storage.webhook_deliveries.retry(
        hermod.tenant, delivery, actor=hermod.actor, now=core.clock.now()
    )
    if not wait:
        core.restarts.start(lambda: followed_up(_begun(hermod, moved)))
        return moved.summary
    started = await followed_up(_begun(hermod, moved))
    return moved.summary.model_copy(update={"status": DeliveryStatus.QUEUED}) if started else moved.summary


async def cancel_delivery(hermod: Hermod, delivery: str) -> DeliverySummary:
    """Withdraw a delivery that waits. Raises NotFound, and Conflict where it is on its way or has ended."""
    core = hermod.core
    moved = await core.storage.webhook_deliveries.cancel(
        hermod.tenant, delivery, actor=hermod.actor, now=core.clock.now()
    )
    await _tell_cancelled(hermod, moved)
    return moved.summary


async def discard_delivery(hermod: Hermod, delivery: str, *, wait: bool = True) -> DeliverySummary:
    """Take a dead letter off the list; what it kept from going may go. Raises NotFound and Conflict.

    Without `wait`, its line is told behind the answer.
    """
    core = hermod.core
    moved = await core.storage.webhook_deliveries.discard(
        hermod.tenant, delivery, actor=hermod.actor, now=core.clock.now()
    )
    if moved.order_key is not None and wait:
        await followed_up(_begun(hermod, moved))
    elif moved.order_key is not None:
        core.restarts.start(lambda: followed_up(_begun(hermod, moved)))
    return moved.summary


async def _begun(hermod: Hermod, moved: Moved) -> bool:
    """Start the delivery's own workflow, or have its line looked at again."""
    webhooks, endpoint = hermod.core.webhooks, moved.summary.endpoint_id
    if moved.order_key is not None:
        return await webhooks.wake(hermod.tenant, endpoint, moved.order_key)
    return await webhooks.dispatcher.begin_again(hermod.tenant, endpoint, moved.summary.id, moved.request_id)


async def _tell_cancelled(hermod: Hermod, moved: Moved) -> None:
    webhooks, summary = hermod.core.webhooks, moved.summary
    reference = parse_workflow_id(moved.workflow_id)
    if moved.order_key is not None:
        await webhooks.orders.let_go(hermod.tenant, summary.endpoint_id, moved.order_key, summary.id)
    elif reference is not None and reference.kind == "webhook":
        await request_cancel(hermod.core.temporal, moved.workflow_id)
    elif reference is not None and reference.kind == "webhook-endpoint":
        await webhooks.waiters.look_again(hermod.tenant, summary.endpoint_id)
