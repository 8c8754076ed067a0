"""Postmark through the conformance suite, and its batches."""

from __future__ import annotations

from typing import Any, ClassVar

from hermod.channels.email.postmark.sender import PostmarkSender
from hermod.channels.registry import Senders
from hermod.contracts.notifications.content import Email
from hermod.contracts.notifications.messages import Outcome
from hermod.contracts.notifications.outcomes import Accepted, AnyOutcome, Fault, RecipientRejected
from hermod.ports.notifications.sender import Outgoing
from tests.integration.conformance.conftest import Counterpart
from tests.integration.conformance.email_suite import EmailConformance


class TestPostmark(EmailConformance):
    provider: ClassVar = "postmark"

    async def test_send_inactive_recipient_is_on_the_list(self, senders: Senders, counterpart: Counterpart) -> None:
        await counterpart.fail(self.provider, "rejected_recipient")
        outcome = await self._sender(senders, counterpart).send(self._outgoing())
        assert isinstance(outcome, RecipientRejected)
        assert outcome.fault is Fault.LISTED

    async def test_batch_arrives_message_by_message(self, senders: Senders, counterpart: Counterpart) -> None:
        messages = [self._outgoing() for _ in range(500)]
        outcomes = await self._batch(senders, counterpart, messages)
        items = {item["message_id"]: item["provider_message_id"] for item in await counterpart.inbox(self.provider)}
        assert [outcome.kind for outcome in outcomes] == [Outcome.ACCEPTED] * 500
        ids = [outcome.provider_id for outcome in outcomes if isinstance(outcome, Accepted)]
        assert [items[message.id] for message in messages] == ids

    async def test_batch_refuses_single_messages(self, senders: Senders, counterpart: Counterpart) -> None:
        people = ["ada", "bounced", "bob", "rejected", "carl"]
        messages = [
            self._outgoing(content=Email(to=f"{name}@example.com", subject="Hello", text="Hi")) for name in people
        ]
        outcomes = await self._batch(senders, counterpart, messages)
        assert [outcome.kind for outcome in outcomes] == [
            Outcome.ACCEPTED,
            Outcome.RECIPIENT_REJECTED,
            Outcome.ACCEPTED,
            Outcome.MESSAGE_REJECTED,
            Outcome.ACCEPTED,
        ]
        items = await counterpart.inbox(self.provider)
        assert sorted(item["message_id"] for item in items) == sorted(messages[place].id for place in (0, 2, 4))

    async def test_batch_fault_befalls_all_of_it(self, senders: Senders, counterpart: Counterpart) -> None:
        expected = {
            "error_500": (Outcome.UNKNOWN, 0),
            "throttle": (Outcome.THROTTLED, 0),
            "bad_credentials": (Outcome.ACCOUNT_HALTED, 0),
            "html_error": (Outcome.UNKNOWN, 0),
            "reset": (Outcome.UNKNOWN, 0),
            "accept_then_reset": (Outcome.UNKNOWN, 3),
            "truncated_json": (Outcome.UNKNOWN, 3),
            "wrong_content_type": (Outcome.UNKNOWN, 3),
        }
        for fault, (kind, arrived) in expected.items():
            await counterpart.fail(self.provider, fault, times=1)
            outcomes = await self._batch(senders, counterpart, [self._outgoing() for _ in range(3)])
            assert {outcome.kind for outcome in outcomes} == {kind}, fault
            assert len(outcomes) == 3
            assert len(await counterpart.inbox(self.provider)) == arrived, fault
            await counterpart.mend()
            await counterpart.clear()

    async def _batch(self, senders: Senders, counterpart: Counterpart, messages: list[Outgoing]) -> list[AnyOutcome]:
        sender: Any = self._sender(senders, counterpart)
        assert isinstance(sender, PostmarkSender)
        return list(await sender.send_batch(messages))
