"""SendGrid, by Twilio."""

from __future__ import annotations

from typing import Final

from hermod.channels.email.sendgrid.sender import SendGridSender
from hermod.channels.kit import Example, Kit

KIT: Final = Kit(
    adapter=SendGridSender,
    example=Example(
        credentials={"api_key": "SG.key-of-the-account"},
        sender="News <news@example.com>",
    ),
)
