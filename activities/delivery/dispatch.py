"""One dispatch of a delivery, for one message as for five hundred: decide from the ledger, send, record.

The order is the guarantee: an intent is committed before its request leaves, the outcome after. Whatever dies in
between leaves an intent without an outcome, and the next dispatch knows that this request is in doubt.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final

from activities.delivery.carried import Carried
from activities.delivery.pacing import Pace
from activities.delivery.progress import Dispatch, Progress, due
from activities.delivery.recording import record_in_the_end, record_last_words
from activities.delivery.sending import Job, is_batchable, send_all, share, wave_sizes
from activities.delivery.settling import (
    NO_ACCOUNT_WAIT,
    Answer,
    expired,
    forgotten,
    held_back,
    left_unknown,
    promise_keeps_to,
    settle,
    standing,
    suppressed,
    waiting,
)
from activities.delivery.stream import Held, Patience, Stream, UnderWay
from activities.delivery.trouble import claim_probe, note_trouble, refused
from activities.delivery.unsubscribing import content_with_link
from hermod.contracts.accounts import Account
from hermod.contracts.content import Channel
from hermod.contracts.errors import InvalidInput, Unavailable
from hermod.contracts.messages import Status
from hermod.contracts.outcomes import Accepted, OutcomeUnknown
from hermod.domain.delivery import Again, NextAccount, Step, after, after_lost_worker
from hermod.domain.routing import HALTED, NoRoute, Route, eligible, route
from hermod.domain.states import OPEN
from hermod.ports.clock import Clock
from hermod.ports.hygiene import Hygiene
from hermod.ports.ledger import Accounts, Change, Decision, Intent, Item, Ledger, Result
from hermod.ports.limiter import Limiter
from hermod.ports.sender import Outgoing, SenderFactory
from hermod.ports.unsubscribing import UnsubscribeLinks
from hermod.telemetry import FINISHED

FENCED_WAIT: Final = timedelta(seconds=2)
LONGEST_WAIT: Final = timedelta(seconds=30)
"""A dispatch that is held back by a rate ends after so long: the next one reads its messages afresh."""

LOST = OutcomeUnknown(error_code="worker_lost", error="the worker was lost while the request was on its way")


class Delivery:
    """One dispatch. `stopping` tells that this worker is being shut down, so that no new wave should begin."""

    def __init__(
        self,
        work: Dispatch,
        *,
        ledger: Ledger,
        accounts: Accounts,
        senders: SenderFactory,
        hygiene: Hygiene,
        limiter: Limiter,
        patience: Patience,
        clock: Clock,
        stopping: Callable[[], bool],
        chance: Callable[[], float] = random.random,
        links: UnsubscribeLinks | None = None,
    ) -> None:
        self._work = work
        self._ledger = ledger
        self._accounts = accounts
        self._senders = senders
        self._hygiene = hygiene
        self._limiter = limiter
        self._patience = patience
        self._clock = clock
        self._stopping = stopping
        self._chance = chance
        self._links = links
        self._known: list[Account] = []
        self._in_order: dict[str | None, tuple[Account, ...]] = {}
        self._sizes: dict[tuple[str, bool], Iterator[int]] = {}
        self._ends_by: datetime | None = None
        """When this dispatch ends although messages are left; None while no rate has held one back."""
        self._progress = Progress()

    async def run(self, carried: Carried) -> Progress:
        """Bring the messages as far as they can go now. Raises Unavailable, and Unrecorded with what must be kept."""
        work, now = self._work, self._clock.now()
        items = await self._ledger.open_items(work.tenant, work.owner, work.run, work.messages, now)
        await self._settle_in_flight([item for item in items if item.in_flight is not None], carried)
        ready = due([item for item in items if item.status in OPEN], self._clock.now())
        while (ready := await self._drop(ready)) and not self._stopping() and not self._is_overdue():
            ready = await self._send(await self._route(ready))
        return await self._conclude(items)

    async def _settle_in_flight(self, items: Sequence[Item], carried: Carried) -> None:
        """Requests that an earlier dispatch made and did not record: what it passed on, or unknown."""
        results = []
        if items:
            await self._read_accounts()
        for item in items:
            account = item.in_flight or ""
            outcome, duration = carried.get((item.id, item.attempts), (LOST, None))
            safe = self._is_idempotent(account) and not item.in_flight_shared
            where, now = standing(item, idempotent=safe, together=item.in_flight_shared), self._clock.now()
            step = after_lost_worker(where, now) if outcome is LOST else after(outcome, where, now, self._chance())
            results.append(self._settled(item, Answer(account, item.attempts, outcome, duration), step, now))
        await self._record(results)

    async def _drop(self, items: list[Item]) -> list[Item]:
        """What must not be sent any more: it is too late, the address gets nothing, or it might arrive twice."""
        now = self._clock.now()
        late = [item for item in items if item.not_after is not None and item.not_after <= now]
        barred = [item for item in items if item.suppressed is not None and item not in late]
        risky = [item for item in items if forgotten(item, now) and item not in late and item not in barred]
        await self._change(
            [expired(item, "not_after has passed") for item in late]
            + [suppressed(item) for item in barred]
            + [left_unknown(item) for item in risky]
        )
        return [item for item in items if item.status in OPEN]

    async def _route(self, items: Sequence[Item]) -> list[Job]:
        """An account for each item; those that have none now are put down as waiting."""
        await self._read_accounts()
        now = self._clock.now()
        jobs: list[Job] = []
        changes: list[Change] = []
        for item in items:
            found = await self._account_for(item, now)
            if isinstance(found, Route):
                jobs.append(self._job(item, found))
            else:
                any_enabled = bool(self._eligible(item.requested_account))
                changes.append(waiting(item, found, any_enabled=any_enabled, now=now))
                self._progress.reason = found.reason
        await self._change(changes)
        return jobs

    async def _account_for(self, item: Item, now: datetime) -> Route | NoRoute:
        """A half-open account gets one message: whoever wins the probe takes it, everybody else sees it blocked."""
        while True:
            found = self._look_up(item, now)
            if isinstance(found, NoRoute) or not found.probe:
                return found
            won, until = await claim_probe(self._accounts, self._work.tenant, found.account, now)
            at = self._known.index(found.account)
            self._known[at] = found.account.model_copy(update={"blocked_until": until, "blocked_reason": HALTED})
            self._in_order.clear()
            if won:
                return found

    def _look_up(self, item: Item, now: datetime) -> Route | NoRoute:
        def unfit(account: Account) -> str | None:
            return self._senders.sender(account).cannot_express(item.content)

        return route(self._eligible(promise_keeps_to(item) or item.requested_account), item.tried, unfit, now)

    def _eligible(self, requested: str | None) -> tuple[Account, ...]:
        if requested not in self._in_order:
            self._in_order[requested] = eligible(self._known, requested)
        return self._in_order[requested]

    def _job(self, item: Item, found: Route) -> Job:
        sender = self._senders.sender(found.account)
        return Job(
            item=item,
            account=found.account,
            sender=sender,
            reason=found.reason,
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

    async def _send(self, jobs: Sequence[Job]) -> list[Item]:
        """Account by account, all at once. Returns the items that want an account, the same or another, at once."""
        groups: dict[tuple[str, bool], list[Job]] = {}
        for job in jobs:
            groups.setdefault((job.account.name, is_batchable(job)), []).append(job)
        again: list[Item] = []
        async with UnderWay() as accounts:
            for key, group in groups.items():
                accounts.begin(self._stream(key, group, again))
        return again

    async def _stream(self, key: tuple[str, bool], jobs: Sequence[Job], again: list[Item]) -> None:
        """Wave after wave of one account's jobs. What should be asked for again at once is added to `again`."""
        capability = jobs[0].sender.capability
        if key not in self._sizes:
            self._sizes[key] = wave_sizes(capability.idempotency_key, capability.max_batch if key[1] else 1)
        stream = Stream(
            jobs,
            Pace(self._limiter, await self._limiter.rules(self._work.tenant), jobs),
            self._sizes[key],
            send=self._send_wave,
            patience=self._patience,
            clock=self._clock,
            stopping=self._stopping,
        )
        held = await stream.run()
        left = {id(job) for job in stream.rest}
        again += [job.item for job in jobs if id(job) not in left and job.item.status is Status.SENDING]
        if held is not None:
            await self._hold_back([job.item for job in stream.rest], held)
        if held is None or held.wait is None:
            again += [job.item for job in stream.rest if job.item.status in OPEN]

    async def _hold_back(self, items: Sequence[Item], held: Held) -> None:
        """Put down that a rate keeps these messages waiting: at every end of the dispatch, and once in between."""
        now = self._clock.now()
        self._ends_by = self._ends_by or now + LONGEST_WAIT
        self._progress.reason = held.limit.words
        news = [item for item in items if held.wait or item.wait_reason != held.limit.words]
        await self._change([held_back(item, held.limit.words, timedelta(seconds=held.wait or 0), now) for item in news])

    def _is_overdue(self) -> bool:
        return self._ends_by is not None and self._clock.now() > self._ends_by

    async def _send_wave(self, wave: Sequence[Job]) -> bool:
        """Intents, requests, outcomes. True where the account turned out to be in trouble."""
        share(wave)
        granted = await self._grant(wave)
        try:
            await send_all(granted)
        except asyncio.CancelledError:
            await self._last_words(granted)
            raise
        now = self._clock.now()
        # First what must not be lost: only recording hands its outcomes on when the database is away.
        await self._record([self._answered(job, now) for job in granted])
        await self._learn(granted, now)
        return await note_trouble(self._accounts, granted, now)

    async def _learn(self, jobs: Sequence[Job], now: datetime) -> None:
        """What the answers say about addresses. Where that cannot be written, the next refusal says it again."""
        found = refused(jobs)
        if found or (jobs and self._work.channel is Channel.PUSH):
            accepted = sum(isinstance(job.outcome, Accepted) for job in jobs)
            with contextlib.suppress(Unavailable):
                await self._hygiene.learn(
                    self._work.tenant, self._work.channel, jobs[0].account.name, found, accepted, now
                )

    async def _grant(self, wave: Sequence[Job]) -> list[Job]:
        """Commit the intents. What is not granted was cancelled, or is in other hands: the next dispatch will see."""
        work, now = self._work, self._clock.now()
        allowed = await self._ledger.grant(work.tenant, work.owner, [_intent(job) for job in wave], now)
        granted = []
        for job in wave:
            if job.item.id in allowed:
                job.item.attempts += 1
                job.item.status, job.item.next_attempt_at, job.item.wait_reason = Status.SENDING, None, None
                granted.append(job)
            else:
                job.item.status, job.item.next_attempt_at = Status.RETRYING, now + FENCED_WAIT
        return granted

    def _answered(self, job: Job, now: datetime) -> Result:
        item, outcome = job.item, job.settled()
        step: Step
        if job.outcome is None and not job.started:
            step = Again(timedelta(0), item.spent, "the worker stopped before the request was made")
        else:
            safe = job.sender.capability.idempotency_key and not job.shared
            where = standing(item, idempotent=safe, together=job.refused_together)
            step = after(outcome, where, now, self._chance())
        return self._settled(item, Answer(job.account.name, item.attempts, outcome, job.duration_ms), step, now)

    def _settled(self, item: Item, answer: Answer, step: Step, now: datetime) -> Result:
        if isinstance(answer.outcome, OutcomeUnknown):
            item.doubtful = answer.account
        if not isinstance(answer.outcome, Accepted):
            codes = (answer.outcome.kind, answer.outcome.status_code, answer.outcome.error_code)
            self._progress.reason = f"{answer.account}: {' '.join(str(code) for code in codes if code is not None)}"
        another = False
        if isinstance(step, NextAccount):
            item.tried.add(answer.account)
            another = isinstance(self._look_up(item, now), Route)
        item.in_flight, item.in_flight_shared = None, False
        return settle(item, answer, step, another=another, now=now)

    async def _last_words(self, jobs: Sequence[Job]) -> None:
        now = self._clock.now()
        results = [self._answered(job, now) for job in jobs]
        await record_last_words(self._ledger.record(self._work.tenant, self._work.run, results, now), len(results))

    async def _record(self, results: Sequence[Result]) -> None:
        if not results:
            return
        work = self._work
        await record_in_the_end(
            lambda: self._ledger.record(work.tenant, work.run, results, self._clock.now()), results, self._stopping
        )
        for status, count in Counter(result.status for result in results if result.status not in OPEN).items():
            FINISHED.labels(self._work.channel.value, status.value).inc(count)

    async def _change(self, changes: Sequence[Change]) -> None:
        work = self._work
        await self._ledger.change(work.tenant, work.owner, work.run, changes, self._clock.now())

    async def _read_accounts(self) -> None:
        known = await self._accounts.for_channel(self._work.tenant, self._work.channel)
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

    def _is_idempotent(self, account: str) -> bool:
        with contextlib.suppress(InvalidInput):
            for known in self._known:
                if known.name == account:
                    return self._senders.sender(known).capability.idempotency_key
        return False

    async def _conclude(self, items: Sequence[Item]) -> Progress:
        progress = self._progress
        progress.open = [item for item in items if item.status in OPEN]
        if len(self._work.messages) == 1 and items:
            progress.request_id = items[0].request_id
        if len(items) == len(self._work.messages):
            progress.ended.update(item.status for item in items if item.status not in OPEN)
        else:
            counted = await self._ledger.counts(self._work.tenant, self._work.messages)
            progress.ended.update({status: count for status, count in counted.items() if status not in OPEN})
        return progress


def _intent(job: Job) -> Intent:
    item = job.item
    return Intent(
        message=item.id,
        number=item.attempts + 1,
        round=item.round,
        account=job.account.name,
        provider=job.account.provider,
        shared=job.shared,
        decision=Decision(kind="route", verdict=job.account.name, reason=job.reason),
    )
