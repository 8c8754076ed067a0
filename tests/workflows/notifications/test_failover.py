"""Several accounts: failover, the breaker with its probes, and accounts that nobody can use."""

from __future__ import annotations

import itertools
from datetime import timedelta

from hermod.contracts.notifications.content import Email
from hermod.contracts.notifications.messages import Outcome, Status
from hermod.contracts.notifications.outcomes import Accepted, AccountHalted, RecipientRejected, Transient
from hermod.contracts.notifications.retries import Preset
from tests.support.polling import eventually
from tests.support.product import ProductFixture

LETTER = Email(to="ada@example.com", subject="Hello", text="Hello")


async def test_transient_fault_fails_over_at_once_and_spends_one_attempt(skipping: ProductFixture) -> None:
    await skipping.add_account("first")
    await skipping.add_account("second", order=20)
    skipping.script("first", Transient())
    skipping.script("second", Transient(), Accepted())
    view = await skipping.ended((await skipping.hermod.send(LETTER)).id)
    assert view.status is Status.SENT
    assert [attempt.account for attempt in view.attempts] == ["first", "second", "first", "second"]
    assert [decision.kind for decision in view.decisions].count("failover") == 2
    routes = [(decision.verdict, decision.reason) for decision in view.decisions if decision.kind == "route"]
    second = ("second", "first was tried in this round")
    assert routes == [("first", "first in order"), second, ("first", "first in order"), second]


async def test_rejected_recipient_is_not_tried_elsewhere(skipping: ProductFixture) -> None:
    await skipping.add_account("first")
    await skipping.add_account("second", order=20)
    skipping.script("first", RecipientRejected(status_code=550, error_code="5.1.1"))
    second = skipping.script("second")
    view = await skipping.ended((await skipping.hermod.send(LETTER)).id)
    assert view.status is Status.FAILED
    assert not second.sent


async def test_named_account_is_the_only_one_asked(skipping: ProductFixture) -> None:
    await skipping.add_account("first")
    await skipping.add_account("second", order=20)
    view = await skipping.ended((await skipping.hermod.send(LETTER, provider_account="second")).id)
    assert [attempt.account for attempt in view.attempts] == ["second"]
    assert [decision.reason for decision in view.decisions] == ["the message names it"]


async def test_halted_account_opens_its_breaker_and_the_next_message_passes_it_by(skipping: ProductFixture) -> None:
    await skipping.add_account("first")
    await skipping.add_account("second", order=20)
    first = skipping.script("first", AccountHalted(status_code=401))
    await skipping.ended((await skipping.hermod.send(LETTER)).id)
    view = await skipping.ended((await skipping.hermod.send(LETTER)).id)
    assert [attempt.account for attempt in view.attempts] == ["second"]
    assert view.decisions[0].reason == "first is halted"
    assert len(first.sent) == 1


async def test_only_account_halted_is_probed_until_it_works_and_no_attempt_is_spent(skipping: ProductFixture) -> None:
    await skipping.add_account("only")
    halted = AccountHalted(status_code=401)
    skipping.script("only", *[halted] * 7, Accepted(provider_id="p"))
    view = await skipping.ended((await skipping.hermod.send(LETTER)).id)
    assert view.status is Status.SENT
    assert [attempt.outcome for attempt in view.attempts] == [Outcome.ACCOUNT_HALTED] * 7 + [Outcome.ACCEPTED]
    waited = view.attempts[-1].started_at - view.attempts[0].started_at
    assert timedelta(minutes=30) < waited < timedelta(hours=2)
    account = await skipping.hermod.core.storage.accounts.get(
        skipping.hermod.tenant, "only", skipping.hermod.core.clock.now()
    )
    assert account.available


