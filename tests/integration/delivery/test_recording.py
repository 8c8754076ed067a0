"""What a wave of requests came to is recorded before anything else is written."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from activities.dispatch.progress import DispatchInput
from activities.notifications.account_sender import BatchWait
from activities.notifications.batch_slots import FairSemaphore, Slot
from activities.notifications.dispatcher import MessageDispatcher
from hermod.clock import SystemClock
from hermod.contracts.errors import Unavailable
from hermod.contracts.ids import message_id
from hermod.contracts.notifications.content import Channel, Email
from hermod.contracts.notifications.messages import Outcome, Status, Submission
from hermod.contracts.notifications.outcomes import Accepted, Throttled
from hermod.storage.notifications.acceptance import Draft, Ready
from tests.support.product import ProductFixture

OWNER = "batch/a-test/by-hand"


async def test_database_lost_while_an_account_is_blocked_keeps_the_outcomes(
    skipping: ProductFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    await skipping.add_account("main")
    skipping.script("main", Accepted(provider_id="p1"), Throttled(retry_after=60))
    storage, tenant = skipping.hermod.core.storage, skipping.hermod.tenant
    letter = Submission(content=Email(to="ada@example.com", subject="Hello", text="Hello"))
    drafts = [Draft(message_id(), OWNER, None, Ready(submission=letter, content=letter.content)) for _ in range(2)]
    await storage.acceptance.take(tenant, drafts, datetime.now(UTC))
    names = tuple(draft.id for draft in drafts)

    async def away(*_arguments: Any) -> None:
        raise Unavailable("the database does not answer")

    assert skipping.senders is not None
    monkeypatch.setattr(storage.accounts, "block", away)
    delivery = MessageDispatcher(
        DispatchInput(tenant=tenant, channel=Channel.EMAIL, owner=OWNER, run="run", messages=names),
        ledger=storage.ledger,
        accounts=storage.accounts,
        senders=skipping.senders,
        hygiene=storage.hygiene,
        limiter=storage.rates,
        rate_wait=BatchWait(Slot(FairSemaphore(), tenant, priority=5)),
        clock=SystemClock(),
        stopping=lambda: False,
    )
    with pytest.raises(Unavailable):
        await delivery.run({})
    views = [await skipping.hermod.status(name) for name in names]
    assert sorted(view.status for view in views) == [Status.RETRYING, Status.SENT]
    assert {view.attempts[0].outcome for view in views} == {Outcome.ACCEPTED, Outcome.THROTTLED}
