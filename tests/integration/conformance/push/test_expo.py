"""Expo: the suite, many messages in one request, and the receipts that have to be asked for."""

from __future__ import annotations

from typing import ClassVar

import pytest

from hermod.channels.push.expo.sender import ExpoSender
from hermod.channels.registry import Senders
from hermod.contracts.errors import Unavailable
from hermod.contracts.notifications.content import AnyContent, Channel, Push
from hermod.contracts.notifications.messages import Outcome
from hermod.contracts.notifications.outcomes import Accepted, Fault, RecipientRejected
from hermod.contracts.notifications.receipts import ReceiptEventType
from hermod.ports.notifications.sender import Outgoing
from tests.integration.conformance.conftest import Counterpart
from tests.integration.conformance.suite import SenderConformance


class TestExpo(SenderConformance):
    provider: ClassVar = "expo"
    channel: ClassVar = Channel.PUSH
    sender: ClassVar = None
    OUTCOMES: ClassVar = SenderConformance.OUTCOMES | {
        "wrong_content_type": Outcome.UNKNOWN,
        "truncated_json": Outcome.UNKNOWN,
    }
    """Only a message's own ticket says that it was taken."""

    def content(self) -> AnyContent:
        return self._to("device-1")

    def _to(self, device: str) -> Push:
        return Push(
            to=f"ExponentPushToken[{device}]",
            title="Grüße & 😀",
            body="Hi Ada",
            image="https://example.com/1.png",
            url="https://example.com/orders/7",
            data={"order": 7},
            ttl_seconds=3600,
        )

    def _expo(self, senders: Senders, counterpart: Counterpart) -> ExpoSender:
        sender = self._sender(senders, counterpart)
        assert isinstance(sender, ExpoSender)
        return sender

    def _many(self, *devices: str) -> list[Outgoing]:
        return [self._outgoing(content=self._to(device)) for device in devices]

    async def test_send_batch_gives_each_message_its_own_outcome(
        self, senders: Senders, counterpart: Counterpart
    ) -> None:
        messages = self._many("a", "unregistered:1", "b")
        first, refused, third = await self._expo(senders, counterpart).send_batch(messages)
        assert isinstance(first, Accepted)
        assert isinstance(refused, RecipientRejected)
        assert refused.fault is Fault.UNREGISTERED
        assert isinstance(third, Accepted)
        items = await counterpart.inbox(self.provider)
        assert {item["message_id"]: item["provider_message_id"] for item in items} == {
            messages[0].id: first.provider_id,
            messages[2].id: third.provider_id,
        }

    async def test_send_batch_as_large_as_may_be_is_accepted(self, senders: Senders, counterpart: Counterpart) -> None:
        sender = self._expo(senders, counterpart)
        messages = self._many(*(f"device-{number}" for number in range(sender.capability.max_batch)))
        outcomes = await sender.send_batch(messages)
        assert {outcome.kind for outcome in outcomes} == {Outcome.ACCEPTED}
        assert len(await counterpart.inbox(self.provider)) == len(messages)

    async def test_send_batch_of_two_projects_is_refused_as_a_whole_and_taken_apart(
        self, senders: Senders, counterpart: Counterpart
    ) -> None:
        sender = self._expo(senders, counterpart)
        messages = self._many("acme/1", "other/1")
        outcomes = await sender.send_batch(messages)
        refused = (Outcome.MESSAGE_REJECTED, "PUSH_TOO_MANY_EXPERIENCE_IDS")
        assert [(one.kind, one.error_code) for one in outcomes] == [refused] * 2
        assert {(await sender.send(message)).kind for message in messages} == {Outcome.ACCEPTED}

    @pytest.mark.parametrize("fault", ["reset", "error_503", "truncated_json"])
    async def test_send_batch_that_fails_as_a_whole_is_unknown_for_all(
        self, senders: Senders, counterpart: Counterpart, fault: str
    ) -> None:
        await counterpart.fail(self.provider, fault)
        outcomes = await self._expo(senders, counterpart).send_batch(self._many("a", "b"))
        assert [outcome.kind for outcome in outcomes] == [Outcome.UNKNOWN] * 2

    async def test_poll_gives_the_receipts_that_are_there(self, senders: Senders, counterpart: Counterpart) -> None:
        sender = self._expo(senders, counterpart)
        outcomes = await sender.send_batch(self._many("a", "uninstalled:1"))
        tickets = [outcome.provider_id for outcome in outcomes if isinstance(outcome, Accepted)]
        events = await sender.poll([ticket for ticket in tickets if ticket] + ["nothing-known"] * 1100)
        assert [(event.provider_message_id, event.kind, event.word) for event in events] == [
            (tickets[0], ReceiptEventType.ACCEPTED, "ok"),
            (tickets[1], ReceiptEventType.UNREGISTERED, "error/DeviceNotRegistered"),
        ]
        assert not any("uninstalled" in (event.text or "") for event in events)

    async def test_poll_with_a_wrong_token_is_unavailable(self, senders: Senders, counterpart: Counterpart) -> None:
        settings = {"credentials": {"access_token": "bad"}, "base_url": f"{counterpart.url}/expo"}
        sender = senders.sender(self._account(settings))
        assert isinstance(sender, ExpoSender)
        with pytest.raises(Unavailable):
            await sender.poll(["ticket"])
