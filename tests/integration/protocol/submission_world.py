"""A world of submissions: the user's own backend and the world outside know what they were told, and the record has to.

The activity is the product's own, and so are the ledger, the payments and the sweeper's statements. An executor has the
clock of its beginning, so that what it decides is from then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, ClassVar, Final

from sqlalchemy import Row, text
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.forms.submissions import SubmissionActivities
from activities.interceptor import translated
from hermod.contracts.errors import Unavailable
from hermod.contracts.forms.forms import (
    FormInput,
    FormMoment,
    PaymentStatus,
    ProcessSubmissionInput,
    SubmissionInput,
    SubmissionStatus,
    SubmissionStep,
)
from hermod.contracts.ids import submission_workflow
from hermod.domain.forms.schemas import compiled
from hermod.domain.forms.submissions import Tell
from hermod.domain.payments.payments import Fact, FactKind
from hermod.domain.payments.stripe_events import StripeEvent
from hermod.ports.forms.forms import Announced, Announcement
from hermod.ports.forms.submissions import BackendAway, BackendRefused, SubmissionRecord
from hermod.storage.database.engine import Database
from hermod.storage.forms.forms import Form
from hermod.storage.forms.orphans import OrphanedSubmissions
from hermod.storage.forms.payments import Payments, Unannounced
from hermod.storage.forms.submission_acceptance import SubmissionAcceptance, SubmissionDraft
from hermod.storage.forms.submission_steps import SqlSubmissionLedger
from hermod.storage.forms.submissions import Submissions
from hermod.storage.operations.orphaned_records import Limit
from hermod.storage.operations.promises import Promises
from starter.housekeeping.sweep_table import LEDGERS, PAYMENTS
from tests.integration.protocol.simulation import BEGIN, Executor, Gated, Run, Simulation

_LIMIT: Final = Limit(workflows=100, records=100)
EXPIRES_IN: Final = timedelta(hours=2)
_PAID: Final = (PaymentStatus.PAID, PaymentStatus.PARTIALLY_REFUNDED)
_ROWS: Final = text("SELECT * FROM form_submissions WHERE tenant_id = :tenant ORDER BY id")


@dataclass(eq=False)
class Flow(Run):
    """A run of ProcessSubmission."""

    submission: str = ""
    is_reset: bool = False
    woken: bool = False
    asks: bool = False
    """Its activity is under way, in its first try or a later one."""


@dataclass(frozen=True)
class Seen:
    """How a submission stood at the last look, and how often somebody had begun it again or paid by then."""

    status: SubmissionStatus
    finished: bool
    fencing_token: int
    payment_version: int
    begun_again: int


class SimulatedBackend:
    """The user's own backend: the request arrives, and its answer comes, in two steps."""

    def __init__(self, world: SubmissionWorld, executor: Executor) -> None:
        self._world = world
        self._executor = executor

    async def save(self, record: SubmissionRecord) -> str | None:
        async def arrive() -> str:
            return self._world.backend_is_asked(record)

        try:
            answer: str = await self._world.gates.pass_through(self._executor, "save", arrive)
        except Unavailable:
            raise BackendAway("backend_reset", "the connection broke") from None
        if answer == "away":
            raise BackendAway("backend_503", "the backend answered 503")
        if answer == "refused":
            raise BackendRefused("backend_400", "the backend answered 400")
        return answer


class SimulatedAnnouncer:
    def __init__(self, world: SubmissionWorld, executor: Executor) -> None:
        self._world = world
        self._executor = executor

    async def announce(self, told: Announcement) -> Announced:
        async def arrive() -> Announced:
            self._world.hear(self._executor, told)
            return Announced()

        answer: Announced = await self._world.gates.pass_through(self._executor, "announce", arrive)
        return answer


