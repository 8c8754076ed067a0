"""The two suites say what every adapter must do; a provider's tests fill in the blanks, and add its own tables."""

from __future__ import annotations

from typing import ClassVar

import orjson
import pytest

from devstack.sandbox.entry import Entry
from hermod.channels.registry import KITS
from hermod.contracts.notifications.content import AnyContent, Channel, Sms
from hermod.contracts.notifications.messages import Outcome
from hermod.contracts.notifications.outcomes import Fault, RecipientRejected
from hermod.contracts.notifications.receipts import ReceiptEventType
from tests.integration.conformance.suite import SenderConformance
from tests.unit.channels import samples
from tests.unit.channels.receipt_suite import MESSAGE, ReceiptConformance


class TestAcme(SenderConformance):
    provider: ClassVar = "acme"
    channel: ClassVar = Channel.SMS
    sender: ClassVar = "+15005550006"

    def content(self) -> AnyContent:
        return Sms(to="+14155550100", body="Hi Ada")


class TestAcmeReceipts(ReceiptConformance):
    provider: ClassVar = "acme"
    HAPPENINGS: ClassVar = frozenset(
        {ReceiptEventType.DELIVERED, ReceiptEventType.BOUNCED, ReceiptEventType.UNSUBSCRIBED}
    )
    SECRETS: ClassVar = ("webhook_secret",)

    def entry(self) -> Entry:
        return Entry(
            provider="acme",
            channel="sms",
            message_id=MESSAGE,
            provider_message_id="a1",
            sender="+15005550006",
            to=("+14155550100",),
        )


def test_request_is_complete_has_every_field() -> None:
    sender = KITS["acme"].adapter(samples.account("acme"), samples.wiring())
    request = sender.request(samples.outgoing(samples.sms()))  # type: ignore[attr-defined]
    assert orjson.loads(request.content) == {
        "to": "+14155550100",
        "from": "+15005550006",
        "text": "Hi Ada",
        "reference": "msg_1",
    }


@pytest.mark.parametrize(
    ("code", "fault"),
    [("no_such_number", Fault.INVALID), ("opted_out", Fault.OPTED_OUT), ("handset_off", Fault.UNREACHABLE)],
)
def test_outcome_code_about_the_number_names_its_fault(code: str, fault: Fault) -> None:
    sender = KITS["acme"].adapter(samples.account("acme"), samples.wiring())
    answer = samples.reply(422, {"error": {"code": code, "message": "no"}})
    outcome = sender.outcome(answer, samples.outgoing(samples.sms()))  # type: ignore[attr-defined]
    assert (outcome.kind, outcome.fault) == (Outcome.RECIPIENT_REJECTED, fault)
    assert isinstance(outcome, RecipientRejected)
