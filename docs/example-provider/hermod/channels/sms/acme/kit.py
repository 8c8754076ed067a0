"""Acme, an SMS vendor that does not exist: the example of docs/adding-a-provider.md."""

from __future__ import annotations

from typing import Final

from hermod.channels.kit import Example, ProviderDefinition
from hermod.channels.sms.acme.receipts import AcmeReceipts
from hermod.channels.sms.acme.sender import AcmeSender

KIT: Final = ProviderDefinition(
    adapter=AcmeSender,
    example=Example(
        credentials={"api_key": "acme-key-of-the-account", "webhook_secret": "acme-webhook-secret"},
        sender="+15005550006",
    ),
    receipts=AcmeReceipts(),
)
