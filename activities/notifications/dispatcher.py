"""One dispatch of a delivery, for one message as for five hundred: decide from the ledger, send, record.

The order is the guarantee: an intent is committed before its request leaves, the outcome after. Whatever dies in
between leaves an intent without an outcome, and the next dispatch knows that this request is in doubt. While the worker
that makes it lives, it is left to that worker: the next dispatch waits for its end (docs/protocols.md).
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final

from activities.dispatch.progress import DispatchInput, DispatchProgress, due, leave_to_others
from activities.dispatch.recording import finish_despite_cancellation
from activities.notifications.account_breaker import claim_probe, refused, update_breaker
from activities.notifications.account_sender import AccountSender, Deferred, RateWait, TaskScope
from activities.notifications.heartbeat_details import HeartbeatDetails, told_of
from activities.notifications.ledger_session import LedgerSession
from activities.notifications.rate_limits import RateLimitGate
from activities.notifications.request_slots import RequestSlots
from activities.notifications.requests import (
    NOT_STARTED,
    SendJob,
    is_batchable,
    send_all,
    share,
    wave_sizes,
)
from activities.notifications.transitions import (
    NO_ACCOUNT_WAIT,
    AttemptResult,
    choice_for,
    end_as_unknown,
    expired,
    forgotten,
    held_back,
    pinned_account,
    settle,
    standing,
    suppressed,
    unprepared,
    waiting,
)
from activities.notifications.unsubscribing import content_with_link
from hermod.contracts.errors import InvalidInput, Unavailable
from hermod.contracts.notifications.content import Channel
from hermod.contracts.notifications.outcomes import Accepted, OutcomeUnknown
from hermod.contracts.tenants.accounts import Account
from hermod.domain.notifications.delivery import FailOver, Retry, Step, after, after_lost_worker
from hermod.domain.notifications.routing import NoRoute, Route, eligible, route
from hermod.ports.clock import Clock
from hermod.ports.notifications.hygiene import AddressFeedback
from hermod.ports.notifications.ledger import Accounts, Change, Ending, Item, Ledger, Result
from hermod.ports.notifications.limiter import Limiter
from hermod.ports.notifications.sender import Outgoing, SenderFactory
from hermod.ports.notifications.unsubscribing import UnsubscribeLinks
from hermod.telemetry import fault, get_logger

FORGOTTEN: Final = "outcome unknown for so long that the provider would not recognise a repeat"
REPOINTED: Final = "outcome unknown, and the account that was asked is another one by now"
LONGEST_WAIT: Final = timedelta(seconds=30)
"""A dispatch that is held back by a rate ends after so long: the next one reads its messages afresh."""

_log = get_logger(__name__)

LOST = OutcomeUnknown(error_code="worker_lost", error="the worker was lost while the request was on its way")


class MessageDispatcher:
    """One dispatch. `stopping`: no new wave should begin; `superseded`: another dispatch has the work."""

    def __init__(
        self,
        work: DispatchInput,
        *,
        ledger: Ledger,
        accounts: Accounts,
        senders: SenderFactory,
        hygiene: AddressFeedback,
        limiter: Limiter,
        rate_wait: RateWait,
        clock: Clock,
        stopping: Callable[[], bool],
        superseded: Callable[[], bool] = lambda: False,
        chance: Callable[[], float] = random.random,
        links: UnsubscribeLinks | None = None,
        slots: RequestSlots | None = None,
    ) -> None:
        self._work = work
        self._slots = slots or RequestSlots()
        self._books = LedgerSession(work, ledger, clock=clock, stopping=stopping, superseded=superseded)
        self._accounts = accounts
        self._senders = senders
        self._hygiene = hygiene
        self._limiter = limiter
        self._rate_wait = rate_wait
        self._clock = clock
        self._stopping = stopping
        self._chance = chance
        self._links = links
        self._known: list[Account] = []
        self._in_order: dict[str | None, tuple[Account, ...]] = {}
        self._sizes: dict[tuple[str, bool], Iterator[int]] = {}
        self._ends_by: datetime | None = None
        """When this dispatch ends although messages are left; None while no rate has held one back."""
        self._progress = DispatchProgress()

    async def run(self, carried: HeartbeatDetails) -> DispatchProgress:
        """Bring the messages as far as they can go now. Raises Unavailable, and OutcomesNotPersisted with what must be
        kept.
        """
        items = await self._books.open()
        await self._settle_in_flight([item for item in items if item.in_flight is not None], carried)
        now = self._clock.now()
        busy = leave_to_others(items, self._progress, now)
        free = [item for item in items if self._books.may_go_on(item)]
        ready = due(free, now, asked_now=not (busy or self._books.any_fenced))
        while (ready := await self._drop(ready)) and not self._stopping() and not self._is_overdue():
            ready = await self._send(await self._route(ready))
        return await self._books.conclude(self._progress)

    async def _settle_in_flight(self, items: Sequence[Item], carried: HeartbeatDetails) -> None:
        """Requests that an earlier dispatch made and did not record: what it passed on, or unknown.

        One that another worker still makes is neither: it stays in flight.
        """
        results = []
        if items:
            await self._read_accounts()
        for item in items:
            asked = item.in_flight
            told = told_of(carried, item.id, item.attempts, asked) if asked is not None else None
            if asked is None or (told is None and not asked.lost):
                continue
            outcome, duration = told or (LOST, None)
            safe = self._is_idempotent(asked.account) and not asked.shared
            where = standing(item, self._account(asked.account), idempotent=safe, together=asked.shared)
            now = self._clock.now()
            answer = AttemptResult(
                asked.account, item.attempts, outcome, duration, asked.account_revision, asked.ends_by
            )
            if outcome is LOST:
                step = after_lost_worker(where, now)
            elif outcome.error_code == NOT_STARTED.error_code:
                step = _not_made(item)
            else:
                step = after(outcome, where, now, self._chance())
            results.append(self._settled(item, answer, step, now))
        await self._books.record(results)

    async def _drop(self, items: list[Item]) -> list[Item]:
        """End what must not be sent any more: it is too late, the address gets nothing, or it might arrive twice.

        What the ledger does not let end goes no further either.
        """
        now = self._clock.now()
        late = [item for item in items if item.not_after is not None and item.not_after <= now]
        barred = [item for item in items if item.suppressed is not None and item not in late]
        risky = [item for item in items if forgotten(item, now) and item not in late and item not in barred]
        await self._books.change(
            [expired(item, "not_after has passed") for item in late]
            + [suppressed(item) for item in barred]
            + [end_as_unknown(item, FORGOTTEN) for item in risky]
        )
        return [item for item in items if self._books.may_go_on(item)]

    async def _route(self, items: Sequence[Item]) -> list[SendJob]:
        """An account for each item; those that have none now are put down as waiting."""
        await self._read_accounts()
        now, fresh = self._clock.now(), False
        jobs: list[SendJob] = []
        changes: list[Change] = []
        for item in items:
            found = await self._account_for(item, now)
            if isinstance(found, NoRoute) and not fresh:
                # Before anything waits: an account may have been put, or mended, since the list was read.
                await self._read_accounts(fresh=True)
                found, fresh = await self._account_for(item, now), True
            if found is None:
                changes.append(end_as_unknown(item, REPOINTED))
            elif isinstance(found, Route):
                try:
                    jobs.append(self._job(item, found))
                except Exception as error:  # noqa: BLE001 - whatever it is, it is this message's
                    changes.append(unprepared(item, error))
            else:
                any_enabled = bool(self._eligible(item.requested_account))
                changes.append(waiting(item, found, any_enabled=any_enabled, now=now))
                self._progress.reason = found.reason
        await self._books.change(changes)
        return jobs

    def _is_repointed(self, item: Item) -> bool:
        """Whether the only account that may be asked again is not the one that was asked, though it has its name."""
        name, asked = pinned_account(item), item.doubtful_revision
        if name is None or asked is None:
            return False
        return any(account.name == name and account.identity_revision > asked for account in self._known)

    async def _account_for(self, item: Item, now: datetime) -> Route | NoRoute | None:
        """A half-open account gets one message: whoever wins the probe takes it, everybody else sees it blocked. None
        where the only account that may be asked again is another one by now."""
        if self._is_repointed(item):
            return None
        while True:
            found = self._look_up(item, now)
            if isinstance(found, NoRoute) or not found.probe:
                return found
            won, until = await claim_probe(self._accounts, self._work.tenant, found.account, now)
            at = self._known.index(found.account)
            self._known[at] = found.account.model_copy(update={"blocked_until": until})
            self._in_order.clear()
            if won:
                return found

    def _look_up(self, item: Item, now: datetime) -> Route | NoRoute:
        def unfit(account: Account) -> str | None:
            try:
                return self._senders.sender(account).cannot_express(item.content)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is this message's
                _log.error("content_not_weighed", message_id=item.id, account=account.name, **fault(error))
                return f"{account.name} cannot make anything of the content ({type(error).__name__})"

        accounts = self._eligible(pinned_account(item) or item.requested_account)
        return route(accounts, item.tried, unfit, now, choice=choice_for(item))

    def _eligible(self, requested: str | None) -> tuple[Account, ...]:
        if requested not in self._in_order:
            self._in_order[requested] = eligible(self._known, requested)
        return self._in_order[requested]

    def _job(self, item: Item, found: Route) -> SendJob:
        sender = self._senders.sender(found.account)
        return SendJob(
            item=item,
            account=found.account,
            sender=sender,
            reason=f"{found.reason}; {item.left_out}" if item.left_out else found.reason,
            outgoing=Outgoing(
                id=item.id,
                tenant=self._work.tenant,
                content=content_with_link(item, self._work.tenant, sender, self._links),
                sender=getattr(item.content, "from_", None) or found.account.from_,
                category=item.category,
                attempt=item.attempts + 1,
                request_id=item.request_id,
            ),
        )

    async def _send(self, jobs: Sequence[SendJob]) -> list[Item]:
        """Account by account, all at once. Returns the items that want an account, the same or another, at once."""
        groups: dict[tuple[str, bool], list[SendJob]] = {}
        for job in jobs:
            groups.setdefault((job.account.name, is_batchable(job)), []).append(job)
        again: list[Item] = []
        async with TaskScope() as accounts:
            for key, group in groups.items():
                accounts.begin(self._stream(key, group, again))
        return [item for item in again if self._books.may_go_on(item)]

    async def _stream(self, key: tuple[str, bool], jobs: Sequence[SendJob], again: list[Item]) -> None:
        """Wave after wave of one account's jobs. What should be asked for again at once is added to `again`."""
        capability = jobs[0].sender.capability
        if key not in self._sizes:
            self._sizes[key] = wave_sizes(capability.idempotency_key, capability.max_batch if key[1] else 1)
        stream = AccountSender(
            jobs,
            RateLimitGate(self._limiter, await self._limiter.rules(self._work.tenant), jobs),
            self._sizes[key],
            send=self._send_wave,
            slots=self._slots,
            rate_wait=self._rate_wait,
            clock=self._clock,
            stopping=self._stopping,
        )
        held = await stream.run()
        left = {id(job) for job in stream.rest}
        again += [job.item for job in jobs if id(job) not in left and job.item.fails_over]
        if held is not None:
            await self._hold_back([job.item for job in stream.rest], held)
        if held is None or held.wait is None:
            again += [job.item for job in stream.rest]

    async def _hold_back(self, items: Sequence[Item], held: Deferred) -> None:
        """Put down that a rate keeps these messages waiting: at every end of the dispatch, and once in between."""
        now = self._clock.now()
        self._ends_by = self._ends_by or now + LONGEST_WAIT
        self._progress.reason = held.limit.words
        news = [item for item in items if held.wait or item.wait_reason != held.limit.words]
        await self._books.change(
            [held_back(item, held.limit.words, timedelta(seconds=held.wait or 0), now) for item in news]
        )

    def _is_overdue(self) -> bool:
        return self._ends_by is not None and self._clock.now() > self._ends_by

    async def _send_wave(self, wave: Sequence[SendJob], at_once: int) -> bool:
        """Intents, requests, outcomes. True where the account turned out to be in trouble."""
        share(wave)
        granted: list[SendJob] = []
        try:
            begun = self._books.begin_attempts(wave, granted, self._never_made)
            await finish_despite_cancellation(begun, lambda: [self._never_made(job) for job in wave])
            await send_all(granted, self._stopping, at_once)
        except asyncio.CancelledError:
            now = self._clock.now()
            await self._books.record_on_shutdown([self._answered(job, now) for job in granted])
            raise
        now = self._clock.now()
        # First what must not be lost: only recording hands its outcomes on when the database is away.
        await self._books.record([self._answered(job, now) for job in granted])
        await self._learn(granted, now)
        return await update_breaker(self._accounts, granted, now)

    async def _learn(self, jobs: Sequence[SendJob], now: datetime) -> None:
        """What the answers say about addresses. Where that cannot be written, the next refusal says it again."""
        found = refused(jobs)
        if found or (jobs and self._work.channel is Channel.PUSH):
            accepted = sum(isinstance(job.outcome, Accepted) for job in jobs)
            with contextlib.suppress(Unavailable):
                await self._hygiene.learn(
                    self._work.tenant, self._work.channel, jobs[0].account.name, found, accepted, now
                )

    def _answered(self, job: SendJob, now: datetime) -> Result:
        item, outcome = job.item, job.settled()
        step: Step
        if job.outcome is None and not job.started:
            step = _not_made(item)
        else:
            safe = job.sender.capability.idempotency_key and not job.shared
            where = standing(item, job.account, idempotent=safe, together=job.refused_together)
            step = after(outcome, where, now, self._chance())
        answer = AttemptResult(
            job.account.name, item.attempts, outcome, job.duration_ms, job.account.revision, job.ends_by
        )
        return self._settled(item, answer, step, now)

    def _settled(self, item: Item, answer: AttemptResult, step: Step, now: datetime) -> Result:
        if isinstance(answer.outcome, OutcomeUnknown):
            item.doubtful, item.doubtful_revision = answer.account, answer.account_revision
        came = answer.outcome
        ending = Ending(answer.account, came.kind.value, came.status_code, came.error_code)
        self._progress.note(ending, answer.number, answer.duration_ms, now, alone=self._work.is_alone)
        another = False
        if isinstance(step, FailOver):
            item.tried.add(answer.account)
            another = isinstance(self._look_up(item, now), Route)
        return settle(item, answer, step, another=another, now=now)

    def _never_made(self, job: SendJob) -> Result:
        """The result of a request whose intent may be committed, and that is not made."""
        job.item.attempts += 1
        answer = AttemptResult(
            job.account.name, job.item.attempts, NOT_STARTED, None, job.account.revision, job.ends_by
        )
        return self._settled(job.item, answer, _not_made(job.item), self._clock.now())

    async def _read_accounts(self, *, fresh: bool = False) -> None:
        known = await self._accounts.for_channel(self._work.tenant, self._work.channel, fresh=fresh)
        self._known = [self._usable(account) for account in known]
        self._in_order.clear()

    def _usable(self, account: Account) -> Account:
        """An account whose settings are wrong is an account in trouble: messages wait, or go by the next one."""
        now = self._clock.now()
        if account.blocked_until is not None and account.blocked_until > now:
            return account
        try:
            self._senders.sender(account)
        except InvalidInput as wrong:
            trouble = {"blocked_until": now + NO_ACCOUNT_WAIT, "blocked_reason": f"misconfigured ({wrong})"}
            return account.model_copy(update=trouble)
        return account

    def _account(self, name: str) -> Account | None:
        return next((known for known in self._known if known.name == name), None)

    def _is_idempotent(self, name: str) -> bool:
        account = self._account(name)
        with contextlib.suppress(InvalidInput):
            return account is not None and self._senders.sender(account).capability.idempotency_key
        return False


def _not_made(item: Item) -> Retry:
    """A request that was allowed and not made costs nothing, and is made at once."""
    return Retry(timedelta(0), item.spent, "the request was not made after all")
