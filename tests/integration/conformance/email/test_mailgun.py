"""Mailgun through the conformance suite."""

from __future__ import annotations

from typing import ClassVar

from hermod.channels.registry import Senders
from hermod.contracts.notifications.messages import Outcome
from tests.integration.conformance.conftest import Counterpart
from tests.integration.conformance.email_suite import EmailConformance


class TestMailgun(EmailConformance):
    provider: ClassVar = "mailgun"
    INLINE_FILE: ClassVar = "logo"
    OUTCOMES: ClassVar = {
        **EmailConformance.OUTCOMES,
        # A 200 is an acceptance only with the message's id in it: Mailgun's front page says 200, too.
        "wrong_content_type": Outcome.UNKNOWN,
        "truncated_json": Outcome.UNKNOWN,
        # There are no codes that would tell a bad address from a bad message.
        "rejected_recipient": Outcome.MESSAGE_REJECTED,
    }

    async def test_send_throttled_in_words_waits_as_long(self, senders: Senders, counterpart: Counterpart) -> None:
        await counterpart.fail(self.provider, "throttle", retry_after=77)
        outcome = await self._sender(senders, counterpart).send(self._outgoing())
        assert getattr(outcome, "retry_after", None) == 77

    async def test_send_beside_the_api_is_no_acceptance(self, senders: Senders, counterpart: Counterpart) -> None:
        settings = self.settings(counterpart)
        settings["base_url"] += "/v3"
        outcome = await senders.sender(self._account(settings)).send(self._outgoing())
        assert (outcome.kind, outcome.error_code) == (Outcome.UNKNOWN, "no_id")

    async def test_send_for_an_unknown_domain_halts_the_account(
        self, senders: Senders, counterpart: Counterpart
    ) -> None:
        settings = self.settings(counterpart)
        settings["credentials"]["domain"] = "bad.example.com"
        outcome = await senders.sender(self._account(settings)).send(self._outgoing())
        assert outcome.kind is Outcome.ACCOUNT_HALTED
