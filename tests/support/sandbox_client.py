"""Speaking to a sandbox the way an application would."""

from __future__ import annotations

import base64
import json
from email.message import EmailMessage
from typing import Any
from urllib.parse import urlencode

import aiohttp
import aiosmtplib

from devstack.sandbox import Sandbox

ACCOUNT = "AC0123456789abcdef0123456789abcdef"
AUTHORIZATION = "Basic " + base64.b64encode(f"{ACCOUNT}:token".encode()).decode()
"""Of the Twilio account."""
Answer = tuple[int, Any, dict[str, str]]
"""Status, body (parsed where it is JSON, else text), headers."""


class SandboxClient:
    """HTTP on one session, a new SMTP connection for each mail."""

    def __init__(self, box: Sandbox, session: aiohttp.ClientSession) -> None:
        self.box = box
        self._session = session

    async def call(self, method: str, path: str, **options: Any) -> Answer:
        async with self._session.request(method, self.box.url + path, **options) as response:
            text = await response.text()
            body = json.loads(text) if response.content_type == "application/json" else text
            return response.status, body, dict(response.headers)

    async def get(self, path: str) -> Any:
        status, body, _ = await self.call("GET", path)
        assert status == 200, body
        return body

    async def inbox(self, **query: str) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = (await self.get("/_sandbox/inbox?" + urlencode(query)))["items"]
        return items

    async def fault(self, provider: str, name: str, **more: Any) -> None:
        status, body, _ = await self.call("PUT", f"/_sandbox/faults/{provider}", json={"fault": name, **more})
        assert status == 200, body

    async def sandbox(self, number: int = 1, to: str = "ada@example.com", key: str | None = None) -> Answer:
        message = {"id": f"msg_{number}", "channel": "email", "to": to, "from": None, "attempt": 1}
        headers = {"Authorization": "Bearer key"} | ({"Idempotency-Key": key} if key else {})
        content = {"subject": "Hi", "text": "Hello"}
        return await self.call("POST", "/sandbox/v1/messages", json=message | {"content": content}, headers=headers)

    async def sendgrid(self, to: str = "ada@example.com") -> Answer:
        mail = {
            "personalizations": [{"to": [{"email": to}], "custom_args": {"hermod_message_id": "msg_1"}}],
            "from": {"email": "hello@example.com"},
            "subject": "Hi",
            "content": [{"type": "text/plain", "value": "Hello"}],
        }
        return await self.call("POST", "/sendgrid/v3/mail/send", json=mail, headers={"Authorization": "Bearer SG.key"})

    async def twilio(self, to: str = "+14155550100") -> Answer:
        return await self.call(
            "POST",
            f"/twilio/2010-04-01/Accounts/{ACCOUNT}/Messages.json",
            data={"To": to, "From": "+14155550199", "Body": "Hello"},
            headers={"Authorization": AUTHORIZATION},
        )

    async def provider(self, name: str) -> Answer:
        sent: Answer = await getattr(self, name)()
        return sent

    async def mail(self, *recipients: str, message: EmailMessage | None = None, **options: Any) -> str:
        """The reply to the final dot."""
        _, reply = await aiosmtplib.send(
            message or plain_mail(),
            hostname="127.0.0.1",
            port=self.box.smtp_port,
            recipients=list(recipients or ("ada@example.com",)),
            start_tls=False,
            timeout=5,
            **options,
        )
        return reply


def plain_mail() -> EmailMessage:
    message = EmailMessage()
    message["From"] = "Hermod <hello@example.com>"
    message["To"] = "ada@example.com"
    message["Subject"] = "Hi"
    message["Message-ID"] = "<msg_1@example.com>"
    message.set_content("Hello")
    return message
