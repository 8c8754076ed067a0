"""From what a request came to, to what the ledger shall say: one `WebhookResult` per request, one `WebhookChange` per
wait. The item is brought to where the ledger will be.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from hermod.contracts.webhooks.deliveries import DeliveryStatus, Ordering, WhenExhausted
from hermod.domain.webhooks.delivery import RetryState, after
from hermod.ports.webhooks.ledger import DeliveryItem, Endpoint, Exchange, WebhookChange, WebhookResult

LOST: Final = Exchange(outcome="worker_lost", error="the worker was lost while the request was on its way")
INTERRUPTED: Final = Exchange(
    outcome="interrupted", error="the worker stopped while the request was on its way or about to be made"
)

NOT_MADE: Final = Exchange(outcome="not_made", error="the request was allowed, and not made after all")


def settled(
    item: DeliveryItem, exchange: Exchange, endpoint: Endpoint | None, now: datetime, chance: float
) -> WebhookResult:
    """The ledger's line for this request. Without an endpoint, which was deleted, nothing follows but the end."""
    verdict = after(exchange, _standing(item, endpoint), chance)
    ends_by = item.in_flight.ends_by if item.in_flight is not None else None
    item.status, item.spent, item.in_flight, item.wait_reason = verdict.status, verdict.spent, None, None
    item.next_attempt_at = None if verdict.delay is None else now + verdict.delay
    return WebhookResult(
        delivery=item.id,
        number=item.attempts,
        exchange=exchange,
        status=item.status,
        spent=item.spent,
        next_attempt_at=item.next_attempt_at,
        wait_reason=None,
        ends_by=ends_by,
    )


def waits(item: DeliveryItem, reason: str, wait: timedelta, now: datetime) -> WebhookChange:
    """The endpoint takes nothing at the moment. The delivery spends nothing."""
    item.status = DeliveryStatus.RETRYING if item.attempts else DeliveryStatus.QUEUED
    item.next_attempt_at, item.wait_reason = now + wait, reason
    return _change(item)


def parked(item: DeliveryItem) -> WebhookChange:
    """The endpoint is disabled: kept, counted, and sent when somebody replays it."""
    return _ended(item, DeliveryStatus.PARKED)


def cancelled(item: DeliveryItem) -> WebhookChange:
    return _ended(item, DeliveryStatus.CANCELLED, "the endpoint was deleted")


def _standing(item: DeliveryItem, endpoint: Endpoint | None) -> RetryState:
    if endpoint is None:
        return RetryState(item.spent, (), 0.0)
    keeps_order = endpoint.ordering is Ordering.BY_KEY and item.order_key is not None
    skips = keeps_order and endpoint.when_exhausted is WhenExhausted.SKIP
    return RetryState(item.spent, endpoint.waits, endpoint.jitter, endpoint.skip_after if skips else None)


def _ended(item: DeliveryItem, status: DeliveryStatus, error: str | None = None) -> WebhookChange:
    item.status, item.next_attempt_at, item.wait_reason = status, None, None
    return _change(item, error)


def _change(item: DeliveryItem, error: str | None = None) -> WebhookChange:
    return WebhookChange(
        delivery=item.id,
        number=item.attempts,
        status=item.status,
        next_attempt_at=item.next_attempt_at,
        wait_reason=item.wait_reason,
        error=error,
    )
