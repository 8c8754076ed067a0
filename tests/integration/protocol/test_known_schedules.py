"""Schedules that once broke a promise, or would with one condition less: few of the drawn ones come upon them.

They are rules of the models by name, so that everything is watched that the models watch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import pytest

from hermod.contracts.notifications.messages import Guarantee
from hermod.domain.payments.payments import FactKind
from tests.integration.protocol.gates import Fate
from tests.integration.protocol.machine import Deliveries, Machine, run_schedule
from tests.integration.protocol.test_message_protocol import MessageProtocol
from tests.integration.protocol.test_submission_protocol import SubmissionProtocol
from tests.integration.protocol.test_webhook_protocol import WebhookProtocol

Rule = tuple[Callable[..., None], Mapping[str, Any]]


def _until(stop: str, machine: type[Machine] = Deliveries) -> int:
    return machine.STOPS.index(stop)


END: Final = _until("the end")
SECOND_STARTS_WHILE_THE_FIRST_IS_LATE: Final[tuple[Rule, ...]] = (
    (Deliveries.hand_out, {"which": 0, "worker": 0, "until": _until("request")}),
    (Deliveries.step, {"which": 0, "fate": Fate.LATE}),
    (Deliveries.time_passes, {"minutes": 30, "days": 0}),
    (Deliveries.another_takes_over, {"which": 0, "worker": 1, "until": _until("request")}),
)
FIRST_IS_LATE_WHILE_THE_RECORD_IS_AT_REST: Final[tuple[Rule, ...]] = (
    *SECOND_STARTS_WHILE_THE_FIRST_IS_LATE[:-1],
    (Deliveries.another_takes_over, {"which": 0, "worker": 1, "until": _until("grant")}),
    (Deliveries.goes_on, {"which": 0, "until": END}),
    (Deliveries.worker_dies, {"which": 0, "made": False}),
    (Deliveries.time_passes, {"minutes": 1, "days": 0}),
)
FIRST_IS_FROZEN_BEFORE_IT_RECORDS: Final[tuple[Rule, ...]] = (
    (Deliveries.hand_out, {"which": 0, "worker": 0, "until": _until("record")}),
    (Deliveries.time_passes, {"minutes": 30, "days": 0}),
    (Deliveries.another_takes_over, {"which": 0, "worker": 1, "until": _until("record")}),
    (Deliveries.goes_on, {"which": 0, "until": END}),
    (Deliveries.goes_on, {"which": 0, "until": END}),
)
TWO_ARE_GRANTED_THE_SAME: Final[tuple[Rule, ...]] = (
    (Deliveries.hand_out, {"which": 0, "worker": 0, "until": _until("grant")}),
    (Deliveries.another_takes_over, {"which": 0, "worker": 1, "until": END}),
    (Deliveries.goes_on, {"which": 0, "until": END}),
)
CANCELLED_WHILE_A_LIVING_WORKER_MAKES_A_REQUEST: Final[tuple[Rule, ...]] = (
    (Deliveries.hand_out, {"which": 0, "worker": 0, "until": _until("request")}),
    (Deliveries.workflow_is_reset_or_cancelled, {"which": 0, "cancels": True}),
    (Deliveries.heartbeat_is_overdue, {"which": 0}),
    (Deliveries.cancel_step, {"which": 0}),
)
GRANT_IS_MADE_AND_ITS_ANSWER_LOST_AS_THE_WORKER_IS_CUT_OFF: Final[tuple[Rule, ...]] = (
    (Deliveries.hand_out, {"which": 0, "worker": 0, "until": _until("grant")}),
    (Deliveries.worker_is_shut_down, {"which": 0}),
    (Deliveries.time_to_drain_is_over, {"which": 0}),
    (Deliveries.step, {"which": 0, "fate": Fate.LOST_ANSWER}),
    (Deliveries.goes_on, {"which": 0, "until": END}),
    (Deliveries.hand_out, {"which": 0, "worker": 0, "until": END}),
)
GRANT_NEVER_WAS_AND_THE_NEXT_ONE_IS_TAKEN: Final[tuple[Rule, ...]] = (
    (Deliveries.hand_out, {"which": 0, "worker": 0, "until": _until("grant")}),
    (Deliveries.step, {"which": 0, "fate": Fate.NOT_MADE}),
    (Deliveries.goes_on, {"which": 0, "until": END}),
    (Deliveries.hand_out, {"which": 0, "worker": 0, "until": _until("record")}),
)
FIRST_GOES_ON: Final[Rule] = (Deliveries.goes_on, {"which": 0, "until": END})
STANDS_BEFORE_A_CHANGE: Final[Rule] = (Deliveries.hand_out, {"which": 0, "worker": 0, "until": _until("change")})
ANOTHER_MAKES_A_REQUEST: Final[Rule] = (Deliveries.another_takes_over, {"which": 0, "worker": 1, "until": END})


SUBMISSION_IS_TAKEN_UP: Final[tuple[Rule, ...]] = (
    (SubmissionProtocol.begin, {"paid": False}),
    (SubmissionProtocol.time_passes, {"minutes": 1, "days": 0}),
    (SubmissionProtocol.sweep, {}),
    (SubmissionProtocol.hand_out, {"which": 0, "worker": 0, "until": _until("the end", SubmissionProtocol)}),
)
WORKFLOW_IS_TERMINATED: Final[Rule] = (SubmissionProtocol.workflow_is_terminated, {"which": 0})


WORKER_DIES: Final[Rule] = (Deliveries.worker_dies, {"which": 0, "made": False})
NEXT_TRY: Final[Rule] = (Deliveries.hand_out, {"which": 0, "worker": 0, "until": END})
NO_ACCOUNT_FOR_TEN_HOURS: Final[Rule] = (MessageProtocol.accounts_change, {"which": 0, "minutes": 600})


def _newest_is(machine: Deliveries, status: str) -> None:
    newest = max(machine.wait_for(machine.world.rows()), key=lambda row: row.id)
    assert newest.status == status, newest


def _messages(*answers: str, first: Guarantee = Guarantee.AT_LEAST_ONCE) -> Rule:
    return MessageProtocol.begin, {"keyed": False, "first": first, "count": 1, "answers": list(answers)}


def _webhooks(*answers: str, count: int = 1) -> Rule:
    return WebhookProtocol.begin, {"counts": (count,), "when_exhausted": "dead_letter", "answers": list(answers)}


SCHEDULES: Final[Mapping[str, tuple[type[Machine], tuple[Rule, ...]]]] = {
    "message-is-known-to-be-accepted-while-another-request-is-under-way": (
        MessageProtocol,
        (_messages("accept", "busy", "busy"), *SECOND_STARTS_WHILE_THE_FIRST_IS_LATE, FIRST_GOES_ON, FIRST_GOES_ON),
    ),
    "delivery-is-known-to-be-delivered-while-another-request-is-under-way": (
        WebhookProtocol,
        (_webhooks("accept", "busy"), *SECOND_STARTS_WHILE_THE_FIRST_IS_LATE, FIRST_GOES_ON, FIRST_GOES_ON),
    ),
    "message-is-accepted-and-a-frozen-worker-says-so-after-the-next-request": (
        MessageProtocol,
        (_messages("accept", "busy"), *FIRST_IS_FROZEN_BEFORE_IT_RECORDS),
    ),
    "delivery-is-delivered-and-a-frozen-worker-says-so-after-the-next-request": (
        WebhookProtocol,
        (_webhooks("accept", "busy"), *FIRST_IS_FROZEN_BEFORE_IT_RECORDS),
    ),
    "message-turns-out-accepted-while-it-waits": (
        MessageProtocol,
        (_messages("accept"), *FIRST_IS_LATE_WHILE_THE_RECORD_IS_AT_REST),
    ),
    "delivery-turns-out-delivered-while-it-waits": (
        WebhookProtocol,
        (_webhooks("accept"), *FIRST_IS_LATE_WHILE_THE_RECORD_IS_AT_REST),
    ),
    "message-is-granted-from-an-old-look": (MessageProtocol, (_messages("busy", "busy"), *TWO_ARE_GRANTED_THE_SAME)),
    "delivery-is-granted-from-an-old-look": (WebhookProtocol, (_webhooks("busy"), *TWO_ARE_GRANTED_THE_SAME)),
    "message-is-cancelled-under-a-request": (
        MessageProtocol,
        (_messages("accept"), *CANCELLED_WHILE_A_LIVING_WORKER_MAKES_A_REQUEST),
    ),
    "delivery-is-cancelled-under-a-request": (
        WebhookProtocol,
        (_webhooks("accept"), *CANCELLED_WHILE_A_LIVING_WORKER_MAKES_A_REQUEST),
    ),
    "message-is-granted-without-an-answer-as-its-worker-is-cut-off": (
        MessageProtocol,
        (_messages(first=Guarantee.AT_MOST_ONCE), *GRANT_IS_MADE_AND_ITS_ANSWER_LOST_AS_THE_WORKER_IS_CUT_OFF),
    ),
    "delivery-is-granted-without-an-answer-as-its-worker-is-cut-off": (
        WebhookProtocol,
        (_webhooks(), *GRANT_IS_MADE_AND_ITS_ANSWER_LOST_AS_THE_WORKER_IS_CUT_OFF),
    ),
    "delivery-is-granted-without-an-answer-as-another-is-interrupted": (
        WebhookProtocol,
        (
            _webhooks(count=3),
            (Deliveries.hand_out, {"which": 0, "worker": 0, "until": _until("request")}),
            (Deliveries.step, {"which": 1, "fate": Fate.GO}),
            *GRANT_IS_MADE_AND_ITS_ANSWER_LOST_AS_THE_WORKER_IS_CUT_OFF[1:],
        ),
    ),
    "message-waits-from-an-old-look": (
        MessageProtocol,
        (
            _messages("busy", "busy"),
            (MessageProtocol.accounts_change, {"which": 0, "minutes": 60}),
            STANDS_BEFORE_A_CHANGE,
            (MessageProtocol.accounts_change, {"which": 0, "minutes": 0}),
            ANOTHER_MAKES_A_REQUEST,
            FIRST_GOES_ON,
        ),
    ),
    "delivery-waits-from-an-old-look": (
        WebhookProtocol,
        (
            _webhooks("busy"),
            (WebhookProtocol.endpoint_changes, {"which": 0, "change": "pause"}),
            STANDS_BEFORE_A_CHANGE,
            (WebhookProtocol.endpoint_changes, {"which": 0, "change": "no pause"}),
            ANOTHER_MAKES_A_REQUEST,
            FIRST_GOES_ON,
        ),
    ),
    "message-is-taken-after-a-grant-that-never-was-and-its-worker-dies": (
        MessageProtocol,
        (
            _messages("accept", first=Guarantee.AT_MOST_ONCE),
            *GRANT_NEVER_WAS_AND_THE_NEXT_ONE_IS_TAKEN,
            WORKER_DIES,
            NEXT_TRY,
        ),
    ),
    "message-is-taken-after-a-grant-that-never-was-and-its-worker-is-late": (
        MessageProtocol,
        (_messages("accept"), *GRANT_NEVER_WAS_AND_THE_NEXT_ONE_IS_TAKEN, ANOTHER_MAKES_A_REQUEST, FIRST_GOES_ON),
    ),
    "delivery-is-taken-after-a-grant-that-never-was-and-its-worker-dies": (
        WebhookProtocol,
        (_webhooks("accept"), *GRANT_NEVER_WAS_AND_THE_NEXT_ONE_IS_TAKEN, WORKER_DIES, NEXT_TRY),
    ),
    "delivery-is-taken-after-a-grant-that-never-was-and-its-worker-is-late": (
        WebhookProtocol,
        (_webhooks("accept"), *GRANT_NEVER_WAS_AND_THE_NEXT_ONE_IS_TAKEN, ANOTHER_MAKES_A_REQUEST, FIRST_GOES_ON),
    ),
    "payment-failed-and-is-made-while-the-worker-that-announced-its-failure-dies": (
        SubmissionProtocol,
        (
            (SubmissionProtocol.begin, {"paid": False}),
            (SubmissionProtocol.payment_says, {"which": 0, "kind": FactKind.FAILED}),
            (SubmissionProtocol.workflow_hears_of_payment, {"which": 0, "marked": False}),
            (SubmissionProtocol.hand_out, {"which": 0, "worker": 0, "until": _until("announce", SubmissionProtocol)}),
            (SubmissionProtocol.payment_says, {"which": 0, "kind": FactKind.PAID}),
            (SubmissionProtocol.worker_dies, {"which": 0, "made": True}),
        ),
    ),
    "all-but-one-of-a-share-that-left-its-batch-end-before-that-is-told": (
        WebhookProtocol,
        (
            (
                WebhookProtocol.begin,
                {"counts": (2, 1), "when_exhausted": "dead_letter", "answers": ["accept, no answer"]},
            ),
            (Deliveries.hand_out, {"which": 0, "worker": 0, "until": _until("record")}),
            (Deliveries.step, {"which": 0, "fate": Fate.GO}),
            (Deliveries.step, {"which": 0, "fate": Fate.LOST_ANSWER}),
            FIRST_GOES_ON,
            NEXT_TRY,
        ),
    ),
    "message-is-too-late-between-two-accounts": (
        MessageProtocol,
        (
            _messages(),
            NEXT_TRY,
            (MessageProtocol.accept, {"guarantee": Guarantee.AT_LEAST_ONCE, "count": 1, "lives": 5}),
            (MessageProtocol.sweep, {}),
            (MessageProtocol.provider_will, {"answers": ["busy"]}),
            (Deliveries.hand_out, {"which": 0, "worker": 0, "until": _until("record")}),
            NO_ACCOUNT_FOR_TEN_HOURS,
            FIRST_GOES_ON,
            (_newest_is, {"status": "expired"}),
        ),
    ),
    "message-is-cancelled-between-two-accounts": (
        MessageProtocol,
        (
            _messages("busy"),
            (Deliveries.hand_out, {"which": 0, "worker": 0, "until": _until("record")}),
            NO_ACCOUNT_FOR_TEN_HOURS,
            FIRST_GOES_ON,
            (MessageProtocol.somebody_moves_a_message, {"which": 0, "move": "cancel", "started": False}),
            (_newest_is, {"status": "cancelled"}),
        ),
    ),
    "message-turns-out-accepted-between-two-accounts": (
        MessageProtocol,
        (
            _messages("accept", "busy"),
            (Deliveries.hand_out, {"which": 0, "worker": 0, "until": _until("record")}),
            (Deliveries.time_passes, {"minutes": 30, "days": 0}),
            (Deliveries.another_takes_over, {"which": 0, "worker": 1, "until": _until("request")}),
            NO_ACCOUNT_FOR_TEN_HOURS,
            (Deliveries.step, {"which": 1, "fate": Fate.GO}),
            (Deliveries.step, {"which": 1, "fate": Fate.GO}),
            FIRST_GOES_ON,
            (_newest_is, {"status": "sent"}),
        ),
    ),
    "payment-wakes-a-workflow-that-is-terminated-before-it-looks": (
        SubmissionProtocol,
        (
            *SUBMISSION_IS_TAKEN_UP,
            (SubmissionProtocol.payment_says, {"which": 0, "kind": FactKind.REFUNDED}),
            (SubmissionProtocol.workflow_hears_of_payment, {"which": 0, "marked": True}),
            WORKFLOW_IS_TERMINATED,
        ),
    ),
    "payment-is-announced-by-a-workflow-that-is-terminated-before-it-writes-that-down": (
        SubmissionProtocol,
        (
            *SUBMISSION_IS_TAKEN_UP,
            (SubmissionProtocol.payment_says, {"which": 0, "kind": FactKind.PAID}),
            (SubmissionProtocol.workflow_hears_of_payment, {"which": 0, "marked": True}),
            (SubmissionProtocol.hand_out, {"which": 0, "worker": 0, "until": _until("told", SubmissionProtocol)}),
            WORKFLOW_IS_TERMINATED,
            (SubmissionProtocol.worker_dies, {"which": 0, "made": False}),
        ),
    ),
}


@pytest.mark.usefixtures("order_alone_decides")
@pytest.mark.parametrize("name", SCHEDULES)
def test_known_schedule_keeps_every_promise(name: str, database_url: str) -> None:
    machine, rules = SCHEDULES[name]
    run_schedule(machine, database_url, rules)
