"""Amazon SES through the conformance suite. The sandbox checks the signature over host, path and body."""

from __future__ import annotations

from typing import ClassVar

from hermod.channels.registry import Senders
from hermod.contracts.notifications.content import Email
from hermod.contracts.notifications.messages import Outcome
from tests.integration.conformance.conftest import Counterpart
from tests.integration.conformance.email_suite import EmailConformance


class TestSes(EmailConformance):
    provider: ClassVar = "ses"
    # SES has one error type for all that is wrong with a request, an address that it cannot parse among them.
    OUTCOMES: ClassVar = {**EmailConformance.OUTCOMES, "rejected_recipient": Outcome.MESSAGE_REJECTED}

    async def test_send_with_another_secret_halts_the_account(self, senders: Senders, counterpart: Counterpart) -> None:
        settings = self.settings(counterpart)
        settings["credentials"]["secret_access_key"] = "another-secret"
        outcome = await senders.sender(self._account(settings)).send(self._outgoing())
        assert (outcome.kind, outcome.error_code) == (Outcome.ACCOUNT_HALTED, "InvalidSignatureException")

    async def test_send_with_temporary_credentials_signs_their_token(
        self, senders: Senders, counterpart: Counterpart
    ) -> None:
        settings = self.settings(counterpart)
        settings["credentials"]["session_token"] = "FwoGZXIvYXdzEBYaDH=="
        outcome = await senders.sender(self._account(settings)).send(self._outgoing())
        assert outcome.kind is Outcome.ACCEPTED, outcome

    async def test_send_names_of_other_scripts_arrive(self, senders: Senders, counterpart: Counterpart) -> None:
        content = Email(
            to=f"{'Zoë ' * 20}<zoe@bücher.example>",
            subject="Grüße",
            text="Hallo",
            headers={"X-Note": "Grüße"},
        )
        outcome = await self._sender(senders, counterpart).send(self._outgoing(content=content))
        assert outcome.kind is Outcome.ACCEPTED, outcome
        (item,) = await counterpart.inbox(self.provider)
        assert (item["to"], item["headers"]["X-Note"]) == (["zoe@xn--bcher-kva.example"], "Grüße")
