"""A world of messages in which everything may go wrong: worker processes, a server that hands out work, providers.

The ledger and the dispatch are the product's own, on the real PostgreSQL. Simulated are what surrounds them: Temporal
(which run of which workflow there is, and that an activity may be given out again at any time), the providers (which
know what they took), the clock, and the death of processes. `hermod.storage.workers` has tests of its own; here the
world says who lives.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import Row, text

from activities.delivery import carried
from activities.delivery.carried import Unrecorded
from activities.delivery.dispatch import Delivery
from activities.delivery.pacing import Naps
from activities.delivery.progress import Dispatch, Progress
from activities.delivery.stream import AlonePatience
from hermod.contracts.accounts import Account
from hermod.contracts.content import AnyContent, Channel, Email
from hermod.contracts.errors import Conflict, Unavailable
from hermod.contracts.ids import batch_id, batch_workflow, message_id, message_workflow
from hermod.contracts.messages import Guarantee, Options, Outcome, Preset, Resolution, Status, Submission
from hermod.contracts.outcomes import (
    Accepted,
    AnyOutcome,
    MessageRejected,
    OutcomeUnknown,
    RecipientRejected,
    Transient,
)
from hermod.contracts.receipts import Happening
from hermod.domain.states import OPEN
from hermod.ports.ledger import Ledger
from hermod.ports.limiter import Ask, Reservation, Rules
from hermod.ports.receipts import Event
from hermod.ports.sender import Capability, Outgoing
from hermod.storage.acceptance import Acceptance, Draft, Ready
from hermod.storage.contents import Contents
from hermod.storage.engine import Database
from hermod.storage.ledger import SqlLedger
from hermod.storage.messages import Messages
from hermod.storage.receipts import Receipts
from hermod.storage.tenants import Tenants
from hermod.storage.vault import Vault
from tests.integration.protocol.gates import Gates

BEGIN: Final = datetime(2026, 3, 1, 12, tzinfo=UTC)
_ROWS: Final = text("""
    SELECT id, status, workflow_id, guarantee, attempt_count, finished_at, next_attempt_at
      FROM messages WHERE tenant_id = :tenant
""")
_ATTEMPTS: Final = text("""
    SELECT message_id, number, account, outcome, error_code, late_at, started_at
      FROM attempts WHERE tenant_id = :tenant ORDER BY message_id, number
""")
_WORDS: Final = text(
    "SELECT message_id, kind, at FROM decisions WHERE tenant_id = :tenant AND kind IN ('retry', 'resolve')"
)


@dataclass(eq=False)
class Process:
    """A worker process. `number` is its session's."""

    number: int
    alive: bool = True
    stopping: bool = False


@dataclass(eq=False)
class Workflow:
    """A workflow as Temporal knows it: its newest run, and the activity of that."""

    id: str
    messages: tuple[str, ...]
    run: int = 1
    state: str = "running"
    due: datetime | None = None
    executor: Executor | None = None
    details: Sequence[Any] = ()
    """What the last try left in its heartbeat."""
    cancelling: bool = False

    @property
    def run_id(self) -> str:
        return f"{self.id}#{self.run}"


@dataclass(eq=False)
class Executor:
    """One try of an activity. `told`: it has learnt that it is not wanted any more."""

    process: Process
    workflow: Workflow
    run: int
    task: asyncio.Task[Progress] | None = None
    told: bool = False

    @property
    def is_current(self) -> bool:
        return self.workflow.executor is self and self.workflow.run == self.run


@dataclass(frozen=True)
class Request:
    """A request as the provider saw it, and whether it took the message."""

    message: str
    number: int
    account: str
    taken: bool


class Alive:
    """In the place of `hermod.storage.workers.Workers`."""

    def __init__(self, world: World, process: Process | None) -> None:
        self._world = world
        self.number = process.number if process else None

    async def living(self, numbers: Collection[int | None]) -> set[int]:
        return {one.number for one in self._world.processes if one.alive and one.number in numbers}


