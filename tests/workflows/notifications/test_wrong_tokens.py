"""Push tokens that an account calls wrong: few of them fail alone, a mass of them makes the account rest."""

from __future__ import annotations

from hermod.contracts.notifications.content import Channel, Push
from hermod.contracts.notifications.messages import Status
from hermod.contracts.notifications.outcomes import Accepted, AnyOutcome, Fault, RecipientRejected
from tests.support.product import ProductFixture

WRONG = RecipientRejected(status_code=400, error_code="BadDeviceToken", fault=Fault.WRONG_TOKEN)


def pushes(count: int) -> list[Push]:
    return [Push(to=f"token-{number}", title="Hello") for number in range(count)]


async def test_batch_of_wrong_tokens_stops_after_its_first_wave_and_goes_on_when_the_account_works(
    skipping: ProductFixture,
) -> None:
    await skipping.add_account("main", channel=Channel.PUSH)
    script = skipping.script("main", *[WRONG] * 21, Accepted())
    receipt = await skipping.hermod.send_many(list(pushes(60)))
    views = [await skipping.ended(one.id) for one in receipt.receipts]
    statuses = [view.status for view in views]
    # The first wave has twenty; the twenty-first was the probe after the rest, and did not prove that it works.
    assert (statuses.count(Status.FAILED), statuses.count(Status.SENT)) == (21, 39)
    assert len(script.sent) == 60
    reasons = [decision.reason for view in views for decision in view.decisions if decision.kind == "account"]
    assert any("20 tokens in a row" in reason for reason in reasons)


async def test_some_wrong_tokens_among_good_ones_fail_alone(skipping: ProductFixture) -> None:
    await skipping.add_account("main", channel=Channel.PUSH)
    turns: list[AnyOutcome] = [WRONG, Accepted()]
    skipping.script("main", *turns * 15, Accepted())
    receipt = await skipping.hermod.send_many(list(pushes(30)))
    views = [await skipping.ended(one.id) for one in receipt.receipts]
    assert [view.status for view in views].count(Status.FAILED) == 15
    core = skipping.hermod.core
    assert (await core.storage.accounts.get(skipping.hermod.tenant, "main", core.clock.now())).available
