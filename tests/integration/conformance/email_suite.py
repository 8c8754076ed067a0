"""What every adapter for email must carry beside what every adapter must do."""

from __future__ import annotations

import base64
from typing import ClassVar

from hermod.channels.registry import Senders
from hermod.contracts.notifications.content import AnyContent, Attachment, Channel, Email
from hermod.contracts.notifications.outcomes import Accepted
from tests.integration.conformance.conftest import Counterpart
from tests.integration.conformance.suite import SenderConformance

_RICH = Email(
    to="Zoë <zoe@example.com>",
    subject="Grüße 🚀",
    text="Hallo Zoë\n.\nEnde",
    html='<p>Hallo <img src="cid:logo"></p>',
    cc=("bob@example.com",),
    bcc=("carl@example.com", "BOB@example.com"),
    reply_to="Büro <office@example.com>",
    headers={"List-Unsubscribe": "<https://mail.example.com/u/" + "a" * 100 + ">"},
    attachments=(
        Attachment(
            filename="Größe.pdf", content_type="application/pdf", content_base64=base64.b64encode(b"%PDF").decode()
        ),
        Attachment(
            filename="logo.png",
            content_type="image/png",
            content_base64=base64.b64encode(b"png").decode(),
            content_id="logo",
        ),
    ),
)


class EmailConformance(SenderConformance):
    channel: ClassVar = Channel.EMAIL
    sender: ClassVar = "News <news@example.com>"
    INLINE: ClassVar[str] = "cid:logo"
    """How the HTML names the image; some vendors make the address out of the file's name."""
    INLINE_FILE: ClassVar[str] = "logo.png"
    """What the image is called on arrival; with some vendors its name is its content id."""

    def content(self) -> AnyContent:
        return Email(to="ada@example.com", subject="Hello", text="Hi Ada", html="<p>Hi Ada</p>")

    async def test_send_everything_an_email_can_hold_arrives(self, senders: Senders, counterpart: Counterpart) -> None:
        outcome = await self._sender(senders, counterpart).send(self._outgoing(content=_RICH))
        assert isinstance(outcome, Accepted), outcome
        (item,) = await counterpart.inbox(self.provider)
        everyone = list(dict.fromkeys(address.lower() for address in item["to"]))
        assert everyone == ["zoe@example.com", "bob@example.com", "carl@example.com"]
        assert item["subject"] == "Grüße 🚀"
        assert item["text"].replace("\r\n", "\n").rstrip() == "Hallo Zoë\n.\nEnde"
        assert f'src="{self.INLINE}"' in item["html"]
        headers = {name.lower(): value for name, value in item["headers"].items()}
        assert headers["list-unsubscribe"] == _RICH.headers["List-Unsubscribe"]
        files = {(file["filename"], file["content_type"], file["size"]) for file in item["attachments"]}
        assert files == {("Größe.pdf", "application/pdf", 4), (self.INLINE_FILE, "image/png", 3)}
