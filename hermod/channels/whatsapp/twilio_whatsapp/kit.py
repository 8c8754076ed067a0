"""Twilio, for WhatsApp."""

from __future__ import annotations

from typing import Final

from hermod.channels.kit import Example, ProviderDefinition
from hermod.channels.twilio_api.receipts import TwilioReceipts
from hermod.channels.whatsapp.twilio_whatsapp.sender import TwilioWhatsAppSender

KIT: Final = ProviderDefinition(
    adapter=TwilioWhatsAppSender,
    example=Example(
        credentials={"account_sid": "AC" + "0" * 32, "auth_token": "token-of-the-account"},
        sender="whatsapp:+15005550006",
    ),
    receipts=TwilioReceipts(),
)
