"""Mitto, for SMS."""

from __future__ import annotations

from typing import Final

from hermod.channels.kit import Example, ProviderDefinition
from hermod.channels.sms.mitto.receipts import MittoReceipts
from hermod.channels.sms.mitto.sender import MittoSender

KIT: Final = ProviderDefinition(
    adapter=MittoSender,
    example=Example(
        credentials={"api_key": "key-of-the-account", "callback_token": "a-token-that-nobody-guesses"},
        sender="Hermod",
    ),
    receipts=MittoReceipts(),
)
