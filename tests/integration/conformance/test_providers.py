"""The conformance suite, provider by provider, and what only one provider does."""

from __future__ import annotations

from typing import Any, ClassVar

from hermod.channels.registry import Senders
from hermod.contracts.notifications.content import AnyContent, Channel, Push, Sms
from hermod.contracts.notifications.messages import Outcome
from hermod.contracts.notifications.outcomes import Accepted
from tests.integration.conformance.conftest import Counterpart
from tests.integration.conformance.email_suite import EmailConformance
from tests.integration.conformance.suite import SenderConformance


class AtTheSandbox(SenderConformance):
    provider: ClassVar = "sandbox"

    def settings(self, counterpart: Counterpart) -> dict[str, Any]:
        return {"credentials": {"api_key": "key"}, "base_url": f"{counterpart.url}/sandbox"}

    def settings_at(self, host: str, port: int) -> dict[str, Any]:
        return {"credentials": {"api_key": "key"}, "base_url": f"http://{host}:{port}/sandbox"}


class TestSandboxEmail(AtTheSandbox, EmailConformance):
    pass


class TestSandboxPush(AtTheSandbox):
    channel: ClassVar = Channel.PUSH
    sender: ClassVar = None

    def content(self) -> AnyContent:
        return Push(to="device-token-1", title="Hello", body="Hi Ada", data={"order": 7})


class TestSendGrid(EmailConformance):
    provider: ClassVar = "sendgrid"

    def settings(self, counterpart: Counterpart) -> dict[str, Any]:
        return {"credentials": {"api_key": "SG.key"}, "base_url": f"{counterpart.url}/sendgrid"}

    def settings_at(self, host: str, port: int) -> dict[str, Any]:
        return {"credentials": {"api_key": "SG.key"}, "base_url": f"http://{host}:{port}"}


class TestTwilio(SenderConformance):
    provider: ClassVar = "twilio"
    channel: ClassVar = Channel.SMS
    sender: ClassVar = "+15005550006"
    credentials: ClassVar = {
        "account_sid": "AC" + "0123456789abcdef" * 2,
        "auth_token": "token-of-the-account",
        "status_callback": "https://hermod.example.com/ingress/receipts/twilio/demo/main",
    }

    def settings(self, counterpart: Counterpart) -> dict[str, Any]:
        return {"credentials": self.credentials, "base_url": f"{counterpart.url}/twilio"}

    def settings_at(self, host: str, port: int) -> dict[str, Any]:
        return {"credentials": self.credentials, "base_url": f"http://{host}:{port}"}

    def content(self) -> AnyContent:
        return Sms(to="+14155550100", body="Grüße & 😀")

    async def test_send_picture_through_a_messaging_service_arrives(
        self, senders: Senders, counterpart: Counterpart
    ) -> None:
        content = Sms(to="+14155550100", media_urls=("https://example.com/1.png", "https://example.com/2.png"))
        service = "MG" + "0123456789abcdef" * 2
        outcome = await self._sender(senders, counterpart).send(self._outgoing(content=content, sender=service))
        assert isinstance(outcome, Accepted), outcome
        assert (outcome.provider_id or "").startswith("MM")


class TestSmtp(EmailConformance):
    provider: ClassVar = "smtp"
    OUTCOMES: ClassVar = {
        "error_500": Outcome.TRANSIENT,
        "error_503": Outcome.TRANSIENT,
        "reset": Outcome.TRANSIENT,
        "accept_then_reset": Outcome.UNKNOWN,
        "wrong_content_type": Outcome.UNKNOWN,
        "html_error": Outcome.UNKNOWN,
        "truncated_json": Outcome.UNKNOWN,
        "bad_credentials": Outcome.ACCOUNT_HALTED,
        "rejected_recipient": Outcome.RECIPIENT_REJECTED,
        "rejected_message": Outcome.MESSAGE_REJECTED,
    }

    def settings(self, counterpart: Counterpart) -> dict[str, Any]:
        return self.settings_at("127.0.0.1", counterpart.smtp_port)

    def settings_at(self, host: str, port: int) -> dict[str, Any]:
        return {"credentials": {"host": host, "port": str(port), "tls": "none"}}


class TestSmtpWithLogin(TestSmtp):
    def settings_at(self, host: str, port: int) -> dict[str, Any]:
        login = {"username": "mailer", "password": "s3cret-pass"}
        return {"credentials": {"host": host, "port": str(port), "tls": "none", **login}}