class Gated:
    """A ledger whose every call is a step of its executor."""

    def __init__(self, ledger: SqlLedger, executor: Executor, gates: Gates) -> None:
        self._ledger = ledger
        self._executor = executor
        self._gates = gates

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._ledger, name)

        async def gated(*args: Any, **names: Any) -> Any:
            return await self._gates.pass_through(self._executor, name, lambda: call(*args, **names))

        return gated


class Sender:
    """A provider's account: the request arrives, and its answer comes, in two steps."""

    def __init__(self, world: World, executor: Executor, account: Account) -> None:
        self._world = world
        self._executor = executor
        self._account = account
        self.capability = Capability(
            provider=account.provider,
            title="Simulated",
            channels=frozenset(Channel),
            idempotency_key=account.provider == "keyed",
        )

    async def send(self, message: Outgoing) -> AnyOutcome:
        async def arrive() -> AnyOutcome:
            return self._world.provider_answers(message, self._account)

        try:
            outcome: AnyOutcome = await self._world.gates.pass_through(self._executor, "request", arrive)
        except Unavailable:
            # The connection broke before or after the request was taken; nobody here can say which.
            return OutcomeUnknown(error_code="reset")
        return outcome

    def cannot_express(self, content: AnyContent) -> str | None:
        return None

    async def aclose(self) -> None:
        return None


@dataclass
class Senders:
    world: World
    executor: Executor

    def sender(self, account: Account) -> Sender:
        return Sender(self.world, self.executor, account)


class Accounts:
    """Two accounts: one whose provider recognises a repeat, where the world has it first, and one whose does not."""

    def __init__(self, tenant: str, *, keyed: bool) -> None:
        names = ("keyed", "plain") if keyed else ("plain", "other")
        self._accounts = [_account(tenant, name, order) for order, name in enumerate(names)]

    async def for_channel(self, tenant: str, channel: Channel) -> Sequence[Account]:
        return list(self._accounts)

    async def block(self, *args: object) -> None:
        return None

    async def claim_probe(self, *args: object) -> bool:
        return True

    async def unblock(self, *args: object) -> None:
        return None


class Nothing:
    """Hygiene that learns nothing, and limits that do not exist."""

    async def learn(self, *args: object) -> None:
        return None

    async def rules(self, tenant: str) -> Rules:
        return Rules()

    async def reserve(self, ask: Ask, now: datetime) -> Reservation:
        raise NotImplementedError

    async def give_back(self, bucket: str, rate: float, tokens: int) -> None:
        raise NotImplementedError


def _account(tenant: str, name: str, order: int) -> Account:
    return Account(
        tenant=tenant,
        name=name,
        channel=Channel.EMAIL,
        provider=name,
        credentials={},
        base_url=None,
        from_="shop@example.com",
        order=order,
        rate_per_second=None,
        enabled=True,
        blocked_until=None,
        blocked_reason=None,
        blocked_count=0,
        revision=1,
    )


