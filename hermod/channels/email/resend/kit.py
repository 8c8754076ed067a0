"""Resend."""

from __future__ import annotations

from typing import Final

from hermod.channels.email.resend.receipts import ResendReceipts
from hermod.channels.email.resend.sender import ResendSender
from hermod.channels.kit import Example, ProviderDefinition

KIT: Final = ProviderDefinition(
    adapter=ResendSender,
    example=Example(
        credentials={
            "api_key": "re_key_of_the_account",
            "webhook_secret": "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3",
        },
        sender="News <news@example.com>",
    ),
    receipts=ResendReceipts(),
)
