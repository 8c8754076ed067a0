"""Addresses that get no messages are passed over at the instant of sending, not when the message was accepted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from hermod.contracts.notifications.content import AnyContent, Channel, Email, Sms
from hermod.contracts.notifications.messages import Category, Status
from hermod.contracts.notifications.outcomes import Accepted, Fault, RecipientRejected
from hermod.contracts.notifications.suppressions import Reason, SuppressionInput
from starter.notifications.suppressions import allow, suppress, suppressions
from tests.support.product import ProductFixture

LETTER = Email(to="Ada <Ada@example.com>", subject="Hello", text="Hello")
NUMBER = "+14155550100"
MARKETING, TRANSACTIONAL = Category.MARKETING, Category.TRANSACTIONAL


async def suppressed(house: ProductFixture, **changes: Any) -> str:
    one = SuppressionInput(**({"address": "ada@example.com", "channel": "email"} | changes))
    return (await suppress(house.hermod, one)).view.id


async def outcome(house: ProductFixture, content: AnyContent = LETTER, **options: Any) -> Status:
    receipt = await house.hermod.send(content, **options)
    return (await house.ended(receipt.id)).status


async def test_address_suppressed_before_is_passed_over_and_the_story_says_why(skipping: ProductFixture) -> None:
    await skipping.add_account("main")
    script = skipping.script("main", Accepted())
    await suppressed(skipping, reason="complaint")
    view = await skipping.ended((await skipping.hermod.send(LETTER)).id)
    assert (view.status, view.error_code, view.attempts) == (Status.SUPPRESSED, "suppressed", ())
    assert [(one.kind, one.verdict, one.reason) for one in view.decisions] == [
        ("suppression", "suppressed", "complaint")
    ]
    assert script.sent == []


async def test_address_suppressed_between_accept_and_send_is_passed_over(house: ProductFixture) -> None:
    await house.add_account("main")
    due = datetime.now(UTC) + timedelta(seconds=2)
    receipts = [await house.hermod.send(LETTER, send_at=due) for _ in range(2)]
    batch = await house.hermod.send_many([LETTER, LETTER.model_copy(update={"to": "bob@example.com"})], send_at=due)
    await suppressed(house)
    ended = [(await house.ended(one.id)).status for one in [*receipts, *batch.receipts]]
    assert ended == [Status.SUPPRESSED] * 3 + [Status.SENT]


async def test_address_allowed_again_before_the_send_gets_its_message(house: ProductFixture) -> None:
    await house.add_account("main")
    one = await suppressed(house)
    receipt = await house.hermod.send(LETTER, send_at=datetime.now(UTC) + timedelta(seconds=1))
    await allow(house.hermod, one)
    assert (await house.ended(receipt.id)).status is Status.SENT


@pytest.mark.parametrize(
    ("category", "sent", "expected"),
    [
        (None, MARKETING, Status.SUPPRESSED),
        (None, TRANSACTIONAL, Status.SUPPRESSED),
        (MARKETING, MARKETING, Status.SUPPRESSED),
        (MARKETING, TRANSACTIONAL, Status.SENT),
        (TRANSACTIONAL, MARKETING, Status.SENT),
    ],
)
async def test_suppression_reaches_as_far_as_its_category(
    skipping: ProductFixture, category: Category | None, sent: Category, expected: Status
) -> None:
    await skipping.add_account("main")
    await suppressed(skipping, category=category)
    assert await outcome(skipping, category=sent) is expected


@pytest.mark.parametrize(
    ("channel", "expected"), [(None, Status.SUPPRESSED), ("sms", Status.SUPPRESSED), ("whatsapp", Status.SENT)]
)
async def test_suppression_reaches_as_far_as_its_channel(
    skipping: ProductFixture, channel: str | None, expected: Status
) -> None:
    await skipping.add_account("texts", channel=Channel.SMS)
    await suppressed(skipping, address=NUMBER, channel=channel)
    assert await outcome(skipping, Sms(to=NUMBER, body="Hello")) is expected


async def test_suppression_expires_by_itself(house: ProductFixture) -> None:
    await house.add_account("main")
    await suppressed(house, expires_at=datetime.now(UTC) + timedelta(seconds=1.5))
    assert await outcome(house) is Status.SUPPRESSED
    receipt = await house.hermod.send(LETTER, send_at=datetime.now(UTC) + timedelta(seconds=2))
    assert (await house.ended(receipt.id)).status is Status.SENT


async def test_suppression_of_another_tenant_or_address_means_nothing(skipping: ProductFixture) -> None:
    await skipping.add_account("main")
    await suppressed(ProductFixture(skipping.hermod.as_tenant("another-tenant", "test"), skipping.client))
    await suppressed(skipping, address="bob@example.com")
    assert await outcome(skipping) is Status.SENT


async def test_recipient_refused_for_good_is_not_written_to_again(skipping: ProductFixture) -> None:
    await skipping.add_account("main")
    script = skipping.script("main", RecipientRejected(error_code="550", fault=Fault.INVALID), Accepted())
    assert await outcome(skipping) is Status.FAILED
    assert await outcome(skipping) is Status.SUPPRESSED
    assert len(script.sent) == 1
    (one,) = (await suppressions(skipping.hermod)).items
    assert (one.reason, one.source, one.detail) == (Reason.HARD_BOUNCE, "main", "550")


@pytest.mark.parametrize("where", ["cc", "bcc"])
@pytest.mark.parametrize(
    ("category", "suppression"),
    [
        (TRANSACTIONAL, {"reason": "hard_bounce"}),
        (MARKETING, {"reason": "complaint"}),
        (MARKETING, {"reason": "unsubscribed", "category": "marketing"}),
        (TRANSACTIONAL, {"reason": "manual", "channel": None}),
    ],
)
async def test_suppressed_address_in_copy_gets_nothing_and_the_others_do(
    skipping: ProductFixture, where: str, category: Category, suppression: dict[str, Any]
) -> None:
    await skipping.add_account("main")
    script = skipping.script("main", Accepted())
    await suppressed(skipping, address="bob@example.com", **suppression)
    copied = {where: ("Bob <BOB@example.com>", "eve@example.com")}
    letter = Email.model_validate(LETTER.model_dump() | copied)
    views = [await skipping.ended((await skipping.hermod.send(letter, category=category)).id)]
    batch = await skipping.hermod.send_many([letter, LETTER], category=category)
    views += [await skipping.ended(one.id) for one in batch.receipts]
    assert [view.status for view in views] == [Status.SENT] * 3
    contents = [outgoing.content for outgoing in script.sent]
    kept = [(one.to, getattr(one, where)) for one in contents if isinstance(one, Email)]
    assert sorted(kept) == sorted([(LETTER.to, ("eve@example.com",))] * 2 + [(LETTER.to, ())])
    reasons = [decision.reason for decision in views[0].decisions]
    assert reasons == [f"first in order; 1 in copy left out: {suppression['reason']}"]


async def test_unsubscribed_from_marketing_still_gets_other_mail_in_copy(skipping: ProductFixture) -> None:
    await skipping.add_account("main")
    script = skipping.script("main", Accepted())
    await suppressed(skipping, address="bob@example.com", reason="unsubscribed", category="marketing")
    letter = LETTER.model_copy(update={"cc": ("bob@example.com",)})
    assert await outcome(skipping, letter) is Status.SENT
    (sent,) = [one.content for one in script.sent]
    assert isinstance(sent, Email)
    assert sent.cc == ("bob@example.com",)
