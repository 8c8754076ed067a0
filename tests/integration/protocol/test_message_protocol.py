"""Thousands of schedules of the ledger's protocol: whatever dies, freezes, is late or lost between any two commits.

After every step:

- each request at a provider is one attempt on record, and no attempt is two requests;
- an at_most_once message is never requested again where an earlier request may have been taken, unless the account that
  was asked recognises the repeat, or an operator has said that it was not sent;
- a message that was taken is requested again only after the record called that request unknown, or an operator's word;
- the attempts on record are numbered without a gap;
- what is open has its content.

At the end of each schedule everybody works as they should, and every message comes to an end with its reason; what a
process knew all the time is on record.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from activities.delivery import recording
from hermod.contracts.messages import Guarantee, Outcome, Status
from hermod.domain.states import OPEN
from tests.integration.protocol.machine import MOST_WORKFLOWS, TIMEOUT, WHICH, Deliveries, run_schedules, tenants
from tests.integration.protocol.message_world import MessageWorld, may_have_arrived

ANSWERS = ("accept", "accept, no answer", "refuse, no answer", "busy", "refuse", "nobody there")


class MessageProtocol(Deliveries):
    world: MessageWorld
    kinds = frozenset({"message"})
    idempotent = frozenset({"keyed"})

    @initialize(keyed=st.booleans(), first=st.sampled_from(Guarantee), count=st.integers(1, 3))
    def begin(self, keyed: bool, first: Guarantee, count: int) -> None:
        self.world = MessageWorld(self.database, f"m{next(tenants)}", keyed=keyed)
        self.do(self.world.settle_in())
        self.do(self.world.accept(count, first))

    @rule(guarantee=st.sampled_from(Guarantee), count=st.integers(1, 3))
    def accept(self, guarantee: Guarantee, count: int) -> None:
        if len(self.world.workflows) < MOST_WORKFLOWS:
            self.do(self.world.accept(count, guarantee))

    @rule(answers=st.lists(st.sampled_from(ANSWERS), min_size=1, max_size=3))
    def provider_will(self, answers: list[str]) -> None:
        self.world.answers = answers

    @rule(which=WHICH)
    def account_is_pointed_elsewhere(self, which: int) -> None:
        self.world.accounts.point_elsewhere(which)

    @rule(which=WHICH)
    def message_is_cancelled(self, which: int) -> None:
        if messages := self.records():
            self.do(self.world.cancel(self.pick(messages, which)))

    @rule(which=WHICH, started=st.booleans())
    def dead_letter_is_retried(self, which: int, started: bool) -> None:
        if messages := self.records():
            self.do(self.world.retry(self.pick(messages, which), started=started))

    @rule(which=WHICH, outcome=st.sampled_from(["sent", "not_sent"]), started=st.booleans())
    def unknown_is_resolved(self, which: int, outcome: str, started: bool) -> None:
        if messages := self.records():
            self.do(self.world.resolve(self.pick(messages, which), outcome, started=started))

    @rule(which=WHICH)
    def dead_letter_is_discarded(self, which: int) -> None:
        if messages := self.records():
            self.do(self.world.discard(self.pick(messages, which)))

    @rule(which=WHICH, by_our_id=st.booleans())
    def provider_reports(self, which: int, by_our_id: bool) -> None:
        request = self.pick([one for one in self.world.requests if one.taken], which)
        if request is not None:
            self.do(self.world.report(request, by_our_id=by_our_id))

    @rule()
    def reports_are_settled(self) -> None:
        self.do(self.world.settle_reports())

    async def help_out(self) -> None:
        await self.world.settle_reports()

    async def outcomes(self) -> dict[tuple[str, int], str]:
        return {
            attempt: "worker_lost" if row.error_code == "worker_lost" else row.outcome
            for attempt, row in (await self.world.attempts()).items()
        }

    async def check(self) -> None:
        world = self.world
        attempts, words = await world.attempts(), await world.words()
        for row in await world.rows():
            numbers = sorted(number for message, number in attempts if message == row.id)
            assert numbers == list(range(1, row.attempt_count + 1)), (row.id, numbers)
            assert (row.finished_at is None) == (Status(row.status) in OPEN), row
            assert row.finished_at is not None or row.has_content, f"open, and its content is gone: {row}"
            asked = sorted((one for one in world.requests if one.message == row.id), key=lambda one: one.number)
            for request in asked:
                assert (row.id, request.number) in attempts, "a request that is not on record"
            if row.id in words:
                continue
            for earlier, later in itertools.pairwise(asked):
                was = attempts[row.id, earlier.number]
                same = (earlier.account, earlier.identity) == (later.account, later.identity)
                repeat_is_safe = same and earlier.account == "keyed"
                if row.guarantee == Guarantee.AT_MOST_ONCE and not repeat_is_safe:
                    assert not earlier.taken, f"at_most_once was requested twice: {asked}"
                if earlier.taken:
                    called_unknown = was.outcome == Outcome.UNKNOWN or was.late_at is not None
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


@pytest.mark.timeout(TIMEOUT)
def test_protocol_of_messages_keeps_its_promises_in_every_schedule(
    database_url: str, monkeypatch: pytest.MonkeyPatch, record_property: Callable[[str, object], None]
) -> None:
    monkeypatch.setattr(recording, "RECORD_WAITS", (0.0, 0.0))
    monkeypatch.setattr(recording, "LAST_WORDS", 3600.0)
    record_property("protocol", run_schedules(MessageProtocol, database_url))
