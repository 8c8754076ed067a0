"""What an adapter cannot bear of one message is an end of that message; a fault of ours that goes on is seen."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from hermod.contracts.notifications.content import AnyContent, Email
from hermod.contracts.notifications.messages import Status
from hermod.ports.notifications.unsubscribing import UnsubscribeLinks
from hermod.storage.notifications.ledger import SqlLedger
from hermod.telemetry import ACTIVITY_FAILURES
from tests.support.polling import eventually
from tests.support.product import ProductFixture, ScriptedSender


def five(odd: str = "odd") -> list[Email]:
    return [Email(to=f"ada{number}@example.com", subject=odd if number == 2 else "a", text="b") for number in range(5)]


def is_odd(content: AnyContent) -> bool:
    return getattr(content, "subject", None) == "odd"


@pytest.mark.parametrize("method", ["cannot_express", "batchable"])
async def test_content_cannot_be_weighed_the_others_are_sent(
    skipping: ProductFixture, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    weigh = getattr(ScriptedSender, method)

    def weighed(sender: ScriptedSender, content: AnyContent) -> Any:
        if is_odd(content):
            raise RuntimeError("nobody has thought of this")
        return weigh(sender, content)

    monkeypatch.setattr(ScriptedSender, method, weighed)
    await skipping.add_account("main")
    skipping.script("main", max_batch=10)
    receipt = await skipping.hermod.send_many(five())
    views = [await skipping.ended(one.id) for one in receipt.receipts]
    ends = [Status.FAILED if method == "cannot_express" and place == 2 else Status.SENT for place in range(5)]
    assert [view.status for view in views] == ends
    if method == "cannot_express":
        assert "RuntimeError" in views[2].decisions[-1].reason


async def test_request_cannot_be_made_of_a_content_the_others_are_sent(
    skipping: ProductFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def prepared(item: Any, tenant: str, sender: ScriptedSender, links: UnsubscribeLinks | None) -> AnyContent:
        if is_odd(item.content):
            raise RuntimeError("nobody has thought of this")
        content: AnyContent = item.content
        return content

    monkeypatch.setattr("activities.notifications.dispatcher.content_with_link", prepared)
    await skipping.add_account("main")
    receipt = await skipping.hermod.send_many(five())
    views = [await skipping.ended(one.id) for one in receipt.receipts]
    assert [view.status for view in views] == [Status.FAILED if place == 2 else Status.SENT for place in range(5)]
    assert views[2].error_code == "unprepared"
    assert views[2].decisions[-1].reason == views[2].error


async def test_activity_fails_again_and_again_is_counted_and_named(
    skipping: ProductFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant, read, broken = skipping.hermod.tenant, SqlLedger.open_items, True

    async def open_items(ledger: SqlLedger, asked: str, *more: Any) -> Any:
        if broken and asked == tenant:
            raise TypeError("a fault of ours")
        return await read(ledger, asked, *more)

    monkeypatch.setattr(SqlLedger, "open_items", open_items)
    counted = ACTIVITY_FAILURES.labels("deliver", "TypeError")
    before = counted._value.get()
    await skipping.add_account("main")
    sent = await skipping.hermod.send(five()[0])
    failing = skipping.hermod.core.storage.failing

    async def named() -> bool:
        found = await failing.now(datetime.now().astimezone())
        return any(
            (one.activity, one.error, one.example) == ("deliver", "TypeError", sent.workflow_id) for one in found
        )

    assert await eventually(named, within=30)
    assert counted._value.get() >= before + 3
    broken = False
    await skipping.reached(sent.id, Status.SENT)
