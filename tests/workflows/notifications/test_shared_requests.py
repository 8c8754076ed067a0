"""Several messages in one request: what it saves, and what a repeat of it is not."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import text

from activities.dispatch.progress import DispatchInput
from activities.notifications.account_sender import BatchWait
from activities.notifications.batch_slots import FairSemaphore, Slot
from activities.notifications.dispatcher import MessageDispatcher
from hermod.clock import SystemClock
from hermod.contracts.ids import message_id
from hermod.contracts.notifications.content import Attachment, Channel, Email
from hermod.contracts.notifications.messages import Guarantee, MessageView, Options, Outcome, Status, Submission
from hermod.contracts.notifications.outcomes import Accepted, MessageRejected, OutcomeUnknown
from hermod.ports.notifications.ledger import Intent
from hermod.storage.notifications.acceptance import Draft, Ready
from hermod.storage.notifications.ledger import SqlLedger
from hermod.storage.operations.workers import Workers
from tests.support.product import ProductFixture

LETTER = Email(to="ada@example.com", subject="Hello", text="Hello")
SHARED = text("SELECT shared FROM attempts WHERE tenant_id = :tenant ORDER BY message_id, number")


async def sent_many(
    house: ProductFixture, letters: list[Email], guarantee: Guarantee = Guarantee.AT_LEAST_ONCE
) -> list[MessageView]:
    receipt = await house.hermod.send_many(letters, guarantee=guarantee)
    return [await house.ended(one.id) for one in receipt.receipts]


async def shared(house: ProductFixture) -> list[bool]:
    """Of every attempt, message by message."""
    rows = await house.hermod.core.storage.database.rows(SHARED, {"tenant": house.hermod.tenant})
    return [row.shared for row in rows]


async def test_batch_goes_out_in_as_few_requests_as_the_provider_allows(skipping: ProductFixture) -> None:
    await skipping.add_account("main")
    script = skipping.script("main", max_batch=100)
    views = await sent_many(skipping, [LETTER] * 250)
    assert {view.status for view in views} == {Status.SENT}
    assert sorted(script.requests) == [50, 100, 100]
    assert all(await shared(skipping))


async def test_message_that_the_provider_does_not_take_with_others_goes_alone(skipping: ProductFixture) -> None:
    await skipping.add_account("main")
    script = skipping.script("main", max_batch=100)
    file = Attachment(filename="a.txt", content_type="text/plain", content_base64="YQ==")
    letter = Email(to="ada@example.com", subject="Hello", text="Hello", attachments=(file,))
    await sent_many(skipping, [LETTER, LETTER, letter])
    assert sorted(script.requests) == [1, 2]
    assert sorted(await shared(skipping)) == [False, True, True]


async def test_single_message_and_repeats_go_alone(skipping: ProductFixture) -> None:
    await skipping.add_account("main")
    script = skipping.script("main", OutcomeUnknown(), Accepted(), max_batch=100)
    views = await sent_many(skipping, [LETTER] * 3)
    assert [[attempt.outcome for attempt in view.attempts] for view in views] == [
        [Outcome.UNKNOWN, Outcome.ACCEPTED]
    ] * 3
    assert script.requests == [3, 1, 1, 1]
    assert await shared(skipping) == [True, False] * 3


async def test_unknown_outcome_of_a_shared_request_is_not_repeated_under_at_most_once(skipping: ProductFixture) -> None:
    await skipping.add_account("main")
    script = skipping.script("main", OutcomeUnknown(), Accepted(), idempotent=True, max_batch=100)
    views = await sent_many(skipping, [LETTER] * 3, guarantee=Guarantee.AT_MOST_ONCE)
    assert {view.status for view in views} == {Status.UNKNOWN}
    assert script.requests == [3]


async def test_shared_request_that_is_refused_costs_no_other_message_its_delivery(skipping: ProductFixture) -> None:
    await skipping.add_account("main")
    refused = MessageRejected(status_code=422, error_code="validation_error")
    script = skipping.script("main", refused, Accepted(), refused, Accepted(), max_batch=100)
    views = await sent_many(skipping, [LETTER] * 3)
    assert sorted(view.status for view in views) == [Status.FAILED, Status.SENT, Status.SENT]
    assert script.requests == [3, 1, 1, 1]


@pytest.mark.parametrize(("together", "ends"), [(True, Status.UNKNOWN), (False, Status.SENT)])
async def test_worker_lost_in_a_shared_request_leaves_the_guarantee_to_decide(
    skipping: ProductFixture, together: bool, ends: Status
) -> None:
    await skipping.add_account("main")
    skipping.script("main", idempotent=True, max_batch=100)
    storage, tenant, owner = skipping.hermod.core.storage, skipping.hermod.tenant, "batch/a-test/lost"
    asked = Submission(content=LETTER, options=Options(guarantee=Guarantee.AT_MOST_ONCE))
    drafts = [Draft(message_id(), owner, None, Ready(submission=asked, content=LETTER)) for _ in range(2)]
    now = datetime.now(UTC)
    await storage.acceptance.take(tenant, drafts, now)
    names = tuple(draft.id for draft in drafts)
    intents = [
        Intent(message=name, number=1, round=1, account="main", provider="sandbox", shared=together) for name in names
    ]
    lost = SqlLedger(storage.database, storage.contents, Workers(storage.database))
    assert await lost.grant(tenant, owner, intents, now) == set(names)
    assert skipping.senders is not None
    delivery = MessageDispatcher(
        DispatchInput(tenant=tenant, channel=Channel.EMAIL, owner=owner, run="run", messages=names),
        ledger=storage.ledger,
        accounts=storage.accounts,
        senders=skipping.senders,
        hygiene=storage.hygiene,
        limiter=storage.rates,
        rate_wait=BatchWait(Slot(FairSemaphore(), tenant, priority=5)),
        clock=SystemClock(),
        stopping=lambda: False,
    )
    await delivery.run({})
    assert {(await skipping.hermod.status(name)).status for name in names} == {ends}
