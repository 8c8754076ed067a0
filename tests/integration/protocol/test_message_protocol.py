"""Schedules of the ledger's protocol, drawn at random, as many as HERMOD_SCHEDULES says: whatever dies, freezes, is
late or lost between any two commits.

After every step:

- each request at a provider is one attempt on record, and no attempt is two requests;
- an at_most_once message is never requested again where an earlier request may have been taken, unless the account that
  was asked recognises the repeat, or an operator has said that it was not sent;
- a message that was taken is requested again only after the record called that request unknown, or an operator's word;
- the attempts on record are numbered without a gap, and a message is `sending` as long as a request is under way;
- no dispatch that began after `not_after` requests the message;
- what is open has its content.

At the end of each schedule everybody works as they should, and every message comes to an end with its reason; what a
process knew all the time is on record.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from hermod.contracts.notifications.messages import Guarantee
from tests.integration.protocol.machine import MOST_WORKFLOWS, TIMEOUT, WHICH, Deliveries, run_schedules, tenants
from tests.integration.protocol.message_world import MessageWorld

ANSWERS = ("accept", "accept, no answer", "refuse, no answer", "busy", "refuse", "nobody there")
MOVES = ("cancel", "retry", "retry", "discard", "sent", "not_sent", "not_sent")


class MessageProtocol(Deliveries):
    world: MessageWorld

    @initialize(
        keyed=st.booleans(),
        first=st.sampled_from(Guarantee),
        count=st.integers(1, 3),
        answers=st.lists(st.sampled_from(ANSWERS), max_size=3),
    )
    def begin(self, keyed: bool, first: Guarantee, count: int, answers: list[str]) -> None:
        self.world = MessageWorld(self.database, f"m{next(tenants)}", keyed=keyed)
        self.do(self.world.settle_in())
        self.do(self.world.accept(count, first))
        self.do(self.world.sweep())
        self.world.answers = list(answers)

    @precondition(lambda self: len(self.world.workflows) < MOST_WORKFLOWS)
    @rule(guarantee=st.sampled_from(Guarantee), count=st.integers(1, 3), lives=st.sampled_from([None, None, 5]))
    def accept(self, guarantee: Guarantee, count: int, lives: int | None) -> None:
        self.do(self.world.accept(count, guarantee, lives))

    @rule(answers=st.lists(st.sampled_from(ANSWERS), min_size=1, max_size=3))
    def provider_will(self, answers: list[str]) -> None:
        self.world.answers = list(answers)

    @rule(which=WHICH, minutes=st.sampled_from([None, 0, 1, 60]))
    def accounts_change(self, which: int, minutes: int | None) -> None:
        """One is pointed elsewhere; or all are blocked for so many minutes."""
        if minutes is None:
            self.world.accounts.point_elsewhere(which)
        else:
            self.world.accounts.block_until(self.world.time + timedelta(minutes=minutes))

    @rule(which=WHICH, move=st.sampled_from(MOVES), started=st.booleans())
    def somebody_moves_a_message(self, which: int, move: str, started: bool) -> None:
        world, message = self.world, self.pick(self.records(), which)
        if message is None:
            return
        moves = {
            "cancel": lambda: world.cancel(message),
            "retry": lambda: world.retry(message, started=started),
            "discard": lambda: world.discard(message),
            "sent": lambda: world.resolve(message, "sent", started=started),
            "not_sent": lambda: world.resolve(message, "not_sent", started=started),
        }
        self.do(moves[move]())

    @precondition(lambda self: any(one.taken for one in self.world.requests))
    @rule(which=WHICH, by_our_id=st.booleans(), settled=st.booleans())
    def provider_reports(self, which: int, by_our_id: bool, settled: bool) -> None:
        request = self.pick([one for one in self.world.requests if one.taken], which)
        self.do(self.world.provider_reports(request, by_our_id=by_our_id))
        if settled:
            self.do(self.world.settle_reports())


@pytest.mark.usefixtures("order_alone_decides")
@pytest.mark.timeout(TIMEOUT)
def test_protocol_of_messages_keeps_its_promises_in_every_schedule(
    database_url: str, record_property: Callable[[str, object], None]
) -> None:
    record_property("protocol", run_schedules(MessageProtocol, database_url))
