"""A world of webhook deliveries: receivers know what they were asked, and the record has to.

Events go to one endpoint or to several, in batches; one endpoint keeps order. Endpoints are disabled and enabled, ask
for pauses, in which deliveries wait together, and deliveries are begun again by people and by replays, page by page.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final

from sqlalchemy import Row, text

from activities.dispatch.progress import DispatchProgress, WorkItem
from activities.webhooks import heartbeat_details
from activities.webhooks.dispatcher import WebhookDependencies, WebhookDispatcher
from activities.webhooks.transitions import NOT_MADE
from hermod.contracts.errors import Unavailable
from hermod.contracts.ids import (
    webhook_batch_workflow,
    webhook_order_workflow,
    webhook_part,
    webhook_workflow,
)
from hermod.contracts.webhooks.deliveries import (
    OPEN_DELIVERIES,
    DeliveryStatus,
    EndpointSettings,
    EventInput,
    ReplayInput,
    ReplayStatus,
)
from hermod.domain.webhooks.ordering_keys import fingerprint
from hermod.ports.webhooks.ledger import DeliveryItem, Endpoint, Exchange, Post
from hermod.storage.database.engine import Database
from hermod.storage.webhook_endpoints.endpoints import WebhookEndpoints
from hermod.storage.webhooks.acceptance import EventDraft, PlannedDelivery, WebhookAcceptance, event_body
from hermod.storage.webhooks.deliveries import WebhookDeliveries
from hermod.storage.webhooks.ledger import SqlWebhookLedger
from hermod.storage.webhooks.order import Line, WebhookOrder
from hermod.storage.webhooks.replays import WebhookReplays
from hermod.storage.webhooks.waiting import WebhookWaiting
from tests.integration.protocol.nothing import Nothing
from tests.integration.protocol.simulation import BEGIN, Executor, Gated
from tests.integration.protocol.world import Alive, Child, Heard, Watched, Workflow, World

WAITER: Final = "webhook-endpoint/"
"""Begins the id of an endpoint's waiter."""
BEGIN_WITHIN: Final = timedelta(seconds=15)
"""A request begins so soon after its grant, or not at all."""
_LOOK: Final = text("""
    SELECT d.id, d.status, d.workflow_id, d.endpoint_id, d.order_key, d.attempt_count, d.finished_at, d.discarded_at,
           EXISTS (SELECT 1 FROM webhook_events e WHERE e.tenant_id = d.tenant_id AND e.id = d.event_id) AS has_event,
           d.late_success_number, a.number, a.outcome, a.late_at, a.worker, a.ends_by,
           coalesce(a.outcome = 'worker_lost', false) AS lost
      FROM webhook_deliveries d
      LEFT JOIN webhook_attempts a ON a.tenant_id = d.tenant_id AND a.delivery_id = d.id
     WHERE d.tenant_id = :tenant ORDER BY d.place, a.number
""")
_PAUSE: Final = text("""
    UPDATE webhook_endpoints SET paused_until = :until, pause_reason = 'asked' WHERE tenant_id = :tenant AND id = :id
""")
_AHEAD: Final = text("""
    SELECT o.id FROM webhook_deliveries d JOIN webhook_deliveries o
           ON o.tenant_id = d.tenant_id AND o.endpoint_id = d.endpoint_id AND o.order_key = d.order_key
     WHERE d.tenant_id = :tenant AND d.id = :id AND o.place < d.place AND o.finished_at IS NULL
""")


@dataclass(frozen=True)
class Request:
    """A request as the receiver saw it, and whether it took the event."""

    delivery: str
    number: int
    taken: bool


class Receiver:
    """In the place of the wire: the request arrives, and its answer comes, in two steps."""

    def __init__(self, world: WebhookWorld, executor: Executor) -> None:
        self._world = world
        self._executor = executor

    def order(self, endpoint: Endpoint, item: DeliveryItem, attempt: int, now: datetime) -> Post:
        headers = (("webhook-id", item.id), ("webhook-attempt", str(attempt)))
        return Post(url=endpoint.url, headers=headers, body=item.body, deadline=endpoint.timeout)

    async def post(self, order: Post) -> Exchange:
        (_, delivery), (_, attempt) = order.headers
        number = int(attempt)
        begin_by = self._world.time + BEGIN_WITHIN

        async def arrive() -> Exchange:
            if self._world.time > begin_by:
                return NOT_MADE
            return await self._world.receiver_answers(delivery, number)

        try:
            exchange: Exchange = await self._world.gates.pass_through(self._executor, "request", arrive)
        except Unavailable:
            exchange = Exchange(outcome="reset")
        self._world.heard[delivery, number] = Heard(self._executor, exchange.outcome)
        return exchange

    async def aclose(self) -> None:
        return None


