"""Many messages in one workflow: rounds, leaving, dead letters, and accounts in trouble."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from temporalio.client import WorkflowFailureError

from hermod.contracts.notifications.content import Channel, Email, Sms
from hermod.contracts.notifications.messages import Outcome, Status
from hermod.contracts.notifications.outcomes import Accepted, AccountHalted, MessageRejected, Throttled, Transient
from hermod.contracts.notifications.retries import Preset
from hermod.domain.backoff import LISTED_JITTER
from tests.support.polling import eventually
from tests.support.product import ProductFixture

LETTER = Email(to="ada@example.com", subject="Hello", text="Hello")


async def test_send_many_groups_by_channel_and_priority_into_workflows_of_five_hundred(
    skipping: ProductFixture,
) -> None:
    await skipping.add_account("mail")
    await skipping.add_account("text", channel=Channel.SMS)
    letters = [Email(to=f"user{number}@example.com", subject="s", text="t") for number in range(1_200)]
    receipt = await skipping.hermod.send_many([*letters, Sms(to="+14155550100", body="one")])
    sizes = Counter(one.workflow_id for one in receipt.receipts)
    assert sorted(sizes.values()) == [1, 200, 500, 500]
    assert not receipt.rejected
    for one in receipt.receipts:
        assert (await skipping.ended(one.id)).status is Status.SENT


async def test_short_retries_are_later_rounds_of_the_same_batch(skipping: ProductFixture) -> None:
    await skipping.add_account("main")
    script = skipping.script("main", Transient(), Transient(), Accepted())
    receipt = await skipping.hermod.send_many([LETTER] * 4)
    views = [await skipping.ended(one.id) for one in receipt.receipts]
    assert [view.status for view in views] == [Status.SENT] * 4
    assert len({view.workflow_id for view in views}) == 1
    assert len(script.sent) == 6


async def test_message_whose_retry_is_far_away_leaves_for_a_workflow_of_its_own(skipping: ProductFixture) -> None:
    await skipping.add_account("main")
    skipping.script("main", Accepted(), Transient(), Transient(), Accepted())
    receipt = await skipping.hermod.send_many([LETTER] * 2, retry=Preset.WEBHOOK)
    views = [await skipping.ended(one.id) for one in receipt.receipts]
    assert [view.status for view in views] == [Status.SENT] * 2
    left = next(view for view in views if len(view.attempts) == 3)
    assert left.workflow_id == f"message/{skipping.hermod.tenant}/{left.id}"
    waited = (left.attempts[2].started_at - left.attempts[1].started_at).total_seconds()
    assert 120 <= waited <= 120 * (1 + LISTED_JITTER) + 2


async def test_dead_letters_of_a_batch_fail_its_workflow_and_one_can_be_retried_alone(skipping: ProductFixture) -> None:
    await skipping.add_account("main")
    skipping.script("main", Accepted(), MessageRejected(status_code=400), Accepted())
    receipt = await skipping.hermod.send_many([LETTER] * 3)
    views = [await skipping.ended(one.id) for one in receipt.receipts]
    with pytest.raises(WorkflowFailureError) as failed:
        await skipping.client.get_workflow_handle(views[0].workflow_id).result()
    assert "1 of 3 given up" in str(failed.value.cause)
    dead = next(view for view in views if view.status is Status.FAILED)
    again = await skipping.hermod.retry(dead.id)
    assert again.workflow_id == f"message/{skipping.hermod.tenant}/{dead.id}"
    assert (await skipping.reached(dead.id, Status.SENT)).attempts[-1].outcome is Outcome.ACCEPTED


async def test_halted_account_costs_a_batch_twenty_requests_and_no_attempts(skipping: ProductFixture) -> None:
    await skipping.add_account("main")
    script = skipping.script("main", *[AccountHalted(status_code=401)] * 20, Accepted())
    letters = [Email(to=f"user{number}@example.com", subject="s", text="t") for number in range(200)]
    receipt = await skipping.hermod.send_many(letters)
    views = [await skipping.ended(one.id) for one in receipt.receipts]
    assert {view.status for view in views} == {Status.SENT}
    assert len(script.sent) == 220
    assert {view.workflow_id for view in views} == {views[0].workflow_id}


async def test_throttled_batch_waits_as_a_whole_and_goes_on(skipping: ProductFixture) -> None:
    await skipping.add_account("main")
    script = skipping.script("main", *[Throttled(retry_after=300)] * 3, Accepted())
    receipt = await skipping.hermod.send_many([LETTER] * 100)
    views = [await skipping.ended(one.id) for one in receipt.receipts]
    assert {view.status for view in views} == {Status.SENT}
    assert len(script.sent) == 103


async def test_throttled_messages_of_a_batch_stay_together_however_long_the_provider_asks(
    skipping: ProductFixture,
) -> None:
    await skipping.add_account("main")
    skipping.script("main", *[Throttled(retry_after=900)] * 3, Accepted())
    receipt = await skipping.hermod.send_many([LETTER] * 3)
    views = [await skipping.ended(one.id) for one in receipt.receipts]
    assert {view.status for view in views} == {Status.SENT}
    assert len({view.workflow_id for view in views}) == 1
    first, second = views[0].attempts
    assert (second.started_at - first.started_at).total_seconds() == pytest.approx(900, abs=2)


async def test_burst_of_single_calls_shares_workflows_and_a_lone_call_has_its_own(house: ProductFixture) -> None:
    await house.add_account("main")
    letters = [Email(to=f"user{number}@example.com", subject="s", text="t") for number in range(120)]
    receipts = await asyncio.gather(*(house.hermod.send(letter) for letter in letters))
    assert len({receipt.id for receipt in receipts}) == 120
    assert len({receipt.workflow_id for receipt in receipts}) < 12
    views = [await house.ended(receipt.id) for receipt in receipts]
    assert {view.status for view in views} == {Status.SENT}

    async def has_its_own() -> bool:
        """As soon as the burst is a second ago."""
        alone = await house.hermod.send(LETTER)
        return alone.workflow_id == f"message/{house.hermod.tenant}/{alone.id}"

    await eventually(has_its_own, every=0.5)


async def test_one_bad_message_of_a_batch_is_rejected_and_the_others_go(house: ProductFixture) -> None:
    await house.add_account("main")
    receipt = await house.hermod.send_many([LETTER, Sms(to="+14155550100", body="no account for this"), LETTER])
    assert [one.index for one in receipt.rejected] == [1]
    assert [error.field for error in receipt.rejected[0].errors] == ["channel"]
    assert len(receipt.receipts) == 2
