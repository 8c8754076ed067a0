"""Schedules of the processing of submissions, drawn at random, as many as HERMOD_SCHEDULES says: two executors on one,
payments, retries, the sweeper.

After every step:

- the backend is asked only for what the record does not have as saved, and the record has the backend's own id;
- what the record has as announced was announced, each moment and turn once; a paid form's completion after its payment,
  and its expiry never after its completion, unless whoever tells it has been superseded meanwhile;
- what has ended stays ended, unless it is retried, reset or paid; what is completed stays completed whatever comes.

At the end of each schedule nothing is stranded, and nothing that a payment has changed is untold.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from hermod.domain.payments.payments import FactKind
from tests.integration.protocol.machine import RESETTABLE, TIMEOUT, WHICH, Machine, run_schedules, tenants
from tests.integration.protocol.submission_world import SubmissionWorld

ANSWERS = ("accept", "accept", "away", "refused")
FACTS = (FactKind.PAID, FactKind.PAID, FactKind.PROCESSING, FactKind.FAILED, FactKind.EXPIRED, FactKind.REFUNDED)


class SubmissionProtocol(Machine):
    STOPS = ("the end", "save", "saved", "announce", "told", "give_up", "awaiting", "expire", "finish", "report")
    world: SubmissionWorld

    @initialize(paid=st.booleans())
    def begin(self, paid: bool) -> None:
        self.world = SubmissionWorld(self.database, f"s{next(tenants)}")
        self.do(self.world.settle_in())
        self.do(self.world.accept(paid=paid))

    def submissions(self) -> list[str]:
        return [row.id for row in self.wait_for(self.world.rows())]

    @rule(paid=st.booleans())
    def accept(self, paid: bool) -> None:
        if len(self.submissions()) < 2:
            self.do(self.world.accept(paid=paid))

    @rule(answers=st.lists(st.sampled_from(ANSWERS), min_size=1, max_size=3))
    def backend_will(self, answers: list[str]) -> None:
        self.world.answers = list(answers)

    @rule(which=WHICH, kind=st.sampled_from(FACTS))
    def payment_says(self, which: int, kind: FactKind) -> None:
        self.do(self.world.payment_event(self.pick(self.submissions(), which), kind))

    @precondition(lambda self: self.world.untold)
    @rule(which=WHICH, marked=st.booleans())
    def workflow_hears_of_payment(self, which: int, marked: bool) -> None:
        self.do(self.world.tell(self.pick(self.world.untold, which), marked=marked))

    @precondition(lambda self: self.world.untold)
    @rule(which=WHICH)
    def payment_is_forgotten(self, which: int) -> None:
        """Whoever was to wake the workflow has died: the sweeper does it."""
        self.world.untold.remove(self.pick(self.world.untold, which))

    @rule(which=WHICH, started=st.booleans())
    def dead_letter_is_retried(self, which: int, started: bool) -> None:
        self.do(self.world.retry(self.pick(self.submissions(), which), started=started))

    @precondition(lambda self: any(one.state in RESETTABLE for one in self.world.runs()))
    @rule(which=WHICH)
    def workflow_is_reset(self, which: int) -> None:
        self.world.reset(self.pick([one for one in self.world.runs() if one.state in RESETTABLE], which))

    @precondition(lambda self: self.world.running())
    @rule(which=WHICH)
    def workflow_is_terminated(self, which: int) -> None:
        self.world.terminate(self.pick(self.world.running(), which))


@pytest.mark.timeout(TIMEOUT)
@pytest.mark.usefixtures("order_alone_decides")
def test_protocol_of_submissions_keeps_its_promises_in_every_schedule(
    database_url: str, record_property: Callable[[str, object], None]
) -> None:
    record_property("protocol", run_schedules(SubmissionProtocol, database_url))
