"""The conformance suite for Mitto, whose status alone does not say that a message was taken."""

from __future__ import annotations

from typing import ClassVar

from hermod.contracts.notifications.content import AnyContent, Channel, Sms
from hermod.contracts.notifications.messages import Outcome
from tests.integration.conformance.suite import SenderConformance


class TestMitto(SenderConformance):
    provider: ClassVar = "mitto"
    channel: ClassVar = Channel.SMS
    sender: ClassVar = "Hermod"
    OUTCOMES: ClassVar = {
        **SenderConformance.OUTCOMES,
        "wrong_content_type": Outcome.UNKNOWN,
        "truncated_json": Outcome.UNKNOWN,
    }

    def content(self) -> AnyContent:
        return Sms(to="+14155550100", body="Grüße & 😀")
