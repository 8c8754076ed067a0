"""A world of messages in which everything may go wrong: providers know what they took, and the record has to.

There are two accounts. Either may be pointed at another account of its provider while requests are under way, under the
name that it had: it is another account then, that knows nothing of earlier requests.
"""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final

from sqlalchemy import text

from activities.dispatch.progress import DispatchInput, DispatchProgress
from activities.notifications import heartbeat_details
from activities.notifications.account_sender import SingleMessageWait
from activities.notifications.dispatcher import MessageDispatcher
from activities.notifications.rate_limits import RateWaiters
from hermod.contracts.errors import Unavailable
from hermod.contracts.ids import batch_workflow, message_workflow
from hermod.contracts.notifications.content import AnyContent, Channel, Email
from hermod.contracts.notifications.messages import Guarantee, Options, Outcome, Resolution, Status, Submission
from hermod.contracts.notifications.outcomes import (
    Accepted,
    AnyOutcome,
    MessageRejected,
    OutcomeUnknown,
    RecipientRejected,
    Transient,
)
from hermod.contracts.notifications.receipts import ReceiptEventType
from hermod.contracts.notifications.retries import Preset
from hermod.contracts.tenants.accounts import Account
from hermod.domain.states import OPEN
from hermod.ports.notifications.ledger import Ledger
from hermod.ports.notifications.receipts import Event
from hermod.ports.notifications.sender import Capability, Outgoing
from hermod.storage.database.engine import Database
from hermod.storage.notifications.acceptance import Acceptance, Draft, Ready
from hermod.storage.notifications.ledger import SqlLedger
from hermod.storage.notifications.messages import Messages
from hermod.storage.notifications.receipts import Receipts
from tests.integration.protocol.nothing import Nothing
from tests.integration.protocol.simulation import Executor, Gated
from tests.integration.protocol.world import Alive, Child, Heard, Watched, Workflow, World

_LOOK: Final = text("""
    SELECT m.id, m.status, m.workflow_id, m.guarantee, m.not_after, m.attempt_count, m.finished_at,
           EXISTS (SELECT 1 FROM message_contents c
                    WHERE c.tenant_id = m.tenant_id AND c.message_id = m.id) AS has_content,
           EXISTS (SELECT 1 FROM decisions d WHERE d.tenant_id = m.tenant_id AND d.message_id = m.id
                                               AND (d.kind = 'resolve' OR d.verdict = 'reopened')) AS has_word,
           m.late_success_number, a.number, a.account, a.outcome, a.error_code, a.late_at, a.worker, a.ends_by,
           coalesce(a.error_code = 'worker_lost', false) AS lost
      FROM messages m LEFT JOIN attempts a ON a.tenant_id = m.tenant_id AND a.message_id = m.id
     WHERE m.tenant_id = :tenant ORDER BY m.id, a.number
""")
"""`has_word`: somebody has said that it is to be sent again, or what became of it."""


@dataclass(frozen=True)
class Request:
    """A request as the provider saw it, and whether it took the message."""

    message: str
    number: int
    account: str
    identity: int
    """Counts the real accounts that the name has stood for."""
    taken: bool


class Sender:
    """A provider's account: the request arrives, and its answer comes, in two steps."""

    def __init__(self, world: MessageWorld, executor: Executor, account: Account) -> None:
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
            return self._world.provider_answers(message, self._account, self._executor)

        try:
            outcome: AnyOutcome = await self._world.gates.pass_through(self._executor, "request", arrive)
        except Unavailable:
            # The connection broke before or after the request was taken; nobody here can say which.
            return OutcomeUnknown(error_code="reset")
        if outcome.kind is not Outcome.UNKNOWN:
            self._world.heard[message.id, message.attempt] = Heard(self._executor, outcome.kind.value)
        return outcome

    def cannot_express(self, content: AnyContent) -> str | None:
        return None

    async def aclose(self) -> None:
        return None


@dataclass
class Senders:
    world: MessageWorld
    executor: Executor

    def sender(self, account: Account) -> Sender:
        return Sender(self.world, self.executor, account)


