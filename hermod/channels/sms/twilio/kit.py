"""Twilio, for SMS and MMS."""

from __future__ import annotations

from typing import Final

from hermod.channels.kit import Example, ProviderDefinition
from hermod.channels.sms.twilio.sender import TwilioSender
from hermod.channels.twilio_api.receipts import TwilioReceipts

KIT: Final = ProviderDefinition(
    adapter=TwilioSender,
    example=Example(
        credentials={"account_sid": "AC" + "0" * 32, "auth_token": "token-of-the-account"},
        sender="+15005550006",
    ),
    receipts=TwilioReceipts(),
)