async def test_message_waits_while_no_account_is_enabled_and_goes_when_one_is(house: ProductFixture) -> None:
    await house.add_account("off", enabled=False)
    receipt = await house.hermod.send(LETTER)
    view = await house.reached(receipt.id, Status.DEFERRED)
    assert view.next_attempt_at is not None
    assert [decision.kind for decision in view.decisions] == ["wait"]
    await house.hermod.cancel(receipt.id)
    assert (await house.hermod.status(receipt.id)).status is Status.CANCELLED


async def test_content_that_no_account_can_carry_is_a_dead_letter_with_the_reason(skipping: ProductFixture) -> None:
    await skipping.add_account("plain")
    skipping.script("plain").refuses = "no attachments"
    view = await skipping.ended((await skipping.hermod.send(LETTER)).id)
    assert view.status is Status.FAILED
    assert view.error == "plain cannot: no attachments"
    assert not view.attempts


async def test_workflow_of_a_waiting_message_shows_when_it_goes_on(house: ProductFixture) -> None:
    await house.add_account("off", enabled=False)
    receipt = await house.hermod.send(LETTER)
    await house.reached(receipt.id, Status.DEFERRED)

    async def pending() -> str:
        description = await house.client.get_workflow_handle(receipt.workflow_id).describe()
        activities = description.raw_description.pending_activities
        return activities[0].last_failure.message if activities else ""

    assert "next attempt in" in await eventually(pending)
    await house.hermod.cancel(receipt.id)


REFUSED = Transient(error_code="connect", error="no connection")


async def test_provider_that_is_away_is_tried_one_request_at_a_time_and_those_behind_spend_nothing(
    skipping: ProductFixture,
) -> None:
    await skipping.add_account("only")
    skipping.script("only", *[REFUSED] * (13 + 3), Accepted())
    receipt = await skipping.hermod.send_many([LETTER] * 13)
    views = [await skipping.ended(one.id) for one in receipt.receipts]
    assert {view.status for view in views} == {Status.SENT}
    failed = sorted(
        attempt.started_at for view in views for attempt in view.attempts if attempt.outcome is Outcome.TRANSIENT
    )
    assert len(failed) == 13 + 3
    probes = failed[12:]
    assert all(later - earlier >= timedelta(seconds=10) for earlier, later in itertools.pairwise(probes))
    assert any(len(view.attempts) == 2 for view in views)
    reasons = {decision.reason for view in views for decision in view.decisions if decision.kind == "wait"}
    assert "only is away" in reasons


async def test_messages_go_by_the_next_account_while_the_first_is_away(skipping: ProductFixture) -> None:
    await skipping.add_account("first")
    await skipping.add_account("second", order=20)
    first = skipping.script("first", REFUSED)
    skipping.script("second")
    for _ in range(5):
        await skipping.ended((await skipping.hermod.send(LETTER)).id)
    view = await skipping.ended((await skipping.hermod.send(LETTER)).id)
    assert [attempt.account for attempt in view.attempts] == ["second"]
    assert view.decisions[0].reason == "first is away"
    assert len(first.sent) == 5


async def test_one_message_that_fails_again_and_again_does_not_stop_its_account(skipping: ProductFixture) -> None:
    await skipping.add_account("only")
    skipping.script("only", *[REFUSED] * 5, Accepted())
    await skipping.ended((await skipping.hermod.send(LETTER, retry=Preset.NOTIFICATION)).id)
    account = await skipping.hermod.core.storage.accounts.get(
        skipping.hermod.tenant, "only", skipping.hermod.core.clock.now()
    )
    assert account.available
    assert (await skipping.ended((await skipping.hermod.send(LETTER)).id)).status is Status.SENT


async def test_greylisted_recipients_do_not_stop_the_account(skipping: ProductFixture) -> None:
    await skipping.add_account("only")
    skipping.script("only", *[Transient(status_code=450, error_code="4.2.1")] * 8, Accepted())
    receipt = await skipping.hermod.send_many([LETTER] * 8)
    views = [await skipping.ended(one.id) for one in receipt.receipts]
    assert all(len(view.attempts) == 2 for view in views)
    assert not any(decision.kind == "wait" for view in views for decision in view.decisions)
