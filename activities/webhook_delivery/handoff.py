"""What leaves a batch of webhook deliveries goes on in workflows of its own, and is theirs before that is reported.

From a batch to one endpoint, deliveries leave one by one when nothing is left but waits of over a minute. From a batch
to several endpoints, whatever an endpoint did not take at once goes on in a batch of that endpoint alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from activities.delivery.progress import Progress, Work
from hermod.contracts.delivery import Apart
from hermod.contracts.ids import parse_workflow_id, webhook_batch_workflow, webhook_part, webhook_workflow
from hermod.contracts.webhooks import OPEN_DELIVERIES
from hermod.ports.webhooks import DeliveryItem, HandedOff, WebhookLedger


def by_endpoint(items: Sequence[DeliveryItem]) -> dict[str, list[DeliveryItem]]:
    groups: dict[str, list[DeliveryItem]] = {}
    for item in items:
        groups.setdefault(item.endpoint_id, []).append(item)
    return groups


async def hand_off(
    work: Work, ledger: WebhookLedger, items: Sequence[DeliveryItem], progress: Progress, now: datetime
) -> Sequence[DeliveryItem]:
    """Move ownership of what leaves, and put it down in `progress`; also what an earlier try has moved, and could not
    report. Answers the deliveries that should have left and are in other hands. Raises Unavailable.
    """
    leaving = [item for item in items if item.status in OPEN_DELIVERIES and item.in_flight is None]
    several = len(by_endpoint(items)) > 1
    if not several and progress.wait(now, alone=False) is not None:
        return ()
    if not leaving and len(items) == len(work.messages):
        return ()
    if leaving:
        numbers = {item.id: item.attempts for item in leaving}
        await ledger.transfer_ownership(work.tenant, work.owner, numbers, _owners(work, leaving, several=several))
    gone = await ledger.handed_off(work.tenant, work.owner, work.messages)
    _report(work, gone, progress, now, several=several)
    names = {one.delivery for one in gone}
    progress.open = [item for item in progress.open if item.id not in names]
    return [item for item in leaving if item.id not in names]


def _owners(work: Work, leaving: Sequence[DeliveryItem], *, several: bool) -> dict[str, str]:
    owners = {}
    for endpoint, group in by_endpoint(leaving).items():
        together = several and len(group) > 1
        for item in group:
            owners[item.id] = _part(work, endpoint) if together else webhook_workflow(work.tenant, item.id)
    return owners


def _part(work: Work, endpoint: str) -> str:
    reference = parse_workflow_id(work.owner)
    return webhook_batch_workflow(work.tenant, webhook_part(reference.record if reference else work.owner, endpoint))


def _report(work: Work, gone: Sequence[HandedOff], progress: Progress, now: datetime, *, several: bool) -> None:
    """An endpoint's share of a batch to several is told as one, also where it is a single delivery."""
    shares: dict[tuple[str, str], list[HandedOff]] = {}
    for one in gone:
        alone = one.owner == webhook_workflow(work.tenant, one.delivery)
        if alone and not several:
            progress.handed_off[one.delivery] = one.next_attempt_at
        elif alone or one.owner == _part(work, one.endpoint):
            shares.setdefault((one.endpoint, one.owner), []).append(one)
    progress.apart = tuple(
        Apart(
            endpoint=endpoint,
            due_at=min(one.next_attempt_at or now for one in share),
            deliveries=tuple(one.delivery for one in share),
        )
        for (endpoint, _), share in sorted(shares.items())
    )