class WebhookWorld(World):
    KIND = "webhook"
    LOOK = _LOOK
    TABLES: ClassVar = (
        "webhook_endpoints",
        "webhook_events",
        "webhook_deliveries",
        "webhook_attempts",
        "webhook_replays",
        "audit",
        "event_batches",
    )

    def __init__(self, database: Database, tenant: str) -> None:
        super().__init__(database, tenant)
        self.endpoints: list[str] = []
        self.in_order = ""
        """The endpoint that keeps order."""
        self.has_line = False
        self.requests: list[Request] = []
        self.begun_again: set[tuple[str, int]] = set()
        """Deliveries that somebody had begun again, with the number of their attempts by then."""
        self.replays: list[str] = []
        self.out_of_order: list[tuple[str, str]] = []
        """Requests for a delivery (first) while another one, which is ahead of it in its line, was open."""
        self._key = fingerprint(tenant, "key")
        self._endpoints = WebhookEndpoints(database, self.vault, self)
        self._acceptance = WebhookAcceptance(database, self.contents)
        self._deliveries = WebhookDeliveries(database, self.contents)
        self._replays = WebhookReplays(database, self.contents)
        self._lines = WebhookOrder(database)
        self._waiting = WebhookWaiting(database)

    async def settle_in(self, *, when_exhausted: str = "dead_letter") -> None:
        await super().settle_in()
        common = {"url": "https://example.com/hook", "retry": (1.0, 300.0, 1.0), "max_concurrency": 2}
        for ordering in ("none", "none", "by_key"):
            given = common | {"ordering": ordering}
            if ordering == "by_key":
                given |= {"when_exhausted": when_exhausted, "skip_after": 2 if when_exhausted == "skip" else None}
            settings = EndpointSettings.model_validate(given)
            new = await self._endpoints.create(self.tenant, settings, actor="test", now=self.time)
            self.endpoints.append(new.id)
        self.in_order = self.endpoints[-1]

    # What the outside does

    async def accept(self, counts: Sequence[int]) -> None:
        """Events that share a workflow: so many for each of the first endpoints; starting it is another step."""
        ids = [
            (self.new_id("whd"), endpoint)
            for endpoint, n in zip(self.endpoints, counts, strict=False)
            for _ in range(n)
        ]
        owner = webhook_batch_workflow(self.tenant, self.new_id("bat"))
        if len(ids) == 1:
            owner = webhook_workflow(self.tenant, ids[0][0])
        await self._take([PlannedDelivery(own, endpoint, None, owner) for own, endpoint in ids])

    async def accept_in_order(self, count: int) -> None:
        owner, self.has_line = self._line_workflow(), True
        await self._take([PlannedDelivery(self.new_id("whd"), self.in_order, self._key, owner) for _ in range(count)])

    async def switch(self, which: int, *, enabled: bool) -> None:
        def change(before: EndpointSettings) -> EndpointSettings:
            return before.model_copy(update={"enabled": enabled})

        endpoint = self.endpoints[which % len(self.endpoints)]
        named = ("enabled",)
        await self._endpoints.update(self.tenant, endpoint, change, named=named, actor="test", now=self.time)

    async def pause(self, which: int, minutes: int) -> None:
        """The receiver asks for a pause; none ends the one that it has asked for."""
        endpoint = self.endpoints[which % len(self.endpoints)]
        names = {"tenant": self.tenant, "id": endpoint, "until": self.time + timedelta(minutes=minutes)}
        await self.database.execute(_PAUSE, names)
        self._endpoints.forget(self.tenant, endpoint)

    async def cancel(self, delivery: str) -> None:
        await self.allowed(self._deliveries.cancel(self.tenant, delivery, actor="test", now=self.time))

    async def discard(self, delivery: str) -> None:
        await self.allowed(self._deliveries.discard(self.tenant, delivery, actor="test", now=self.time))

    async def retry(self, delivery: str, *, started: bool) -> None:
        move: Awaitable[Any] = self._deliveries.retry(self.tenant, delivery, actor="test", now=self.time)
        if await self.allowed(move):
            await self._begin_again([delivery], started=started)

    async def replay(self, which: int, statuses: Sequence[DeliveryStatus], per_second: float) -> None:
        """Store a replay; its pages are steps of their own."""
        endpoint = self.endpoints[which % len(self.endpoints)]
        asked = ReplayInput(since=BEGIN - timedelta(days=1), status=tuple(statuses), per_second=per_second)
        self.time += timedelta(seconds=1)
        started = self._replays.start(self.tenant, endpoint, asked, actor="test", now=self.time)
        if await self.allowed(started):
            rows = await self.database.rows(
                text("SELECT id FROM webhook_replays WHERE tenant_id = :tenant AND finished_at IS NULL ORDER BY id"),
                {"tenant": self.tenant},
            )
            self.replays = [row.id for row in rows]

    async def replay_page(self, replay: str, wanted: ReplayStatus | None, *, started: bool) -> None:
        begun = await self._replays.page(self.tenant, replay, wanted, self.time)
        await self._begin_again([delivery for delivery, _ in begun.deliveries], started=started)

    async def _begin_again(self, deliveries: Sequence[str], *, started: bool) -> None:
        """`started`: who asked for it lived to start the workflows, else the sweeper does."""
        rows = {row.id: row for row in await self.rows()}
        for delivery in deliveries:
            self.begun_again.add((delivery, rows[delivery].attempt_count))
            if started and rows[delivery].order_key is None:
                own = webhook_workflow(self.tenant, delivery)
                self.start(own, (delivery,), anew=True)
                await self.mark_started(own, [delivery])

    async def _take(self, planned: Sequence[PlannedDelivery]) -> None:
        drafts = []
        for delivery in planned:
            key = "key" if delivery.order_key else None
            event = EventInput(type="order.paid", payload={}, ordering_key=key)
            drafts.append(EventDraft(self.new_id("evt"), event, event_body(event, self.time), None, (delivery,)))
        await self._acceptance.take(self.tenant, drafts, self.time)

    # What a worker does

    async def work(self, executor: Executor) -> DispatchProgress:
        workflow = executor.run
        assert isinstance(workflow, Workflow)
        ledger = SqlWebhookLedger(self.database, self.contents, Alive(self, executor.process))  # type: ignore[arg-type]
        gated: Any = Gated(Watched(ledger, self), executor, self.gates)
        receiver = Receiver(self, executor)
        outcomes = heartbeat_details.decode(workflow.details)
        ways = WebhookDependencies(
            ledger=gated,
            endpoints=Gated(self._endpoints, executor, self.gates),
            health=Nothing(),
            poster=receiver,
            requests=receiver.order,
            limiter=Nothing(),
            waiters=Nothing(),
        )
        work = WorkItem(tenant=self.tenant, owner=workflow.id, run=workflow.run_id, messages=workflow.members)
        dispatch = WebhookDispatcher(
            work,
            ways,
            clock=self,
            stopping=executor.stopping,
            superseded=executor.superseded,
            chance=lambda: 0.0,
        )
        return await dispatch.run(outcomes)

    def encode(self, results: Sequence[Any]) -> list[list[Any]]:
        return heartbeat_details.encode(results)

    def leaving(self, workflow: Workflow, progress: DispatchProgress) -> list[Child]:
        alone = [
            Child(webhook_workflow(self.tenant, delivery), (delivery,), due_at)
            for delivery, due_at in sorted(progress.handed_off.items())
        ]
        return alone + [
            Child(self._part(workflow, group.endpoint), group.deliveries, group.due_at)
            if len(group.deliveries) > 1
            else Child(webhook_workflow(self.tenant, group.deliveries[0]), group.deliveries, group.due_at)
            for group in progress.apart
        ]

    def _part(self, workflow: Workflow, endpoint: str) -> str:
        return webhook_batch_workflow(self.tenant, webhook_part(workflow.id.rpartition("/")[2], endpoint))

    async def close_records(self, workflow: Workflow) -> int:
        if workflow.id == self._line_workflow() or workflow.id.startswith(WAITER):
            # Cancelling it loses nothing: the sweeper starts it again.
            return 0
        ledger = SqlWebhookLedger(self.database, self.contents, Alive(self, None))  # type: ignore[arg-type]
        return await ledger.withdraw(self.tenant, workflow.id, workflow.members, self.time)

    # Lines of ordered deliveries, and deliveries that wait together

    async def begin(self, owner: str, ids: Sequence[str]) -> None:
        if owner == self._line_workflow():
            await self.next_in_line()
        elif owner.startswith(WAITER):
            await self.next_of_waiter(owner)
        else:
            await super().begin(owner, ids)

    async def next_in_line(self) -> None:
        """The line's workflow asks which delivery is next, and has it brought to its end. One run of the model's is one
        delivery of that workflow.
        """
        owner, line = self._line_workflow(), Line(self.tenant, self.in_order, self._key)
        if self.has_run(owner):
            return
        head = await self._lines.head(*line)
        await self._lines.mark_queued(line, self.time)
        if head.delivery is not None:
            self.start(owner, (head.delivery,))

    async def next_of_waiter(self, owner: str) -> None:
        """An endpoint's waiter asks what can go, and has it delivered, as `next_in_line` does."""
        found = await self._waiting.next(self.tenant, owner.rpartition("/")[2], self.time)
        if found.deliveries and not self.has_run(owner):
            self.start(owner, found.deliveries)

    def acts(self, owner: str) -> bool:
        return super().acts(owner) or owner.startswith(WAITER)

    async def discard_blockers(self) -> None:
        for row in await self.rows():
            if row.order_key is not None and row.status in ("failed", "parked") and row.discarded_at is None:
                await self.discard(row.id)

    def _line_workflow(self) -> str:
        return webhook_order_workflow(self.tenant, self.in_order, self._key)

    # What the receivers do

    async def receiver_answers(self, delivery: str, number: int) -> Exchange:
        answer = self.answers.pop(0) if self.answers else "accept"
        request = Request(delivery, number, taken=answer in ("accept", "accept, no answer"))
        assert not any((one.delivery, one.number) == (delivery, number) for one in self.requests)
        ahead = await self.database.rows(_AHEAD, {"tenant": self.tenant, "id": delivery})
        self.out_of_order += [(delivery, row.id) for row in ahead]
        self.requests.append(request)
        answers = {
            "accept": Exchange(outcome="success", status_code=200),
            "accept, no answer": Exchange(outcome="timeout"),
            "refuse, no answer": Exchange(outcome="timeout"),
            "busy": Exchange(outcome="http_error", status_code=503),
            "gone": Exchange(outcome="http_error", status_code=410),
            "nobody there": Exchange(outcome="connect"),
        }
        return answers[answer]

    # What holds

    async def help_out(self) -> None:
        await self.discard_blockers()

    async def check(self) -> None:
        attempts = self.attempts
        again = {delivery for delivery, _ in self.begun_again}
        for row in self.records.values():
            numbers = sorted(number for delivery, number in attempts if delivery == row.id)
            assert numbers == list(range(1, row.attempt_count + 1)), (row.id, numbers)
            assert (row.finished_at is None) == (DeliveryStatus(row.status) in OPEN_DELIVERIES), row
            assert row.finished_at is not None or row.has_event, f"open, and its event is gone: {row}"
            asked = sorted(one.number for one in self.requests if one.delivery == row.id)
            assert set(asked) <= set(numbers), "a request that is not on record"
            for number in (one.number for one in self.requests if one.delivery == row.id and one.taken):
                assert attempts[row.id, number].outcome != "not_made", "called never made, and was taken"
            for number in numbers:
                if attempts[row.id, number].outcome == "success":
                    self._check_repeats(row.id, number, attempts)
        for delivery, ahead in self.out_of_order:
            assert delivery in again or ahead in again, f"{delivery} was requested before {ahead}"

    def _check_repeats(self, delivery: str, number: int, attempts: Mapping[tuple[str, int], Row[Any]]) -> None:
        """Whether what followed this success was asked for, or was under way when it became known."""
        success = attempts[delivery, number]
        for other, later in attempts:
            if other != delivery or later <= number:
                continue
            asked_for = any(one == delivery and number <= count < later for one, count in self.begun_again)
            known_late = success.late_at is not None and later <= (success.late_success_number or 0)
            assert asked_for or known_late, f"attempt {later} followed the success of {number}: {attempts}"

    async def mark_started(self, owner: str, members: Sequence[str]) -> None:
        await self._deliveries.mark_started(self.tenant, owner, members, self.time)
