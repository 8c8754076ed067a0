"""The WhatsApp Cloud API of Meta."""

from __future__ import annotations

from typing import Final

from hermod.channels.kit import Example, ProviderDefinition
from hermod.channels.whatsapp.whatsapp_cloud.receipts import WhatsAppCloudReceipts
from hermod.channels.whatsapp.whatsapp_cloud.sender import WhatsAppCloudSender

KIT: Final = ProviderDefinition(
    adapter=WhatsAppCloudSender,
    example=Example(
        credentials={
            "phone_number_id": "106540352242922",
            "access_token": "token-of-the-system-user",
            "app_secret": "secret-of-the-app",
            "verify_token": "token-for-the-handshake",
        },
    ),
    receipts=WhatsAppCloudReceipts(),
)
