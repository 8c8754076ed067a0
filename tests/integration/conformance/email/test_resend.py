"""Resend keeps to what every adapter must do, and sends batches."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import pytest

from hermod.channels.email.resend.sender import ResendSender
from hermod.channels.registry import Senders
from hermod.contracts.notifications.content import Email
from hermod.contracts.notifications.messages import Outcome
from hermod.contracts.notifications.outcomes import Accepted, AnyOutcome
from hermod.ports.notifications.sender import Outgoing
from tests.integration.conformance.conftest import Counterpart
from tests.integration.conformance.email_suite import EmailConformance
from tests.integration.conformance.suite import SenderConformance

REFUSALS = {"rejected_recipient": Outcome.MESSAGE_REJECTED}
"""Resend does not say what it refused."""


class TestResend(EmailConformance):
    provider: ClassVar = "resend"
    OUTCOMES: ClassVar = SenderConformance.OUTCOMES | REFUSALS

    async def test_send_again_with_another_body_counts_as_sent(
        self, senders: Senders, counterpart: Counterpart
    ) -> None:
        first = self._outgoing()
        edited = self._outgoing(id=first.id, attempt=2, sender="Others <others@example.com>")
        sender = self._sender(senders, counterpart)
        assert isinstance(await sender.send(first), Accepted)
        outcome = await sender.send(edited)
        assert isinstance(outcome, Accepted)
        assert (outcome.error_code, outcome.provider_id) == ("invalid_idempotent_request", None)
        assert len(await counterpart.inbox(self.provider)) == 1

    async def test_send_batch_is_accepted_and_arrives(self, senders: Senders, counterpart: Counterpart) -> None:
        messages = self._messages(100)
        outcomes = await self._batch(senders, counterpart).send_batch(messages)
        arrived = {item["message_id"]: item["provider_message_id"] for item in await counterpart.inbox(self.provider)}
        assert [_id(outcome) for outcome in outcomes] == [arrived[message.id] for message in messages]
        assert len(set(arrived.values())) == 100

    async def test_send_batch_again_is_recognised(self, senders: Senders, counterpart: Counterpart) -> None:
        messages = self._messages(3)
        sender = self._batch(senders, counterpart)
        await counterpart.fail(self.provider, "accept_then_reset", times=1)
        assert {outcome.kind for outcome in await sender.send_batch(messages)} == {Outcome.UNKNOWN}
        assert {outcome.kind for outcome in await sender.send_batch(messages)} == {Outcome.ACCEPTED}
        assert [item["repeats"] for item in await counterpart.inbox(self.provider)] == [1, 1, 1]

    async def test_send_batch_with_one_bad_address_is_refused_as_a_whole(
        self, senders: Senders, counterpart: Counterpart
    ) -> None:
        bad = self._outgoing(content=Email(to="ada@example.com", cc=("jörg@example.com",), subject="s", text="t"))
        outcomes = await self._batch(senders, counterpart).send_batch([*self._messages(2), bad])
        assert {outcome.kind for outcome in outcomes} == {Outcome.MESSAGE_REJECTED}
        assert len({outcome.error for outcome in outcomes}) == 1
        assert await counterpart.inbox(self.provider) == []

    @pytest.mark.parametrize(
        ("fault", "kind"),
        [
            ("throttle", Outcome.THROTTLED),
            ("error_500", Outcome.UNKNOWN),
            ("bad_credentials", Outcome.ACCOUNT_HALTED),
            ("truncated_json", Outcome.ACCEPTED),
            ("html_error", Outcome.UNKNOWN),
        ],
    )
    async def test_send_batch_fault_is_that_of_each_message(
        self, senders: Senders, counterpart: Counterpart, fault: str, kind: Outcome
    ) -> None:
        await counterpart.fail(self.provider, fault)
        outcomes = await self._batch(senders, counterpart).send_batch(self._messages(3))
        assert [outcome.kind for outcome in outcomes] == [kind] * 3

    async def test_send_batches_at_once_arrive_once_each(self, senders: Senders, counterpart: Counterpart) -> None:
        sender = self._batch(senders, counterpart)
        batches = [self._messages(10) for _ in range(5)]
        await asyncio.gather(*(sender.send_batch(batch) for batch in batches))
        arrived = sorted(item["message_id"] for item in await counterpart.inbox(self.provider))
        assert arrived == sorted(message.id for batch in batches for message in batch)

    def _batch(self, senders: Senders, counterpart: Counterpart) -> ResendSender:
        sender: Any = self._sender(senders, counterpart)
        assert isinstance(sender, ResendSender)
        return sender

    def _messages(self, count: int) -> list[Outgoing]:
        return [
            self._outgoing(content=Email(to=f"ada{number}@example.com", subject="Hello", text="Hi"))
            for number in range(count)
        ]


def _id(outcome: AnyOutcome) -> str | None:
    assert isinstance(outcome, Accepted), outcome
    return outcome.provider_id