class Accounts:
    """Two accounts: one whose provider recognises a repeat, where the world has it first, and one whose does not."""

    def __init__(self, tenant: str, *, keyed: bool) -> None:
        names = ("keyed", "plain") if keyed else ("plain", "other")
        self._accounts = [_account(tenant, name, order) for order, name in enumerate(names)]

    def point_elsewhere(self, which: int) -> None:
        """The name means another account of the provider from now on."""
        at = which % len(self._accounts)
        revision = self._accounts[at].revision + 1
        changes = {"revision": revision, "identity_revision": revision}
        self._accounts[at] = self._accounts[at].model_copy(update=changes)

    def block_until(self, until: datetime) -> None:
        """All of them: messages have to wait."""
        changes = {"blocked_until": until, "blocked_reason": "a test"}
        self._accounts = [account.model_copy(update=changes) for account in self._accounts]

    async def for_channel(self, tenant: str, channel: Channel, *, fresh: bool = False) -> Sequence[Account]:
        return list(self._accounts)

    async def block(self, *args: object) -> None:
        return None

    def failed(self, *args: object) -> bool:
        return False

    def worked(self, *args: object) -> None:
        return None

    async def claim_probe(self, *args: object) -> bool:
        return True

    async def unblock(self, *args: object) -> None:
        return None


