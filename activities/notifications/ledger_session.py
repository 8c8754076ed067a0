"""The ledger in the hands of one dispatch: what is begun, recorded and changed, with its items kept in step.

The ledger has the last word. What it did not take is in other hands, or was withdrawn: such an item is not reported as
anything, and the next dispatch reads how it stands.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence

from activities.dispatch.progress import FENCED_WAIT, DispatchInput, DispatchProgress
from activities.dispatch.recording import record_on_shutdown, record_uninterrupted
from activities.notifications.heartbeat_details import OutcomesNotPersisted
from activities.notifications.requests import BEGIN_WITHIN, SendJob, ends_by
from hermod.contracts.errors import Unavailable
from hermod.contracts.notifications.messages import Status
from hermod.domain.states import OPEN
from hermod.ports.clock import Clock
from hermod.ports.notifications.ledger import Change, Decision, Intent, Item, Ledger, Result
from hermod.telemetry import FINISHED


class LedgerSession:
    """`stopping` and `superseded` as for the dispatch."""

    def __init__(
        self,
        work: DispatchInput,
        ledger: Ledger,
        *,
        clock: Clock,
        stopping: Callable[[], bool],
        superseded: Callable[[], bool],
    ) -> None:
        self._work = work
        self._ledger = ledger
        self._clock = clock
        self._stopping = stopping
        self._superseded = superseded
        self._items: dict[str, Item] = {}
        self._fenced: set[str] = set()
        """Of what the ledger did not take a step."""

    async def open(self) -> list[Item]:
        """Read the work's open messages. Raises Unavailable."""
        work = self._work
        items = await self._ledger.open_items(work.tenant, work.owner, work.run, work.messages, self._clock.now())
        self._items = {item.id: item for item in items}
        return items

    @property
    def any_fenced(self) -> bool:
        return bool(self._fenced)

    def may_go_on(self, item: Item) -> bool:
        """Whether this dispatch may begin something more of the item: it is open, no request of it is under way, and it
        has not turned out to be in other hands.
        """
        return item.status in OPEN and item.in_flight is None and item.id not in self._fenced

    async def begin_attempts(
        self,
        wave: Sequence[SendJob],
        granted: list[SendJob],
        never_made: Callable[[SendJob], Result],
    ) -> None:
        """Commit the intents of a wave; those that may be sent are added to `granted`.

        Raises OutcomesNotPersisted where no answer came: the intents may be committed, and the requests are not made.
        """
        work, now, begin_by = self._work, self._clock.now(), time.monotonic() + BEGIN_WITHIN.total_seconds()
        ends = {sender: ends_by(sender, now) for sender in {job.sender for job in wave}}
        for job in wave:
            job.begin_by, job.ends_by = begin_by, ends[job.sender]
        try:
            allowed = await self._ledger.grant(work.tenant, work.owner, [_intent(job) for job in wave], now)
        except Unavailable:
            raise OutcomesNotPersisted([never_made(job) for job in wave]) from None
        for job in wave:
            if job.item.id in allowed:
                job.item.attempts += 1
                job.item.status, job.item.next_attempt_at, job.item.wait_reason = Status.SENDING, None, None
                granted.append(job)
            else:
                self._lose(job.item)

    async def record(self, results: Sequence[Result]) -> None:
        """Raises OutcomesNotPersisted where the database does not take them."""
        if not results:
            return
        work = self._work
        moved = await record_uninterrupted(
            lambda: self._ledger.record(work.tenant, work.run, results, self._clock.now()),
            results,
            stopping=self._stopping,
            superseded=self._superseded,
        )
        ended = [result.status for result in results if result.message in moved and result.status not in OPEN]
        for status, count in Counter(ended).items():
            FINISHED.labels(work.channel.value, status.value).inc(count)
        for result in results:
            if result.message not in moved:
                self._lose(self._items[result.message])

    async def record_on_shutdown(self, results: Sequence[Result]) -> None:
        """Of a dispatch that is cut off. Raises OutcomesNotPersisted where there is no time for it."""
        work = self._work
        await record_on_shutdown(
            lambda: self._ledger.record(work.tenant, work.run, results, self._clock.now()), results
        )

    async def change(self, changes: Sequence[Change]) -> None:
        """Raises Unavailable."""
        work = self._work
        taken = await self._ledger.change(work.tenant, work.owner, work.run, changes, self._clock.now())
        for change in changes:
            if change.message not in taken:
                self._lose(self._items[change.message])

    async def conclude(self, progress: DispatchProgress) -> DispatchProgress:
        """Where the dispatch leaves its messages. Raises Unavailable."""
        work, items = self._work, list(self._items.values())
        await progress.count(work, items, OPEN, self._ledger)
        await progress.load_history(work, items, self._ledger)
        if not work.is_alone and progress.wait(self._clock.now(), alone=False) is None:
            await self._hand_off(progress)
        return progress

    async def _hand_off(self, progress: DispatchProgress) -> None:
        """A batch with nothing left but long waits has done its part: each message goes on as a workflow of its own,
        and belongs to it from here on. What an earlier try handed off, and could not report, is reported with them.
        """
        work = self._work
        leaving = [item for item in self._items.values() if item.status in OPEN]
        if not leaving and len(self._items) == len(work.messages):
            return
        if leaving:
            numbers = {item.id: item.attempts for item in leaving}
            await self._ledger.transfer_ownership(work.tenant, work.owner, numbers)
        progress.handed_off = dict(await self._ledger.handed_off(work.tenant, work.owner, work.messages))
        kept = [item for item in leaving if item.id not in progress.handed_off]
        for item in kept:
            self._lose(item)
        progress.open = list(kept)

    def _lose(self, item: Item) -> None:
        self._fenced.add(item.id)
        item.status, item.next_attempt_at = Status.RETRYING, self._clock.now() + FENCED_WAIT


def _intent(job: SendJob) -> Intent:
    item = job.item
    return Intent(
        message=item.id,
        number=item.attempts + 1,
        round=item.round,
        account=job.account.name,
        provider=job.account.provider,
        shared=job.shared,
        ends_by=job.ends_by,
        account_revision=job.account.revision,
        decision=Decision(kind="route", verdict=job.account.name, reason=job.reason),
    )