class SubmissionWorld(Simulation):
    TABLES: ClassVar = ("form_submissions", "payment_events", "journey_steps", "audit", "event_batches")

    def __init__(self, database: Database, tenant: str) -> None:
        super().__init__(database, tenant)
        self.flows: dict[str, Flow] = {}
        self.saved: dict[str, str] = {}
        """What the backend has, with its own ids."""
        self.announced: dict[str, list[str]] = {}
        """Marks of the moments that were announced, by submission, in their order."""
        self.begun_again: dict[str, int] = {}
        """How often a submission was retried, reset or paid."""
        self.untold: list[Unannounced] = []
        """Payments that changed, and whose submission has yet to hear of it."""
        self._seen: dict[str, Seen] = {}
        self._submissions = Submissions(database, self.contents)
        self._acceptance = SubmissionAcceptance(database, self.contents)
        self._payments = Payments(database)
        self._orphaned = OrphanedSubmissions(database)

    def runs(self) -> Sequence[Flow]:
        return list(self.flows.values())

    # What the outside does

    async def accept(self, *, paid: bool) -> None:
        payment = {"required": True, "expires_in": EXPIRES_IN} if paid else None
        definition = FormInput.model_validate({"name": "Order", "schema": {}, "payment": payment})
        form = Form("order", 1, definition, compiled({}))
        draft = SubmissionDraft(
            id=self.new_id("sub"), form=form, asked=SubmissionInput(data={}), data={}, key=None, request_id=None
        )
        await self._acceptance.take(self.tenant, draft, self.time)

    async def payment_event(self, submission: str, kind: FactKind) -> None:
        """A payment provider tells something; waking the workflow is another step."""
        own = self.new_id("evt")
        payment, refunded = f"pi_{submission}", kind is FactKind.REFUNDED
        amount, whole = (50, 100) if refunded else (100, None)
        fact = Fact(kind, self.time, payment=payment, amount=amount, whole=whole, currency="eur")
        event = StripeEvent(
            id=own, type=kind.value, at=self.time, livemode=False, submission=submission, payment=payment, fact=fact
        )
        taken = await self._payments.take(self.tenant, event, self.time)
        if taken.changed is not None:
            self._again(submission)
        if taken.untold is not None:
            self.untold.append(taken.untold)

    async def tell(self, untold: Unannounced, *, marked: bool) -> None:
        """`marked`: who woke the workflow lived to write that down."""
        self.untold = [one for one in self.untold if one is not untold]
        self.wake(untold.submission)
        if marked:
            await self._payments.mark_woken(untold, self.time + PAYMENTS.stalled_after)

    async def retry(self, submission: str, *, started: bool) -> None:
        """`started`: the call that asked for it lived to start the workflow, else the sweeper does."""
        if not await self.allowed(self._submissions.retry(self.tenant, submission, actor="test", now=self.time)):
            return
        self._again(submission)
        if started:
            self._begin(submission, anew=True)
            await self._submissions.mark_started(self.tenant, submission, self.time)

    async def sweep(self) -> None:
        # In an order of their own: the database has none for what came at the same moment.
        unstarted = await self._orphaned.unstarted(self.time, older_than=LEDGERS.unstarted_after, limit=_LIMIT)
        for found in sorted(unstarted, key=lambda one: one.id):
            self._begin(found.id)
            await self._submissions.mark_started(self.tenant, found.id, self.time)
        stalled = await self._orphaned.stalled(self.time, older_than=LEDGERS.stalled_after, limit=_LIMIT)
        for found in sorted(stalled, key=lambda one: one.id):
            flow = self.flows.get(found.id)
            if flow is None or flow.state == "completed":
                self._begin(found.id)
                await self._submissions.mark_started(self.tenant, found.id, self.time)
            elif flow.state == "running":
                await self._orphaned.touch([found], self.time)
            else:
                await self._orphaned.dead_letter(
                    [found],
                    flow.run_id,
                    "its workflow was closed",
                    self.time,
                    untouched_since=self.time - LEDGERS.stalled_after,
                )
        for untold in sorted(await self._payments.untold(self.time, older_than=PAYMENTS.unstarted_after, limit=100)):
            await self.tell(untold, marked=True)

    # What Temporal does

    def wake(self, submission: str) -> None:
        """Signal the workflow, and start it where it has ended."""
        self._begin(submission)
        self.flows[submission].woken = True

    def reset(self, flow: Flow) -> None:
        """A new run, made by an operator of an older one."""
        flow.state = "terminated"
        self.flows[flow.submission] = Flow(flow.id, flow.number + 1, submission=flow.submission, is_reset=True)
        self._again(flow.submission)

    def terminate(self, flow: Flow) -> None:
        flow.state = "terminated"

    def _begin(self, submission: str, *, anew: bool = False) -> None:
        known = self.flows.get(submission)
        if known is not None and known.state == "running":
            if not anew:
                return
            known.state = "terminated"
        number = known.number + 1 if known else 1
        self.flows[submission] = Flow(submission_workflow(self.tenant, submission), number, submission=submission)

    def _again(self, submission: str) -> None:
        self.begun_again[submission] = self.begun_again.get(submission, 0) + 1

    # What a worker does

    async def work(self, executor: Executor) -> SubmissionStep:
        flow = _flow(executor)
        if not flow.asks:
            flow.asks, flow.woken = True, False
        ledger: Any = Gated(SqlSubmissionLedger(self.database, self.contents), executor, self.gates)
        activities = SubmissionActivities(ledger, SimulatedBackend(self, executor), SimulatedAnnouncer(self, executor))
        environment = ActivityEnvironment()
        environment.info = replace(
            environment.info, started_time=self.time, workflow_id=flow.id, workflow_run_id=flow.run_id
        )
        order = ProcessSubmissionInput(tenant=self.tenant, submission=flow.submission, is_reset=flow.is_reset)

        async def process() -> SubmissionStep:
            async with translated():
                return await activities.process_submission(order)

        step: SubmissionStep = await environment.run(process)
        return step

    async def report(self, executor: Executor, work: asyncio.Task[SubmissionStep]) -> None:
        await asyncio.wait([work])
        try:
            step = work.result()
        except ApplicationError as error:
            if error.non_retryable:
                raise
            await self.say(executor, "failure", lambda: self.take_failure(executor))
        else:
            await self.say(executor, "report", lambda: self._take_step(executor, step))

    async def _take_step(self, executor: Executor, step: SubmissionStep) -> None:
        """What the workflow makes of it (`workflows.forms.process_submission`)."""
        flow = _flow(executor)
        if not executor.is_current:
            return
        flow.executor, flow.asks, flow.due = None, False, None
        failed = step.status is SubmissionStatus.FAILED
        if flow.is_reset and failed and step.run != flow.run_id:
            return
        if step.wait_until is not None:
            flow.due = None if flow.woken else max(step.wait_until, self.time + timedelta(seconds=1))
        elif not flow.woken:
            flow.state = "failed" if failed else "completed"

    # What the backend and the world outside do

    def backend_is_asked(self, record: SubmissionRecord) -> str:
        assert not record.standing.saved, "asked again for what it has"
        answer = self.answers.pop(0) if self.answers else "accept"
        if answer in ("away", "refused"):
            return answer
        return self.saved.setdefault(record.id, f"theirs-{len(self.saved) + 1}")

    def hear(self, executor: Executor, told: Announcement) -> None:
        """A repeat is nothing new. Who has not been superseded tells nothing that is out of date."""
        mark = Tell(told.moment, told.turn).mark
        heard = self.announced.setdefault(told.reference, [])
        if mark in heard:
            return
        if executor.is_current and told.moment is FormMoment.EXPIRED:
            assert FormMoment.COMPLETED.value not in heard, f"expired after its completion: {heard}"
        heard.append(mark)

    # What holds

    async def rows(self) -> Sequence[Row[Any]]:
        return await self.database.rows(_ROWS, {"tenant": self.tenant})

    async def check(self) -> None:
        for row in await self.rows():
            self._check_told(row)
            self._check_end(row)

    def _check_told(self, row: Row[Any]) -> None:
        marks, heard = list(row.announced), self.announced.get(row.id, [])
        assert len(set(marks)) == len(marks), f"on record twice: {marks}"
        assert set(marks) <= set(heard), f"on record, and never announced: {marks}, {heard}"
        assert (row.saved_at is None) or row.id in self.saved, "on record as saved, and the backend has nothing"
        assert row.backend_id in (None, self.saved.get(row.id)), "another id than the backend's"
        completed, paid = FormMoment.COMPLETED.value, FormMoment.PAID.value
        if row.payment_expires_at is not None and completed in heard:
            assert paid in heard[: heard.index(completed)], f"completed before it was paid: {heard}"

    def _check_end(self, row: Row[Any]) -> None:
        """What has ended stays as it is, unless somebody retries, resets or pays."""
        status, again = SubmissionStatus(row.status), self.begun_again.get(row.id, 0)
        now = Seen(status, row.finished_at is not None, row.fencing_token, row.payment_version, again)
        before, self._seen[row.id] = self._seen.get(row.id), now
        if before is None:
            return
        assert before.fencing_token <= now.fencing_token
        assert before.payment_version <= now.payment_version
        # A run that was reset begins again what another run gives up, be it after the reset.
        reopened = before.status is SubmissionStatus.FAILED and self.flows[row.id].is_reset
        if before.finished and before.begun_again == now.begun_again and not reopened:
            assert (before.status, True) == (now.status, now.finished), f"{before} became {now}"
        if before.status is SubmissionStatus.COMPLETED:
            assert (now.status, now.finished) == (SubmissionStatus.COMPLETED, True), f"{before} became {now}"

    # The end

    async def work_on(self) -> bool:
        asks = [flow for flow in self.running() if flow.executor is None]
        if not asks and not self.untold and all(_is_over(row) for row in await self.rows()):
            return False
        for flow in asks:
            if flow.due is None or flow.due <= self.time or flow.woken:
                await self.hand_out(flow, self.workers()[0])
        for untold in list(self.untold):
            await self.tell(untold, marked=True)
        for row in await self.rows():
            if row.finished_at is None and row.payment_status == PaymentStatus.PROCESSING:
                await self.payment_event(row.id, FactKind.FAILED)
        self.time += timedelta(hours=1)
        await self.sweep()
        return True

    async def check_the_end(self) -> None:
        for row in await self.rows():
            assert _is_over(row), f"stranded: {row.id} {row.status} {row.untold_since}"
            if row.status == SubmissionStatus.FAILED:
                continue
            unrecorded = set(self.announced.get(row.id, [])) - set(row.announced)
            assert all(_is_overtaken(row, mark) for mark in unrecorded), f"announced, and not on record: {unrecorded}"
            if row.payment_status in _PAID or row.payment_expires_at is None:
                assert row.status == SubmissionStatus.COMPLETED, f"paid, and {row.status}"
            if row.payment_refunds:
                told = Tell(FormMoment.REFUNDED, str(row.payment_refunds)).mark
                assert told in row.announced, f"{told} was not announced: {row.announced}"
        found: Mapping[Any, Any] = await Promises(self.database, frozenset()).audit(
            self.time, since=BEGIN - timedelta(days=1)
        )
        broken = [one for name, some in found.items() if name.kind == "submission" for one in some]
        assert not [one for one in broken if one.tenant == self.tenant], broken


def _is_over(row: Row[Any]) -> bool:
    return row.finished_at is not None and (row.untold_since is None or row.status == SubmissionStatus.FAILED)


def _is_overtaken(row: Row[Any], mark: str) -> bool:
    """Whether the payment has said more since that moment. Who died between announcing it and writing that down has
    nobody who announces it again then."""
    moment, _, turn = mark.partition(":")
    match FormMoment(moment):
        case FormMoment.PAYMENT_FAILED:
            return row.payment_status != PaymentStatus.FAILED or turn != str(row.payment_failures)
        case FormMoment.REFUNDED:
            return turn != str(row.payment_refunds)
        case FormMoment.EXPIRED:
            return row.payment_status in (*_PAID, PaymentStatus.REFUNDED)
        case _:
            return False


def _flow(executor: Executor) -> Flow:
    assert isinstance(executor.run, Flow)
    return executor.run