class MessageWorld(World):
    KIND = "message"
    IDEMPOTENT = frozenset({"keyed"})
    LOOK = _LOOK
    TABLES: ClassVar = ("messages", "message_contents", "attempts", "decisions", "receipts", "audit", "event_batches")

    def __init__(self, database: Database, tenant: str, *, keyed: bool) -> None:
        super().__init__(database, tenant)
        self.requests: list[Request] = []
        self.accounts = Accounts(tenant, keyed=keyed)
        self._messages = Messages(database)
        self._receipts = Receipts(database)
        self._acceptance = Acceptance(database, self.contents)

    # What the outside does

    async def accept(self, count: int, guarantee: Guarantee, lives: int | None = None) -> None:
        """Store messages that share a workflow; starting it is another step. `lives`: minutes until `not_after`."""
        ids = [self.new_id("msg") for _ in range(count)]
        batch = batch_workflow(self.tenant, self.new_id("bat")) if count > 1 else message_workflow(self.tenant, ids[0])
        content = Email(to="ada@example.com", subject="s", text="t")
        not_after = self.time + timedelta(minutes=lives) if lives is not None else None
        preset = Preset.WEBHOOK if guarantee is Guarantee.AT_LEAST_ONCE else None
        options = Options(guarantee=guarantee, retry=preset, not_after=not_after)
        ready = Ready(Submission(content=content, options=options), content)
        await self._acceptance.take(self.tenant, [Draft(own, batch, None, ready) for own in ids], self.time)

    async def cancel(self, message: str) -> None:
        await self.allowed(self._messages.cancel(self.tenant, message, actor="test", now=self.time))

    async def retry(self, message: str, *, started: bool) -> None:
        await self._begin_again(
            message, self._messages.retry(self.tenant, message, actor="test", now=self.time), started
        )

    async def resolve(self, message: str, outcome: str, *, started: bool) -> None:
        resolution = Resolution.model_validate({"outcome": outcome})
        move = self._messages.resolve(self.tenant, message, resolution, actor="test", now=self.time)
        await self._begin_again(message, move, started and outcome == "not_sent")

    async def discard(self, message: str) -> None:
        await self.allowed(self._messages.discard(self.tenant, message, actor="test", now=self.time))

    async def provider_reports(self, request: Request, *, by_our_id: bool) -> None:
        """The provider reports a delivery of what it took, maybe before the answer to the request has come."""
        event = Event(
            id=f"{request.message}/{request.number}",
            kind=ReceiptEventType.DELIVERED,
            word="delivered",
            message_id=request.message if by_our_id else None,
            provider_message_id=_their_id(request),
        )
        await self._receipts.take(self.tenant, request.account, Channel.EMAIL, [event], self.time)

    async def settle_reports(self) -> None:
        """Reports that came before the outcome of their request are looked at again."""
        await self._receipts.settle(self.time + timedelta(minutes=10))

    async def _begin_again(self, message: str, move: Awaitable[Any], started: bool) -> None:
        """`started`: the call that asked for it lived to start the workflow, else the sweeper does."""
        if await self.allowed(move) and started:
            own = message_workflow(self.tenant, message)
            self.start(own, (message,), anew=True)
            await self.mark_started(own, [message])

    # What a worker does

    def work(self, executor: Executor) -> Coroutine[Any, Any, DispatchProgress]:
        workflow = executor.run
        assert isinstance(workflow, Workflow)
        ledger = SqlLedger(self.database, self.contents, Alive(self, executor.process))  # type: ignore[arg-type]
        gated: Ledger = Gated(Watched(ledger, self), executor, self.gates)
        delivery = MessageDispatcher(
            DispatchInput(
                tenant=self.tenant,
                owner=workflow.id,
                run=workflow.run_id,
                messages=workflow.members,
                channel=Channel.EMAIL,
            ),
            ledger=gated,
            accounts=self.accounts,
            senders=Senders(self, executor),
            hygiene=Nothing(),
            limiter=Nothing(),
            rate_wait=SingleMessageWait(RateWaiters()),
            clock=self,
            stopping=executor.stopping,
            superseded=executor.superseded,
            chance=lambda: 0.0,
        )
        return delivery.run(heartbeat_details.decode(workflow.details))

    def encode(self, results: Sequence[Any]) -> list[list[Any]]:
        return heartbeat_details.encode(results)

    def leaving(self, workflow: Workflow, progress: DispatchProgress) -> list[Child]:
        return [
            Child(message_workflow(self.tenant, message), (message,), due_at)
            for message, due_at in sorted(progress.handed_off.items())
        ]

    async def close_records(self, workflow: Workflow) -> int:
        ledger = SqlLedger(self.database, self.contents, Alive(self, None))  # type: ignore[arg-type]
        return await ledger.withdraw(self.tenant, workflow.id, workflow.members, "asked for in Temporal", self.time)

    # What the providers do

    def provider_answers(self, message: Outgoing, account: Account, executor: Executor) -> AnyOutcome:
        not_after = self.records[message.id].not_after
        assert not_after is None or executor.since <= not_after, f"requested after {not_after}: {message.id}"
        answer = self.answers.pop(0) if self.answers else "accept"
        taken = answer in ("accept", "accept, no answer")
        request = Request(message.id, message.attempt, account.name, account.identity_revision, taken)
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

    # What holds

    async def help_out(self) -> None:
        await self.settle_reports()

    async def check(self) -> None:
        attempts = self.attempts
        for row in self.records.values():
            numbers = sorted(number for message, number in attempts if message == row.id)
            assert numbers == list(range(1, row.attempt_count + 1)), (row.id, numbers)
            assert (row.finished_at is None) == (Status(row.status) in OPEN), row
            assert row.finished_at is not None or row.has_content, f"open, and its content is gone: {row}"
            asked = sorted((one for one in self.requests if one.message == row.id), key=lambda one: one.number)
            for request in asked:
                assert (row.id, request.number) in attempts, "a request that is not on record"
            if row.has_word:
                continue
            for earlier, later in itertools.pairwise(asked):
                was = attempts[row.id, earlier.number]
                same = (earlier.account, earlier.identity) == (later.account, later.identity)
                repeat_is_safe = same and earlier.account == "keyed"
                if row.guarantee == Guarantee.AT_MOST_ONCE and not repeat_is_safe:
                    assert not earlier.taken, f"at_most_once was requested twice: {asked}"
                if earlier.taken:
                    called_unknown = was.outcome == Outcome.UNKNOWN or later.number <= (was.late_success_number or 0)
                    assert called_unknown, f"a repeat in silence: {asked}, {was}"
            for request in asked:
                on_record = attempts[row.id, request.number]
                never = on_record.error_code == "not_started"
                assert not (request.taken and never), "called never made, and was taken"
            if row.status in (Status.FAILED, Status.EXPIRED, Status.CANCELLED, Status.SUPPRESSED):
                # What ended as not sent may have arrived only where the record says that nobody knows.
                for request in asked:
                    if request.taken:
                        assert may_have_arrived(attempts[row.id, request.number].outcome)

    async def mark_started(self, owner: str, members: Sequence[str]) -> None:
        await self._messages.mark_started(self.tenant, owner, members, self.time)


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


def _their_id(request: Request) -> str:
    return f"their-{request.message}-{request.number}"


def may_have_arrived(outcome: str | None) -> bool:
    """Whether the record leaves it open that the request was taken."""
    return outcome is None or outcome in (Outcome.ACCEPTED.value, Outcome.UNKNOWN.value)
