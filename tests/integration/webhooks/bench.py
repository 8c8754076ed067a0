"""A dispatch by hand: deliveries in a database, their receiver, and no server that hands them out."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from sqlalchemy import text

from activities.dispatch.progress import DispatchProgress, WorkItem
from activities.webhooks.dispatcher import WebhookDependencies, WebhookDispatcher
from hermod.bootstrap import Storage
from hermod.clock import SystemClock
from hermod.contracts.ids import new_id, webhook_batch_workflow, webhook_workflow
from hermod.contracts.webhooks.deliveries import EndpointSettings, EventInput
from hermod.outbound.webhooks.requests import post_for
from hermod.ports.webhooks.ledger import Poster
from hermod.storage.webhooks.acceptance import EventDraft, PlannedDelivery, event_body
from tests.support.hostile import Hostile

TENANT: Final = "shop"
BATCH: Final = webhook_batch_workflow(TENANT, "bat_1")


class WokenWaiters:
    """Notes who was woken for what."""

    def __init__(self) -> None:
        self.woken: list[tuple[str, list[str]]] = []

    async def wake(self, tenant: str, endpoint: str, deliveries: Collection[str]) -> None:
        self.woken.append((endpoint, sorted(deliveries)))

    async def look_again(self, tenant: str, endpoint: str) -> None:
        self.woken.append((endpoint, []))


@dataclass
class Bench:
    storage: Storage
    poster: Poster
    receiver: Hostile
    waiters: WokenWaiters = field(default_factory=WokenWaiters)

    async def endpoint(self, **settings: object) -> str:
        given = EndpointSettings.model_validate({"url": self.receiver.url, "retry": (60,) * 5, **settings})
        now = SystemClock().now()
        return (await self.storage.webhook_endpoints.create(TENANT, given, actor="test", now=now)).id

    async def accept(self, endpoint: str, count: int, owner: str | None = None) -> list[str]:
        """So many deliveries; without an owner, each has a workflow of its own."""
        event, drafts, now = EventInput(type="order.paid", payload={}), [], SystemClock().now()
        for _ in range(count):
            own = new_id("whd")
            planned = PlannedDelivery(own, endpoint, None, owner or webhook_workflow(TENANT, own))
            drafts.append(EventDraft(new_id("evt"), event, event_body(event, now), None, (planned,)))
        await self.storage.webhook_acceptance.take(TENANT, drafts, now)
        return [draft.deliveries[0].id for draft in drafts]

    async def pause(self, endpoint: str, wait: timedelta, reason: str = "asked") -> None:
        statement = text("UPDATE webhook_endpoints SET paused_until = :until, pause_reason = CAST(:reason AS text)")
        await self.storage.database.execute(statement, {"until": SystemClock().now() + wait, "reason": reason})
        self.storage.webhook_endpoints.forget(TENANT, endpoint)

    async def dispatch(self, owner: str, deliveries: Collection[str]) -> DispatchProgress:
        ways = WebhookDependencies(
            ledger=self.storage.webhook_ledger,
            endpoints=self.storage.webhook_endpoints,
            health=self.storage.endpoint_health,
            poster=self.poster,
            requests=post_for,
            limiter=self.storage.rates,
            waiters=self.waiters,
        )
        work = WorkItem(tenant=TENANT, owner=owner, run="run-1", messages=tuple(deliveries), kind="webhook")
        return await WebhookDispatcher(work, ways, clock=SystemClock(), stopping=lambda: False).run({})

    async def owners(self) -> set[str]:
        rows = await self.storage.database.rows(text("SELECT workflow_id FROM webhook_deliveries"), {})
        return {row.workflow_id for row in rows}
