"""APNs at the sandbox, over HTTP/2."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar

import orjson
import pytest

from hermod.channels.push.apns.sender import ApnsSender, apns_id
from hermod.channels.registry import Senders
from hermod.clock import SystemClock
from hermod.contracts.notifications.content import AnyContent, Channel, Push
from hermod.contracts.notifications.messages import Category, Outcome
from hermod.contracts.notifications.outcomes import Accepted, Fault, RecipientRejected
from hermod.outbound.addresses.guard import AddressGuard
from hermod.outbound.wiring import AdapterContext
from tests.integration.conformance.conftest import Counterpart
from tests.integration.conformance.suite import DEADLINE, SenderConformance

TOKEN = "0123456789abcdef" * 4


class MovableClock(SystemClock):
    """The wall's clock, and how far it is off."""

    off = timedelta(0)

    def now(self) -> Any:
        return super().now() + self.off


class TestApns(SenderConformance):
    provider: ClassVar = "apns"
    channel: ClassVar = Channel.PUSH
    sender: ClassVar = None
    OUTCOMES: ClassVar = {**SenderConformance.OUTCOMES, "error_503": Outcome.TRANSIENT}

    def settings(self, counterpart: Counterpart) -> dict[str, Any]:
        return {"credentials": self._credentials(), "base_url": counterpart.apns_url}

    def content(self) -> AnyContent:
        return Push(to=TOKEN, title="Grüße", body="Hi Ada 😀", data={"order": 7}, collapse_key="order", ttl_seconds=60)

    async def test_send_everything_a_push_can_have_arrives(self, senders: Senders, counterpart: Counterpart) -> None:
        content = Push(
            to=TOKEN.upper(),
            title="Order",
            body="Ready",
            image="https://example.com/1.png",
            url="https://example.com/orders/7",
            data={"lines": [1, 2]},
        )
        message = self._outgoing(content=content, category=Category.MARKETING)
        outcome = await self._sender(senders, counterpart).send(message)
        assert outcome == Accepted(status_code=200, provider_id=apns_id(message.id))
        (item,) = await counterpart.inbox("apns")
        assert orjson.loads(item["headers"]["data"]) == {
            "lines": [1, 2],
            "url": "https://example.com/orders/7",
            "image": "https://example.com/1.png",
        }
        assert item["headers"]["apns-priority"] == "5"
        assert item["to"] == [TOKEN]

    async def test_send_data_alone_wakes_the_app(self, senders: Senders, counterpart: Counterpart) -> None:
        content = Push(to=TOKEN, data={"sync": True})
        assert isinstance(await self._sender(senders, counterpart).send(self._outgoing(content=content)), Accepted)
        (item,) = await counterpart.inbox("apns")
        assert item["headers"]["apns-push-type"] == "background"

    async def test_send_token_that_is_none_is_the_tokens_fault(
        self, senders: Senders, counterpart: Counterpart
    ) -> None:
        content = Push(to="ab" * 20, title="Hi")
        outcome = await self._sender(senders, counterpart).send(self._outgoing(content=content))
        assert isinstance(outcome, RecipientRejected), outcome
        assert (outcome.fault, outcome.error_code) == (Fault.WRONG_TOKEN, "BadDeviceToken")

    async def test_send_after_the_provider_token_has_expired_makes_a_new_one(self, counterpart: Counterpart) -> None:
        clock = MovableClock()
        wiring = AdapterContext(guard=AddressGuard(allow_private=True), deadline=DEADLINE, clock=clock)
        sender = ApnsSender(self._account(self.settings(counterpart)), wiring)
        # What Apple calls an hour, this machine takes for half of one.
        clock.off = timedelta(minutes=-70)
        assert (await sender.send(self._outgoing())).error_code == "ExpiredProviderToken"
        clock.off = timedelta(minutes=-40)
        assert isinstance(await sender.send(self._outgoing()), Accepted)
        assert len(await counterpart.inbox("apns")) == 1
        await sender.aclose()

    @pytest.mark.parametrize("environment", ["production", "sandbox"])
    async def test_send_own_address_stands_above_the_environment(
        self, senders: Senders, counterpart: Counterpart, environment: str
    ) -> None:
        settings = self.settings(counterpart)
        settings["credentials"]["environment"] = environment
        sender = senders.sender(self._account(settings))
        assert isinstance(await sender.send(self._outgoing()), Accepted)
