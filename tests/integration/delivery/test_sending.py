"""Messages from the client to the provider sandbox and back into the ledger."""

from __future__ import annotations

from hermod.contracts.notifications.content import Email
from hermod.contracts.notifications.messages import Outcome, Status
from tests.support.product import ProductFixture


async def test_send_one_email_reaches_the_provider_and_its_story_can_be_read(house: ProductFixture) -> None:
    await house.add_account("main")
    receipt = await house.hermod.send(
        Email(to="ada@example.com", subject="Welcome", text="Hello"), priority=7, request_id="req-1"
    )
    view = await house.ended(receipt.id)
    assert view.status is Status.SENT
    assert [(attempt.number, attempt.account, attempt.outcome) for attempt in view.attempts] == [
        (1, "main", Outcome.ACCEPTED)
    ]
    assert [decision.kind for decision in view.decisions] == ["route"]
    assert view.provider_message_id
    assert view.request_id == "req-1"
    assert view.workflow_id == f"message/{house.hermod.tenant}/{receipt.id}"