class World:
    def __init__(self, database: Database, tenant: str, *, keyed: bool) -> None:
        self.database = database
        self.tenant = tenant
        self.time = BEGIN
        self.gates = Gates()
        self.processes = [Process(1), Process(2)]
        self.workflows: dict[str, Workflow] = {}
        self.executors: list[Executor] = []
        self.requests: list[Request] = []
        self.answers: list[str] = []
        """What the provider will do with the next requests; when there is none left it takes them."""
        self._contents = Contents(database, Vault(Vault.new_key()), 30)
        self._accounts = Accounts(tenant, keyed=keyed)
        self.messages = Messages(database)
        self._receipts = Receipts(database)
        self._acceptance = Acceptance(database, self._contents)

    def now(self) -> datetime:
        return self.time

    # What the outside does

    async def settle_in(self) -> None:
        await Tenants(self.database).create(self.tenant, self.tenant, self.time)

    async def accept(self, count: int, guarantee: Guarantee) -> Workflow:
        """Store messages that share a workflow; starting it is another step."""
        ids = [message_id() for _ in range(count)]
        batch = batch_workflow(self.tenant, batch_id()) if count > 1 else message_workflow(self.tenant, ids[0])
        content = Email(to="ada@example.com", subject="s", text="t")
        options = Options(guarantee=guarantee, retry=Preset.WEBHOOK if guarantee is Guarantee.AT_LEAST_ONCE else None)
        ready = Ready(Submission(content=content, options=options), content)
        await self._acceptance.take(self.tenant, [Draft(own, batch, None, ready) for own in ids], self.time)
        return Workflow(batch, tuple(ids), state="unknown")

    async def sweep(self) -> None:
        """What the sweeper does, whatever the age of the records: begin again what has no run and is open."""
        groups: dict[str, list[str]] = {}
        for row in await self.rows():
            if Status(row.status) in OPEN:
                groups.setdefault(row.workflow_id, []).append(row.id)
        for owner, ids in groups.items():
            workflow = self.workflows.get(owner)
            if workflow is None or workflow.state in ("completed", "failed"):
                self.start(owner, tuple(ids))
                await self.messages.mark_started(self.tenant, owner, ids, self.time)

    def start(self, owner: str, messages: tuple[str, ...], due: datetime | None = None, *, anew: bool = False) -> None:
        known = self.workflows.get(owner)
        if known is not None and known.state == "running" and not anew:
            return
        workflow = Workflow(owner, messages, run=known.run + 1 if known else 1, due=due)
        self.workflows[owner] = workflow

    async def cancel(self, message: str) -> None:
        await self._try(self.messages.cancel(self.tenant, message, actor="test", now=self.time))

    async def retry(self, message: str) -> None:
        if await self._try(self.messages.retry(self.tenant, message, actor="test", now=self.time)):
            self.start(message_workflow(self.tenant, message), (message,), anew=True)

    async def resolve(self, message: str, outcome: str) -> None:
        resolution = Resolution.model_validate({"outcome": outcome})
        done = await self._try(self.messages.resolve(self.tenant, message, resolution, actor="test", now=self.time))
        if done and outcome == "not_sent":
            self.start(message_workflow(self.tenant, message), (message,), anew=True)

    async def report(self, request: Request) -> None:
        """The provider reports a delivery of what it took."""
        event = Event(
            id=f"{request.message}/{request.number}",
            kind=Happening.DELIVERED,
            word="delivered",
            provider_message_id=_their_id(request),
        )
        await self._receipts.take(self.tenant, request.account, Channel.EMAIL, [event], self.time)
        await self._receipts.settle(self.time + timedelta(minutes=10))

    # What Temporal does

    async def hand_out(self, workflow: Workflow, process: Process) -> None:
        """Give the workflow's activity to a worker, for the first time or again."""
        executor = Executor(process, workflow, workflow.run)
        workflow.executor = executor
        self.executors.append(executor)
        ledger = SqlLedger(self.database, self._contents, Alive(self, process))  # type: ignore[arg-type]
        gated: Ledger = Gated(ledger, executor, self.gates)
        delivery = Delivery(
            Dispatch(
                tenant=self.tenant,
                owner=workflow.id,
                run=workflow.run_id,
                messages=workflow.messages,
                channel=Channel.EMAIL,
            ),
            ledger=gated,
            accounts=self._accounts,
            senders=Senders(self, executor),
            hygiene=Nothing(),
            limiter=Nothing(),
            patience=AlonePatience(Naps()),
            clock=self,
            stopping=lambda: executor.told or process.stopping,
            superseded=lambda: executor.told and not executor.is_current,
            chance=lambda: 0.0,
        )
        executor.task = asyncio.create_task(
            delivery.run(carried.unpack([workflow.details] if workflow.details else []))
        )

    def give_up_on(self, workflow: Workflow) -> None:
        """Its heartbeat is overdue, as the server sees it: the next try may begin. The old one does not know yet."""
        workflow.executor = None

    def reset(self, workflow: Workflow) -> None:
        """A new run under the same id; the old one's activity is not wanted any more."""
        messages, run = workflow.messages, workflow.run
        self.workflows[workflow.id] = Workflow(workflow.id, messages, run=run + 1)
        workflow.state = "terminated"

    async def withdraw(self, workflow: Workflow) -> None:
        """The cancel step of a workflow whose activity has ended, however it did."""
        ledger = SqlLedger(self.database, self._contents, Alive(self, None))  # type: ignore[arg-type]
        left = await ledger.withdraw(self.tenant, workflow.id, workflow.messages, "asked for in Temporal", self.time)
        if not left:
            workflow.state = "cancelled"

    async def collect(self) -> None:
        """Let everybody run until they stand at a gate, and take in what ended."""
        for _ in range(40):
            await asyncio.sleep(0)
        for executor in [one for one in self.executors if one.task is not None and one.task.done()]:
            self.executors.remove(executor)
            self._ended(executor)

    def _ended(self, executor: Executor) -> None:
        assert executor.task is not None
        workflow, current = executor.workflow, executor.is_current
        if current:
            workflow.executor = None
        try:
            progress = executor.task.result()
        except Unrecorded as unrecorded:
            if current:
                workflow.details = carried.pack(unrecorded.results)
            return
        except (Unavailable, asyncio.CancelledError):
            return
        if current and not workflow.cancelling:
            self._report(workflow, progress)

    def _report(self, workflow: Workflow, progress: Progress) -> None:
        alone = len(workflow.messages) == 1
        wait = progress.wait(self.time, alone=alone)
        workflow.details = ()
        if wait is not None:
            workflow.due = self.time + wait
            return
        assert progress.missing == 0, f"{progress.missing} records are missing"
        for message, due_at in progress.handed_off.items():
            self.start(message_workflow(self.tenant, message), (message,), due_at)
        workflow.state = "failed" if progress.ended.get(Status.FAILED) else "completed"

    # What the providers do

    def provider_answers(self, message: Outgoing, account: Account) -> AnyOutcome:
        answer = self.answers.pop(0) if self.answers else "accept"
        request = Request(message.id, message.attempt, account.name, taken=answer in ("accept", "accept, no answer"))
        assert not any((one.message, one.number) == (request.message, request.number) for one in self.requests)
        self.requests.append(request)
        answers: dict[str, AnyOutcome] = {
            "accept": Accepted(provider_id=_their_id(request)),
            "accept, no answer": OutcomeUnknown(error_code="timeout"),
            "refuse, no answer": OutcomeUnknown(error_code="timeout"),
            "busy": Transient(status_code=503),
            "refuse": MessageRejected(status_code=400),
            "nobody there": RecipientRejected(status_code=550),
        }
        return answers[answer]

    # What dies

    async def kill(self, process: Process, *, made: bool) -> None:
        process.alive = False
        killed = [one for one in self.executors if one.process is process]
        self.executors = [one for one in self.executors if one.process is not process]
        for executor in killed:
            if executor.is_current:
                executor.workflow.executor = None
            await self.gates.abandon(executor, made=made)
            if executor.task is not None:
                executor.task.cancel()
                await asyncio.gather(executor.task, return_exceptions=True)
        self.processes.append(Process(max(one.number for one in self.processes) + 1))

    # What is on record

    async def rows(self) -> Sequence[Row[Any]]:
        return await self.database.rows(_ROWS, {"tenant": self.tenant})

    async def attempts(self) -> Mapping[tuple[str, int], Row[Any]]:
        rows = await self.database.rows(_ATTEMPTS, {"tenant": self.tenant})
        return {(row.message_id, row.number): row for row in rows}

    async def words(self) -> set[str]:
        """Messages about which somebody has said that they are to be sent again, or what became of them."""
        return {row.message_id for row in await self.database.rows(_WORDS, {"tenant": self.tenant})}

    async def _try(self, move: Any) -> bool:
        try:
            await move
        except Conflict:
            return False
        return True


def _their_id(request: Request) -> str:
    return f"their-{request.message}-{request.number}"


def may_have_arrived(outcome: str | None) -> bool:
    """Whether the record leaves it open that the request was taken."""
    return outcome is None or outcome in (Outcome.ACCEPTED.value, Outcome.UNKNOWN.value)
