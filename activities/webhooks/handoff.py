"""What leaves the workflow of a dispatch goes on in others, and is theirs before that is reported.

From a batch to one endpoint, deliveries leave one by one when nothing is left but waits of over a minute. From a batch
to several endpoints, whatever an endpoint did not take at once goes on in a batch of that endpoint alone. And from
everywhere, what cannot go because its endpoint is in trouble goes to that endpoint's waiter, where all of it waits
together. The waiter itself keeps what it has: it looks again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime

from activities.dispatch.progress import DispatchProgress, WorkItem
from hermod.contracts.ids import (
    parse_workflow_id,
    webhook_batch_workflow,
    webhook_endpoint_workflow,
    webhook_part,
    webhook_workflow,
)
from hermod.contracts.notifications.delivery import EndpointGroup
from hermod.contracts.webhooks.deliveries import OPEN_DELIVERIES
from hermod.domain.webhooks.endpoint_health import is_in_trouble
from hermod.ports.webhooks.ledger import DeliveryItem, Endpoint, HandedOff, WebhookLedger


def by_endpoint(items: Iterable[DeliveryItem]) -> dict[str, list[DeliveryItem]]:
    groups: dict[str, list[DeliveryItem]] = {}
    for item in items:
        groups.setdefault(item.endpoint_id, []).append(item)
    return groups


def at_rest(items: Iterable[DeliveryItem]) -> list[DeliveryItem]:
    """Those that are open and have no request under way."""
    return [item for item in items if item.status in OPEN_DELIVERIES and item.in_flight is None]


def is_waiter(owner: str) -> bool:
    return _kind(owner) == "webhook-endpoint"


def in_trouble(endpoints: Mapping[str, Endpoint | None], now: datetime) -> set[str]:
    return {
        name
        for name, endpoint in endpoints.items()
        if endpoint is not None and endpoint.enabled and is_in_trouble(endpoint.paused_until, now)
    }


async def hand_off(
    work: WorkItem,
    ledger: WebhookLedger,
    items: Sequence[DeliveryItem],
    progress: DispatchProgress,
    now: datetime,
    troubled: Collection[str],
) -> Sequence[DeliveryItem]:
    """Move ownership of what leaves, and put it down in `progress`; also what an earlier try has moved, and could not
    report. `troubled` are the endpoints whose deliveries go to their waiter. Answers the deliveries that should have
    left and are in other hands. Raises Unavailable.
    """
    everything = progress.open
    owners = _waiters(work, items, troubled)
    progress.open = [item for item in everything if item.id not in owners]
    several, alone = len(by_endpoint(items)) > 1, work.is_alone
    stays = progress.wait(now, alone=alone) is not None
    if not alone and (several or not stays):
        owners |= _owners(work, [item for item in at_rest(items) if item.id not in owners], several=several)
    if not owners and (stays or len(items) == len(work.messages)):
        return ()
    leaving = [item for item in items if item.id in owners]
    if leaving:
        numbers = {item.id: item.attempts for item in leaving}
        await ledger.transfer_ownership(work.tenant, work.owner, numbers, owners)
    gone = await ledger.handed_off(work.tenant, work.owner, work.messages)
    if lonely := _lonely(work, gone):
        for part, one in lonely.items():
            to = {one.delivery: webhook_workflow(work.tenant, one.delivery)}
            await ledger.transfer_ownership(work.tenant, part, {one.delivery: one.attempts}, to)
        gone = await ledger.handed_off(work.tenant, work.owner, work.messages)
    _report(work, gone, progress, now, several=several)
    names = {one.delivery for one in gone}
    progress.open = [item for item in everything if item.id not in names]
    return [item for item in leaving if item.id not in names]


def _waiters(work: WorkItem, items: Sequence[DeliveryItem], troubled: Collection[str]) -> dict[str, str]:
    """What keeps order stays in its line, which waits by itself."""
    if _kind(work.owner) not in ("webhook", "webhook-batch"):
        return {}
    return {
        item.id: webhook_endpoint_workflow(work.tenant, item.endpoint_id)
        for item in at_rest(items)
        if item.endpoint_id in troubled
    }


def _owners(work: WorkItem, leaving: Sequence[DeliveryItem], *, several: bool) -> dict[str, str]:
    owners = {}
    for endpoint, group in by_endpoint(leaving).items():
        together = several and len(group) > 1
        for item in group:
            owners[item.id] = _part(work, endpoint) if together else webhook_workflow(work.tenant, item.id)
    return owners


def _lonely(work: WorkItem, gone: Sequence[HandedOff]) -> dict[str, HandedOff]:
    """What is left of shares that an earlier try has moved, by their owners, where that is a single delivery: it leaves
    for a workflow of its own, as a single one always does."""
    shares: dict[str, list[HandedOff]] = {}
    for one in gone:
        if one.owner == _part(work, one.endpoint):
            shares.setdefault(one.owner, []).append(one)
    return {owner: share[0] for owner, share in shares.items() if len(share) == 1}


def _part(work: WorkItem, endpoint: str) -> str:
    reference = parse_workflow_id(work.owner)
    return webhook_batch_workflow(work.tenant, webhook_part(reference.record if reference else work.owner, endpoint))


def _kind(owner: str) -> str | None:
    reference = parse_workflow_id(owner)
    return reference.kind if reference else None


def _report(
    work: WorkItem, gone: Sequence[HandedOff], progress: DispatchProgress, now: datetime, *, several: bool
) -> None:
    """An endpoint's share of a batch to several is told as one, also where it is a single delivery."""
    shares: dict[tuple[str, str], list[HandedOff]] = {}
    for one in gone:
        alone = one.owner == webhook_workflow(work.tenant, one.delivery)
        if alone and not several:
            progress.handed_off[one.delivery] = one.next_attempt_at
        elif alone or one.owner == _part(work, one.endpoint):
            shares.setdefault((one.endpoint, one.owner), []).append(one)
        elif one.owner == webhook_endpoint_workflow(work.tenant, one.endpoint):
            progress.with_waiter.setdefault(one.endpoint, []).append(one.delivery)
    progress.apart = tuple(
        EndpointGroup(
            endpoint=endpoint,
            due_at=min(one.next_attempt_at or now for one in share),
            deliveries=tuple(one.delivery for one in share),
        )
        for (endpoint, _), share in sorted(shares.items())
    )
