"""Elastic Email keeps to what every adapter must do."""

from __future__ import annotations

from typing import ClassVar

from hermod.channels.registry import Senders
from hermod.contracts.notifications.messages import Outcome
from hermod.contracts.notifications.outcomes import Accepted
from tests.integration.conformance.conftest import Counterpart
from tests.integration.conformance.email_suite import EmailConformance
from tests.integration.conformance.suite import SenderConformance


class TestElasticEmail(EmailConformance):
    provider: ClassVar = "elasticemail"
    OUTCOMES: ClassVar = SenderConformance.OUTCOMES | {"rejected_recipient": Outcome.MESSAGE_REJECTED}
    INLINE: ClassVar = "cid:logo.png"

    async def test_send_again_with_another_body_is_unknown(self, senders: Senders, counterpart: Counterpart) -> None:
        first = self._outgoing()
        edited = self._outgoing(id=first.id, attempt=2, sender="Others <others@example.com>")
        sender = self._sender(senders, counterpart)
        assert isinstance(await sender.send(first), Accepted)
        assert (await sender.send(edited)).kind is Outcome.UNKNOWN
        assert len(await counterpart.inbox(self.provider)) == 1
