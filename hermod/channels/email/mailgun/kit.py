"""Mailgun, by Sinch."""

from __future__ import annotations

from typing import Final

from hermod.channels.email.mailgun.receipts import MailgunReceipts
from hermod.channels.email.mailgun.sender import MailgunSender
from hermod.channels.kit import Example, ProviderDefinition

KIT: Final = ProviderDefinition(
    adapter=MailgunSender,
    example=Example(
        credentials={
            "api_key": "key-of-the-account",
            "domain": "mail.example.com",
            "region": "eu",
            "webhook_signing_key": "signing-key-of-the-account",
        },
        sender="News <news@mail.example.com>",
    ),
    receipts=MailgunReceipts(),
)
