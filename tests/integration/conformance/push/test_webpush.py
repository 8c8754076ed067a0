"""Web Push: the suite, with a push service that checks the token and a browser that decrypts what it gets."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from devstack.sandbox.providers.webpush import subscription
from hermod.channels.push.webpush.vapid import private_key, public_key
from hermod.channels.registry import KITS, Senders
from hermod.contracts.notifications.content import AnyContent, Channel, Push
from hermod.contracts.notifications.messages import Outcome
from hermod.contracts.notifications.outcomes import Accepted, AnyOutcome, Fault, RecipientRejected
from hermod.outbound.addresses.guard import AddressGuard
from hermod.outbound.wiring import AdapterContext
from tests.integration.conformance.conftest import Counterpart
from tests.integration.conformance.suite import SenderConformance

KEY = KITS["webpush"].example.credentials["vapid_private_key"]


class TestWebPush(SenderConformance):
    provider: ClassVar = "webpush"
    channel: ClassVar = Channel.PUSH
    sender: ClassVar = None
    OUTCOMES: ClassVar = SenderConformance.OUTCOMES | {"bad_credentials": Outcome.RECIPIENT_REJECTED}
    """A push service says the same of one old subscription as of a wrong key, so that no answer halts the account."""

    @pytest.fixture(autouse=True)
    def _at(self, counterpart: Counterpart) -> None:
        self.base_url = f"{counterpart.url}/webpush"

    def settings(self, counterpart: Counterpart) -> dict[str, Any]:
        return {"credentials": self._credentials()}

    def settings_at(self, host: str, port: int) -> dict[str, Any]:
        self.base_url = f"http://{host}:{port}"
        return {"credentials": self._credentials()}

    def content(self) -> AnyContent:
        return self._to("device-1")

    def _to(self, device: str, key: str | None = None) -> Push:
        return Push(
            to=subscription(self.base_url, device, key),
            title="Grüße & 😀",
            body="Hi Ada",
            image="https://example.com/1.png",
            url="https://example.com/orders/7",
            data={"order": 7},
            collapse_key="order-7",
            ttl_seconds=60,
        )

    def _recipient(self, content: AnyContent) -> str:
        assert isinstance(content.to, dict)
        return str(content.to["endpoint"])

    async def test_send_is_shown_by_the_browser(self, senders: Senders, counterpart: Counterpart) -> None:
        await self._sender(senders, counterpart).send(self._outgoing())
        (item,) = await counterpart.inbox(self.provider)
        assert (item["subject"], item["text"]) == ("Grüße & 😀", "Hi Ada")
        assert item["media_urls"] == ["https://example.com/1.png"]
        assert (item["headers"]["url"], item["headers"]["data"]) == ("https://example.com/orders/7", '{"order":7}')
        assert (item["headers"]["TTL"], item["headers"]["Urgency"]) == ("60", "normal")

    async def test_send_message_as_large_as_may_be_is_taken(self, senders: Senders, counterpart: Counterpart) -> None:
        sender = self._sender(senders, counterpart)
        padding = 3993 - len('{"data":{"x":""},"message_id":"msg_0000000000000000000000000000"}')
        content = Push(to=subscription(self.base_url, "device-1"), data={"x": "x" * padding})
        assert sender.cannot_express(content) is None
        assert isinstance(await sender.send(self._outgoing(content=content)), Accepted)
        larger = Push(to=subscription(self.base_url, "device-1"), data={"x": "x" * (padding + 1)})
        assert "3993" in (sender.cannot_express(larger) or "")

    async def test_send_to_a_subscription_of_our_key_is_accepted_and_of_another_is_a_wrong_token(
        self, senders: Senders, counterpart: Counterpart
    ) -> None:
        sender = self._sender(senders, counterpart)
        ours = public_key(private_key(KEY))
        assert isinstance(await sender.send(self._outgoing(content=self._to("one", ours))), Accepted)
        outcome = await sender.send(self._outgoing(content=self._to("one", ours[::-1])))
        assert isinstance(outcome, RecipientRejected)
        assert (outcome.fault, outcome.status_code) == (Fault.WRONG_TOKEN, 403)

    async def test_send_to_a_subscription_that_is_gone_is_unregistered(
        self, senders: Senders, counterpart: Counterpart
    ) -> None:
        outcome = await self._sender(senders, counterpart).send(self._outgoing(content=self._to("bounced:1")))
        assert isinstance(outcome, RecipientRejected)
        assert (outcome.fault, outcome.status_code) == (Fault.UNREGISTERED, 410)

    async def test_send_to_a_private_address_is_refused_without_halting_the_account(self) -> None:
        senders = Senders(wiring=AdapterContext(guard=AddressGuard(), deadline=2))
        sender = senders.sender(self._account({"credentials": self._credentials()}))
        content = Push(to=subscription("https://127.0.0.1:9", "device-1"), title="Hello")
        outcome: AnyOutcome = await sender.send(self._outgoing(content=content))
        assert isinstance(outcome, RecipientRejected)
        assert (outcome.fault, outcome.error_code) == (Fault.UNREACHABLE, "address_refused")
        assert "public" in (sender.cannot_express(content) or "")
        await senders.aclose()
