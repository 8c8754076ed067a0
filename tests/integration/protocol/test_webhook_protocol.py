"""Schedules of the protocol of webhook deliveries, drawn at random, as many as HERMOD_SCHEDULES says.

After every step:

- the requests at the receivers are the attempts on record, one for each number, without a gap;
- after a success another request follows only if somebody asked for it (a retry, a replay), or if the success was heard
  of after its request had been called lost, and the other one was granted before that;
- of a line of ordered deliveries, none is requested while one ahead of it is open, unless that was begun again;
- what is open has its event.

At the end of each schedule every delivery is delivered, failed, skipped, parked or cancelled, and what a process knew
all the time is on record. Whenever a batch ends, what is open of it belongs to a workflow that runs.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from hermod.contracts.webhooks.deliveries import OPEN_DELIVERIES, DeliveryStatus, ReplayStatus
from tests.integration.protocol.machine import MOST_WORKFLOWS, TIMEOUT, WHICH, Deliveries, run_schedules, tenants
from tests.integration.protocol.webhook_world import WebhookWorld

ANSWERS = ("accept", "accept, no answer", "refuse, no answer", "busy", "gone", "nobody there")
COUNTS = st.sampled_from([(1,), (2,), (3,), (1, 1), (2, 1), (2, 2), (3, 2)])
WANTED = st.sampled_from([None, None, None, ReplayStatus.PAUSED, ReplayStatus.RUNNING, ReplayStatus.CANCELLED])
ENDED = [status for status in DeliveryStatus if status not in OPEN_DELIVERIES]


class WebhookProtocol(Deliveries):
    world: WebhookWorld

    @initialize(
        counts=COUNTS,
        when_exhausted=st.sampled_from(["dead_letter", "skip", "block"]),
        answers=st.lists(st.sampled_from(ANSWERS), max_size=4),
    )
    def begin(self, counts: tuple[int, ...], when_exhausted: str, answers: list[str]) -> None:
        self.world = WebhookWorld(self.database, f"w{next(tenants)}")
        self.do(self.world.settle_in(when_exhausted=when_exhausted))
        self.do(self.world.accept(counts))
        self.do(self.world.sweep())
        self.world.answers = list(answers)

    @precondition(lambda self: len(self.world.workflows) < MOST_WORKFLOWS)
    @rule(counts=COUNTS)
    def accept(self, counts: tuple[int, ...]) -> None:
        self.do(self.world.accept(counts))

    @rule(count=st.integers(1, 2))
    def accept_in_order(self, count: int) -> None:
        if len(self.records()) < 10:
            self.do(self.world.accept_in_order(count))

    @precondition(lambda self: self.world.has_line)
    @rule()
    def line_looks(self) -> None:
        self.do(self.world.next_in_line())

    @rule(answers=st.lists(st.sampled_from(ANSWERS), min_size=1, max_size=4))
    def receiver_will(self, answers: list[str]) -> None:
        self.world.answers = list(answers)

    @rule(which=WHICH, change=st.sampled_from(["disable", "enable", "pause", "long pause", "no pause"]))
    def endpoint_changes(self, which: int, change: str) -> None:
        if change in ("disable", "enable"):
            self.do(self.world.switch(which, enabled=change == "enable"))
        else:
            self.do(self.world.pause(which, {"no pause": 0, "pause": 5, "long pause": 90}[change]))

    @rule(which=WHICH, move=st.sampled_from(["cancel", "retry", "discard"]), started=st.booleans())
    def somebody_moves_a_delivery(self, which: int, move: str, started: bool) -> None:
        world, delivery = self.world, self.pick(self.records(), which)
        if delivery is None:
            return
        moves = {
            "cancel": lambda: world.cancel(delivery),
            "retry": lambda: world.retry(delivery, started=started),
            "discard": lambda: world.discard(delivery),
        }
        self.do(moves[move]())

    @rule(
        which=WHICH,
        statuses=st.lists(st.sampled_from(ENDED), min_size=1, max_size=3),
        per_second=st.sampled_from([1.0, 5.0]),
    )
    def replay_is_asked_for(self, which: int, statuses: list[DeliveryStatus], per_second: float) -> None:
        self.do(self.world.replay(which, statuses, per_second))

    @precondition(lambda self: self.world.replays)
    @rule(which=WHICH, wanted=WANTED, started=st.booleans())
    def replay_has_a_page(self, which: int, wanted: ReplayStatus | None, started: bool) -> None:
        self.do(self.world.replay_page(self.pick(self.world.replays, which), wanted, started=started))


@pytest.mark.usefixtures("order_alone_decides")
@pytest.mark.timeout(TIMEOUT)
def test_protocol_of_webhooks_keeps_its_promises_in_every_schedule(
    database_url: str, record_property: Callable[[str, object], None]
) -> None:
    record_property("protocol", run_schedules(WebhookProtocol, database_url))
