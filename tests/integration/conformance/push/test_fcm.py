"""FCM at the sandbox: its messages, and the access tokens that it asks for first."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import orjson
import pytest

from hermod.channels.push.fcm.sender import FcmSender
from hermod.channels.registry import Senders
from hermod.contracts.notifications.content import AnyContent, Channel, Push
from hermod.contracts.notifications.messages import Outcome
from hermod.contracts.notifications.outcomes import Accepted, Fault, RecipientRejected
from tests.integration.conformance.conftest import Counterpart
from tests.integration.conformance.suite import SenderConformance

TOKEN = "cXk3:APA91b" + "Zq-_7" * 20


def key_file(example: str, **changes: Any) -> str:
    return orjson.dumps({**orjson.loads(example), **changes}).decode()


class TestFcm(SenderConformance):
    provider: ClassVar = "fcm"
    channel: ClassVar = Channel.PUSH
    sender: ClassVar = None

    def settings(self, counterpart: Counterpart, **changes: Any) -> dict[str, Any]:
        return self._settings(f"{counterpart.url}/fcm", **changes)

    def settings_at(self, host: str, port: int) -> dict[str, Any]:
        return self._settings(f"http://{host}:{port}")

    def _settings(self, base_url: str, **changes: Any) -> dict[str, Any]:
        example = self._credentials()["service_account"]
        changed = key_file(example, token_uri=f"{base_url}/token", **changes)
        return {"credentials": {"service_account": changed}, "base_url": base_url}

    def content(self) -> AnyContent:
        return Push(to=TOKEN, title="Grüße", body="Hi Ada 😀", data={"order": 7}, collapse_key="order", ttl_seconds=60)

    def fcm_sender(self, senders: Senders, counterpart: Counterpart, **changes: Any) -> FcmSender:
        sender = senders.sender(self._account(self.settings(counterpart, **changes)))
        assert isinstance(sender, FcmSender)
        return sender

    async def test_send_asks_for_one_access_token_for_all(self, senders: Senders, counterpart: Counterpart) -> None:
        sender = self.fcm_sender(senders, counterpart)
        outcomes = await asyncio.gather(*(sender.send(self._outgoing()) for _ in range(10)))
        first = sender.access.value
        assert all(isinstance(outcome, Accepted) for outcome in outcomes)
        await sender.send(self._outgoing())
        assert sender.access.value == first

    async def test_send_with_a_token_that_is_refused_gets_another_and_is_accepted(
        self, senders: Senders, counterpart: Counterpart
    ) -> None:
        sender = self.fcm_sender(senders, counterpart)
        await sender.send(self._outgoing())
        sender.access.value = "ya29.0000000000." + "0" * 32
        outcomes = await asyncio.gather(*(sender.send(self._outgoing()) for _ in range(5)))
        assert {outcome.kind for outcome in outcomes} == {Outcome.ACCEPTED}
        assert len(await counterpart.inbox("fcm")) == 6

    async def test_send_account_that_google_does_not_know_is_halted_and_nothing_is_sent(
        self, senders: Senders, counterpart: Counterpart
    ) -> None:
        sender = self.fcm_sender(senders, counterpart, private_key_id="bad-key")
        outcome = await sender.send(self._outgoing())
        assert (outcome.kind, outcome.error_code) == (Outcome.ACCOUNT_HALTED, "invalid_grant")
        assert await counterpart.inbox("fcm") == []

    @pytest.mark.parametrize("token", ["no token at all", "nö"])
    async def test_send_token_that_is_none_is_the_tokens_fault(
        self, senders: Senders, counterpart: Counterpart, token: str
    ) -> None:
        outcome = await self._sender(senders, counterpart).send(self._outgoing(content=Push(to=token, title="Hi")))
        assert isinstance(outcome, RecipientRejected), outcome
        assert outcome.fault is Fault.WRONG_TOKEN

    async def test_send_everything_a_push_can_have_arrives(self, senders: Senders, counterpart: Counterpart) -> None:
        content = Push(
            to=TOKEN,
            title="Order",
            body="Ready",
            image="https://example.com/1.png",
            url="https://example.com/orders/7",
            collapse_key="an order: 7",
            ttl_seconds=0,
            data={"lines": [1, 2], "note": "ok", "gift": None},
        )
        outcome = await self._sender(senders, counterpart).send(self._outgoing(content=content))
        assert isinstance(outcome, Accepted), outcome
        (item,) = await counterpart.inbox("fcm")
        data = orjson.loads(item["headers"]["data"])
        assert data == {"lines": "[1,2]", "note": "ok", "gift": "null", "url": "https://example.com/orders/7"}
        assert (item["subject"], item["text"], item["media_urls"]) == ("Order", "Ready", ["https://example.com/1.png"])
