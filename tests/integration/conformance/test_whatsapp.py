"""The conformance suite for the providers of WhatsApp, and the templates of each."""

from __future__ import annotations

from typing import Any, ClassVar

import orjson

from hermod.channels.registry import Senders
from hermod.contracts.notifications.content import AnyContent, Channel, WhatsApp
from hermod.contracts.notifications.outcomes import Accepted
from tests.integration.conformance.conftest import Counterpart
from tests.integration.conformance.suite import SenderConformance

_COMPONENTS = (
    {"type": "header", "parameters": [{"type": "image", "image": {"link": "https://example.com/1.png"}}]},
    {"type": "body", "parameters": [{"type": "text", "text": "Zoë"}, {"type": "text", "text": "42"}]},
    {"type": "button", "sub_type": "quick_reply", "index": "0", "parameters": [{"type": "payload", "payload": "STOP"}]},
)


class WhatsAppConformance(SenderConformance):
    channel: ClassVar = Channel.WHATSAPP

    def content(self) -> AnyContent:
        return WhatsApp(to="+14155550100", body="Grüße & 😀")

    async def _sent(self, senders: Senders, counterpart: Counterpart, name: str, language: str) -> dict[str, Any]:
        template = {"name": name, "language": language, "components": _COMPONENTS}
        content = WhatsApp.model_validate({"to": "+14155550100", "template": template})
        sender = self._sender(senders, counterpart)
        assert sender.cannot_express(content) is None
        outcome = await sender.send(self._outgoing(content=content))
        assert isinstance(outcome, Accepted), outcome
        (item,) = await counterpart.inbox(self.provider)
        return item


class TestWhatsAppCloud(WhatsAppConformance):
    provider: ClassVar = "whatsapp_cloud"
    sender: ClassVar = None

    async def test_send_template_arrives_with_its_parameters(self, senders: Senders, counterpart: Counterpart) -> None:
        item = await self._sent(senders, counterpart, "order_update", "en_US")
        assert orjson.loads(item["text"]) == {
            "name": "order_update",
            "language": {"code": "en_US"},
            "components": list(_COMPONENTS),
        }


class TestTwilioWhatsApp(WhatsAppConformance):
    provider: ClassVar = "twilio_whatsapp"
    sender: ClassVar = "+15005550006"

    def _credentials(self) -> dict[str, str]:
        callback = "https://hermod.example.com/ingress/receipts/twilio_whatsapp/demo/main"
        return super()._credentials() | {"status_callback": callback}

    async def test_send_template_arrives_with_its_variables(self, senders: Senders, counterpart: Counterpart) -> None:
        item = await self._sent(senders, counterpart, "HX" + "0123456789abcdef" * 2, "en")
        assert item["headers"]["ContentSid"] == "HX" + "0123456789abcdef" * 2
        assert orjson.loads(item["headers"]["ContentVariables"]) == {
            "1": "https://example.com/1.png",
            "2": "Zoë",
            "3": "42",
            "4": "STOP",
        }
